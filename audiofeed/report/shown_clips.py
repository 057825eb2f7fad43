"""The clips that a report shows: read as the dataset gives them, and made one batch by the collate, with features."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from audiofeed.data import AudioExample, AudioManifest, AudioReadError
from audiofeed.feed import GPUSpecCollate
from audiofeed.feed.transform_contract import centers_of, frequencies_of, log_of

# of the sound of one clip; base64 makes a third more of it
_SOUND_BYTES = 250_000
# range of what is drawn in decibels of the features' own maximum
_RANGE_DB = 80.0
_UNITS = {"db": "dB", "ln": "ln(power)", "log10": "log10(power)"}


@dataclass(frozen=True, kw_only=True)
class ShownClip:
    """Clip as a report shows it: one row of a batch.

    Args:
        index: Its number in the dataset.
        start: Seconds of its crop's beginning in the file.
        waveform: Its samples in the batch, padding included, (time,).
        length: How many of these are its own.
        picture: Its features as they are drawn, (bins, frames) or (samples,), padding included; None if there are none.
        frames: How many of their frames are its own; None if the transform does not tell.
    """

    index: int
    start: float
    waveform: np.ndarray
    length: int
    picture: np.ndarray | None
    frames: int | None


@dataclass(frozen=True, kw_only=True)
class ShownBatch:
    """Batch of the clips that a report shows.

    Args:
        clips: They.
        sample_rate: Hz.
        shape: Of the features; None without any.
        values_per_frame: Numbers in a frame of one clip.
        item_bytes: Bytes of each.
        seconds: Centers of the frames; None if they are not known.
        frequencies: Hz of the bins; None if they have none.
        unit: Of what is drawn.
        scale: Its lowest and highest value.
        drawn: What of the features is drawn, where that is not all of them; "" if it is.
        refused: Why the transform has no features of the batch; "" if it has.
    """

    clips: list[ShownClip]
    sample_rate: int
    shape: tuple[int, ...] | None = None
    values_per_frame: int = 0
    item_bytes: int = 4
    seconds: np.ndarray | None = None
    frequencies: np.ndarray | None = None
    unit: str = ""
    scale: tuple[float, float] = (0.0, 1.0)
    drawn: str = ""
    refused: str = ""


def read_clips(
    dataset: AudioManifest, order: Iterable[int], count: int
) -> tuple[list[int], list[AudioExample], list[AudioReadError]]:
    """Read the clips that a report shows: the first that can be read.

    Args:
        dataset: The clips.
        order: Their numbers, in the order in which they are tried.
        count: How many are wanted.

    Returns:
        The numbers of those that were read, their examples of epoch 0, and what went wrong with others.
    """
    numbers: list[int] = []
    examples: list[AudioExample] = []
    faults: list[AudioReadError] = []
    for index in order:
        if len(examples) >= count:
            break
        try:
            example = dataset[(0, index)]
        except AudioReadError as error:
            faults.append(error)
            continue
        if example.faults:  # another clip, which stands in for one that cannot be read
            faults += example.faults
            continue
        examples.append(example)
        numbers.append(index)
    return numbers, examples, faults


def make_batch(
    numbers: list[int],
    examples: list[AudioExample],
    transform: torch.nn.Module,
    sample_rate: int,
    device: torch.device | str | None,
) -> ShownBatch:
    """Make one batch of a report's clips, as a training loop has it.

    Args:
        numbers: Their numbers in the dataset.
        examples: They, one at least.
        transform: From waveforms to features.
        sample_rate: Hz.
        device: Where features are computed; None for the accelerator, else the CPU.
    """
    collate = GPUSpecCollate(transform, device=device, max_ahead=0)
    batch: Any = collate(examples)
    refused, features, lengths = "", None, None
    try:
        with torch.no_grad():
            features = batch.features
        lengths = batch.feature_lengths
    except (ValueError, TypeError, RuntimeError) as error:
        refused = " ".join(str(error).split())
    chosen, lengths, drawn = _chosen(features, lengths)
    waveforms = batch.waveforms.cpu().numpy()
    own = batch.lengths.tolist()
    pictures: list[np.ndarray | None] = [None] * len(own)
    counts: list[int | None] = [None] * len(own)
    settings: dict[str, Any] = {}
    if chosen is not None:
        values, unit = _drawable(chosen.detach().cpu(), transform)
        drawn_values: list[np.ndarray] = list(values.numpy())
        pictures[:] = drawn_values
        if isinstance(lengths, torch.Tensor):
            counts = [int(n) for n in lengths]
        shown = [picture[..., :n].ravel() for picture, n in zip(drawn_values, counts, strict=True)]
        frames = chosen.shape[-1]
        places = centers_of(transform, frames, sample_rate) if chosen.dim() > 2 else None
        bins = frequencies_of(transform)
        settings = {
            "shape": tuple(chosen.shape),
            "values_per_frame": chosen[0].numel() // max(1, frames),
            "item_bytes": chosen.element_size(),
            "seconds": None if places is None else np.asarray(places, dtype=np.float64) / sample_rate,
            "frequencies": None if bins is None else np.asarray(bins, dtype=np.float64),
            "unit": unit,
            "scale": _scale(np.concatenate(shown)),
        }
    clips = [
        ShownClip(
            index=numbers[i],
            start=float(examples[i].start or 0.0),
            waveform=waveforms[i] if waveforms[i].ndim == 1 else waveforms[i].mean(0),
            length=own[i],
            picture=pictures[i],
            frames=counts[i],
        )
        for i in range(len(own))
    ]
    return ShownBatch(clips=clips, sample_rate=sample_rate, drawn=drawn, refused=refused, **settings)


def _chosen(features: Any, lengths: Any) -> tuple[torch.Tensor | None, Any, str]:
    """Return the tensor of a report's features that is drawn, its lengths, and what to say of the others."""
    said = ""
    if isinstance(features, Mapping) and features:
        name = next(iter(features))
        said = f"{name!r}, the first of {', '.join(map(repr, features))}"
        features, lengths = features[name], lengths[name] if isinstance(lengths, Mapping) else lengths
    elif isinstance(features, (tuple, list)) and features:
        said = f"the first of {len(features)} tensors"
        features = features[0]
    if not isinstance(features, torch.Tensor) or features.dim() < 2:
        return None, None, said
    return features, lengths, said


def _drawable(features: torch.Tensor, transform: torch.nn.Module) -> tuple[torch.Tensor, str]:
    """Return a report's features as real numbers on a scale that shows them, (batch, bins, frames), and their unit."""
    values = (features.abs().square() if features.is_complex() else features).float()
    while values.dim() > 3:
        values = values[:, 0]
    unit = _UNITS.get(log_of(transform) or "", "")
    if values.dim() == 3 and not unit and bool((values >= 0).all()) and bool((values > 0).any()):
        # powers and magnitudes: on their own scale all but the loudest would be black
        top = values.max()
        return 10 * torch.log10(
            (values / top).clamp_min(10 ** (-_RANGE_DB / 10))
        ), "(10 log10 of the share of the largest value)"
    return values, unit


def _scale(values: np.ndarray) -> tuple[float, float]:
    """Return the range of colors of a report's pictures: all that is not padding, but for the lowest hundredth."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(np.quantile(finite, 0.01)), float(finite.max())
    return (low, high) if high > low else (low, low + 1.0)


def encode_sound(waveform: np.ndarray, sample_rate: int) -> tuple[bytes, str, float]:
    """Encode the sound of a report's clip in a form that browsers play, in a bounded number of bytes.

    Args:
        waveform: (time,), at full scale 1; what is beyond is cut off.
        sample_rate: Hz.

    Returns:
        The file, FLAC of 16 bits (WAV at rates that FLAC has not), its media type, and the seconds that it holds: from
        the beginning, all of them if they fit.
    """
    import soundfile

    kind, media = ("FLAC", "audio/flac") if sample_rate <= 655_350 else ("WAV", "audio/wav")
    samples = np.round(np.clip(waveform, -1.0, 32767 / 32768) * 32768).astype(np.int16)
    while True:
        file = io.BytesIO()
        soundfile.write(file, samples, sample_rate, format=kind, subtype="PCM_16")
        sound = file.getvalue()
        if len(sound) <= _SOUND_BYTES:
            return sound, media, len(samples) / sample_rate
        samples = samples[: int(len(samples) * min(0.9, _SOUND_BYTES / len(sound)))]
