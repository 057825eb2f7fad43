"""Pictures of a batch: its features or waveforms drawn by matplotlib, and the table that a notebook shows of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from audiofeed.arguments.meta_device import check_has_values
from audiofeed.feed.states.runtime import find_runtime
from audiofeed.feed.states.tensor_trees import describe, is_named_tuple
from audiofeed.feed.transform_contract import (
    centers_of,
    frame_lengths_of,
    frequencies_of,
    log_of,
    sample_rate_of,
    times_of,
    unwrapped,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from audiofeed.drawing.panels import Pictured
    from audiofeed.feed.batch import AudioBatch

UNITS = {"db": "dB", "ln": "ln(power)", "log10": "log10(power)"}
_LONGEST = 28  # characters of a name above a clip
_LONGEST_TARGET = 60


def plot(
    batch: AudioBatch,
    path: str | os.PathLike[str] | None = None,
    *,
    transform: torch.nn.Module | None = None,
    clips: int = 8,
    classes: Sequence[str] | None = None,
    channel: int = 0,
    unit: str | None = None,
) -> Figure:
    """Plot the audio batch's first clips side by side on one scale: features with padding hatched, else waveforms.

    Features are computed if they were not read yet. Each feature of a `Stack` has a block of rows of its own; of
    complex features the magnitude is drawn, of a feature with one bin a line. Needs matplotlib (`pip install
    audiofeed[plot]`), which is imported here and nowhere else.

    Args:
        path: A file to write the picture to; its extension selects the format: .png, .pdf, .svg. None writes none.
        transform: The transform of the features: its `times(n_frames)` (seconds) and `frequencies` (Hz) label the axes;
            if it has none, or was made without a sample rate, frames and bins are counted. None takes that of the
            collate which made the batch, where it lives in this process.
        clips: Largest number of clips to draw, 1 or more.
        classes: Names of integer targets, or of the columns of multi-hot ones.
        channel: Which channel to draw of several, from 0.
        unit: Label of the color bar; None takes the unit of the transform's `log`, if it has one.

    Returns:
        The figure, which a notebook shows and which may be changed before `figure.savefig(...)`.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        ValueError: The batch has neither features of (batch, [channel,] bins, frames) nor waveforms, `clips` is less
            than 1, there is no such `channel`, `transform` has another sample rate, bins or frames, or what is to
            be drawn is on the meta device.
        TypeError: `transform` is no module, `classes` no list, `channel` no integer, or `unit` no string.
        RuntimeError: The features are computed in another process than this one.

    >>> from audiofeed.feed import AudioBatch
    >>> AudioBatch({"features": torch.rand(2, 40, 90)}).plot().axes[0].get_xlabel()
    'frame'
    """
    from audiofeed.drawing.figures import saved
    from audiofeed.drawing.panels import draw_clips

    _check_arguments(clips, classes, channel, transform)
    check_unit(unit)
    shown = min(clips, len(batch))
    if transform is None:
        transform = transform_of(batch)
    else:
        _check_rate(transform, batch.sample_rate)
        _check_shapes(transform, batch)
    pictured, channels = pictured_features(batch, shown, channel, transform, unit)
    if not pictured:
        pictured, channels = [_pictured_waveforms(batch, shown, channel)], _channels(batch.waveforms, 2)
    heading = f"channel {channel} of {channels}" if channels > 1 else ""
    titles = [title_of(batch, i, classes) for i in range(shown)]
    return saved(draw_clips(pictured, titles, heading=heading, asked_by="batch.plot()"), path)


def _check_arguments(clips: Any, classes: Any, channel: Any, transform: Any) -> None:
    """Check what a batch is to be pictured with, before any feature is computed for it."""
    if isinstance(clips, bool) or not isinstance(clips, (int, np.integer)) or clips < 1:
        raise ValueError(f"clips={clips!r} must be 1 or more, the most clips to draw")
    if isinstance(channel, bool) or not isinstance(channel, (int, np.integer)):
        raise TypeError(f"channel={channel!r} must be an integer, the number of a channel from 0")
    if classes is not None and (isinstance(classes, (str, Mapping)) or not isinstance(classes, Sequence)):
        raise TypeError(
            f"classes={classes!r} must be a list of names in the order of their numbers; give dataset.classes"
        )
    if transform is not None and not isinstance(transform, torch.nn.Module):
        raise TypeError(f"transform={transform!r} must be the module that computed the features, or None")


def check_unit(unit: Any) -> None:
    """Check the argument `unit` of a picture of features, the text beside its color bar.

    >>> check_unit("dB")
    """
    if unit is not None and not isinstance(unit, str):
        raise TypeError(f"unit={unit!r} must be a string, such as 'dB', or None for that of the transform's `log`")


def _check_rate(transform: torch.nn.Module, rate: float | None) -> None:
    """Check that a transform given to label a picture's axes is for the batch's sample rate."""
    own = sample_rate_of(transform)
    if own is not None and rate is not None and own != rate:
        raise ValueError(
            f"transform={type(transform).__name__} has sample_rate={own:g} and the batch {rate:g}, so that its seconds "
            "and Hz would be wrong; give the transform that computed the features, or None"
        )


def _check_shapes(transform: torch.nn.Module, batch: AudioBatch) -> None:
    """Check that a transform given to label a picture's axes has as many bins and frames as the batch's features."""
    changed = batch._progress.state.info.with_features
    for name, features in named_features(batch.features).items():
        member = member_of(transform, name)
        if member is None or not isinstance(features, torch.Tensor) or features.dim() not in (3, 4):
            continue
        frequencies = frequencies_of(member)
        bins = features.shape[-2 if batch.layout == "bins_frames" else -1]
        own = None if frequencies is None else np.shape(frequencies)[-1]
        if own is not None and own != bins:
            raise ValueError(
                f"transform={type(unwrapped(member)).__name__} must be the one that computed the features, or None: it "
                f"has {own} bins and they have {bins}, so that its Hz would be wrong"
            )
        count, known = frame_lengths_of(member), _lengths_by_name(batch.feature_lengths, name)
        if changed or count is None or not isinstance(known, torch.Tensor) or batch.lengths is None:
            continue
        expected = count(batch.lengths)
        if isinstance(expected, torch.Tensor) and expected.tolist() != known.tolist():
            raise ValueError(
                f"transform={type(unwrapped(member)).__name__} must be the one that computed the features, or None: it "
                f"makes {expected.tolist()[:3]} frames of the first clips, and they have {known.tolist()[:3]}, so that "
                "its seconds would be wrong"
            )


def transform_of(batch: AudioBatch) -> torch.nn.Module | None:
    """Return the transform of the collate that made a pictured batch; None where it does not live in this process."""
    token = batch._progress.state.info.token
    runtime = None if token is None else find_runtime(token)
    return None if runtime is None else runtime.transform


def pictured_features(
    batch: AudioBatch, shown: int, channel: int = 0, transform: torch.nn.Module | None = None, unit: str | None = None
) -> tuple[list[Pictured], int]:
    """Return the features of a batch's first clips as they are pictured, and the most channels that one has.

    Args:
        batch: The batch.
        shown: Number of clips.
        channel: Of features with several.
        transform: Of the features; None: nothing is known of their axes.
        unit: Of the values; None: the transform says.

    Returns:
        One entry for each feature, none for a batch without features.

    Raises:
        ValueError: A feature has another shape, or no such channel.
    """
    from audiofeed.drawing.panels import Pictured

    found: list[Pictured] = []
    most = 1
    for name, features in named_features(batch.features).items():
        label = f"batch.features[{name!r}]" if name else "batch.features"
        values, channels = _values(features, label, batch.layout, shown, channel)
        most = max(most, channels)
        frames = values.shape[-1]
        member = member_of(transform, name)
        seconds = None if member is None else seconds_of(member, frames, batch.sample_rate)
        frequencies = None if member is None else frequencies_of(member)
        own_unit = UNITS.get((None if member is None else log_of(member)) or "", "")
        hertz = None if frequencies is None else hertz_of(frequencies, channel)
        pictured = Pictured(
            values=list(values),
            lengths=lengths_of(batch.feature_lengths, name, frames, shown),
            seconds=None if seconds is None else np.asarray(seconds),
            frequencies=hertz if hertz is not None and len(hertz) == values.shape[1] else None,
            unit=unit if unit is not None else "magnitude" if features.is_complex() else own_unit,
            name=name,
        )
        found.append(pictured)
    return found, most


def named_features(features: Any) -> dict[str, Any]:
    """Return a batch's features by the names they are pictured with; a single one has none."""
    if isinstance(features, Mapping):
        return dict(features)
    if isinstance(features, tuple):
        names = features._fields if is_named_tuple(features) else map(str, range(len(features)))  # type: ignore[attr-defined]
        return dict(zip(names, features, strict=True))
    return {} if features is None else {"": features}


def member_of(transform: torch.nn.Module | None, name: str) -> torch.nn.Module | None:
    """Return the transform of one pictured feature: the member of a stack by its name."""
    if transform is None:
        return None
    inner = unwrapped(transform)
    return inner[name] if isinstance(inner, torch.nn.ModuleDict) and name in inner else transform


def seconds_of(transform: torch.nn.Module, frames: int, rate: float | None) -> Any:
    """Return the centers of pictured frames in seconds, for clips of that rate where the transform has none.

    Returns:
        (frames,); None where nobody knows them.
    """
    seconds = times_of(transform, frames)
    if seconds is not None or rate is None:
        return seconds
    centers = centers_of(transform, frames, None)
    return None if centers is None else np.asarray(centers) / rate


def _values(features: Any, label: str, layout: str, shown: int, channel: int) -> tuple[np.ndarray, int]:
    """Return the pictured features of a batch's first clips as real numbers, (clips, bins, frames), and the channels.

    Raises:
        ValueError: They have another shape, or no such channel.
    """
    if not isinstance(features, torch.Tensor) or features.dim() not in (3, 4):
        found = tuple(features.shape) if isinstance(features, torch.Tensor) else type(features).__name__
        raise ValueError(f"{label} is {found}; what is drawn is features of (batch, [channel,] bins, frames)")
    channels = _channels(features, 3)
    _check_channel(channel, channels)
    values = features[:shown].detach()
    values = values[:, channel] if values.dim() == 4 else values
    values = values if layout == "bins_frames" else values.mT
    check_has_values(label, values)
    # to the CPU as it is: not every device has float64 or a magnitude of complex halves
    values = values.cpu()
    real = values.to(torch.complex64).abs() if values.is_complex() else values.float()
    return real.numpy(), channels


def _channels(tensor: torch.Tensor, least: int) -> int:
    """Return how many channels a pictured tensor of a batch has, whose form without that axis has `least` axes."""
    return tensor.shape[1] if tensor.dim() > least else 1


def _check_channel(channel: int, channels: int) -> None:
    """Check that what is pictured of a batch has a channel of that number."""
    if not 0 <= channel < channels:
        raise ValueError(f"channel={channel!r} must be 0 to {channels - 1}: so many channels there are, from 0")


def lengths_of(lengths: Any, name: str, frames: int, shown: int) -> list[int]:
    """Return the frames of each pictured clip; all where the batch does not know them."""
    lengths = _lengths_by_name(lengths, name)
    return [frames] * shown if lengths is None else [min(int(n), frames) for n in lengths[:shown].tolist()]


def _lengths_by_name(lengths: Any, name: str) -> Any:
    """Return the lengths of one pictured feature of several."""
    if isinstance(lengths, Mapping):
        return lengths.get(name)
    return named_features(lengths).get(name) if isinstance(lengths, tuple) else lengths


def hertz_of(frequencies: Any, channel: int) -> np.ndarray:
    """Return the frequencies of pictured bins, of the channel that is drawn where each has its own."""
    hertz = np.asarray(frequencies, dtype=np.float64)
    return hertz[channel] if hertz.ndim == 2 else hertz


def _pictured_waveforms(batch: AudioBatch, shown: int, channel: int) -> Pictured:
    """Return the waveforms of a batch's first clips as they are pictured.

    Raises:
        ValueError: There are none, or no such channel.
    """
    from audiofeed.drawing.panels import Pictured

    waveforms = batch.waveforms
    if not isinstance(waveforms, torch.Tensor) or waveforms.dim() not in (2, 3):
        raise ValueError(
            f"batch.features is None and batch.waveforms is {describe(waveforms)}; there is nothing to draw: give the "
            "batch features of (batch, [channel,] bins, frames) or waveforms of (batch, [channel,] time)"
        )
    _check_channel(channel, _channels(waveforms, 2))
    check_has_values("batch.waveforms", waveforms)
    values = waveforms[:shown].detach()
    of_channel = (values[:, channel] if values.dim() == 3 else values).cpu().float().numpy()
    samples = of_channel.shape[-1]
    rate = batch.sample_rate
    return Pictured(
        values=list(of_channel),
        lengths=lengths_of(batch.lengths, "", samples, shown),
        seconds=None if rate is None else np.arange(samples) / rate,
    )


def title_of(batch: AudioBatch, index: int, classes: Sequence[str] | None) -> str:
    """Return the title of a pictured clip of a batch: its class and the name of its file.

    >>> from audiofeed.feed import AudioBatch
    >>> title_of(AudioBatch({"waveforms": torch.zeros(1, 8), "targets": torch.tensor([1])}), 0, ["cat", "dog"])
    'dog'
    """
    parts = []
    if isinstance(batch.targets, (torch.Tensor, list)):
        parts.append(_shortened(_target_text(batch.targets[index], classes), _LONGEST_TARGET))
    if batch.names is not None and batch.names[index] is not None:
        parts.append(_shortened(PurePath(str(batch.names[index])).name, _LONGEST))
    return "\n".join(parts)


def _target_text(target: Any, classes: Sequence[str] | None) -> str:
    """Return the target of a pictured clip as text."""
    if isinstance(target, torch.Tensor):
        if target.numel() == 1:
            target = target.item()
        elif classes is not None and target.shape == (len(classes),):
            # multi-hot, or mixed by an augmentation
            weights = target.tolist()
            return ", ".join(
                str(name) if weight == 1 else f"{weight:.2g} {name}"
                for name, weight in zip(classes, weights, strict=True)
                if weight
            )
        elif target.numel() > 8:
            return describe(target)
    is_class = classes is not None and isinstance(target, int) and not isinstance(target, bool)
    if is_class and classes is not None and 0 <= target < len(classes):
        return str(classes[target])
    return str(target)


def _shortened(text: str, longest: int) -> str:
    """Return text above a pictured clip, without its middle where it is too long."""
    if len(text) <= longest:
        return text
    kept = longest - 3
    return f"{text[: kept // 2]}...{text[len(text) - kept + kept // 2 :]}"
