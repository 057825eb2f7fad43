"""`compare`: two transforms, batches or features of the same clip side by side, with their difference."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from audiofeed.arguments.checks import check_integer
from audiofeed.arguments.meta_device import check_has_values
from audiofeed.drawing.figures import new_figure, saved
from audiofeed.drawing.module_page import settings_of
from audiofeed.drawing.panels import COLORS, Pictured, draw_panel, height_label, limits_of, time_label
from audiofeed.feed import AudioBatch
from audiofeed.feed.pictures import UNITS, check_unit, hertz_of, lengths_of, member_of, named_features, transform_of
from audiofeed.feed.transform_contract import (
    frequencies_of,
    log_of,
    sample_rate_of,
    takes_features,
    times_of,
    unwrapped,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# from purple by white to orange, which color-blind eyes tell apart
_DIFFERENCES = "PuOr"
_SECONDS = 2.0
_DIFFERING = 3  # settings in a title


@dataclass(frozen=True, kw_only=True, eq=False)
class _Side:
    """One of two that are compared: its features of the clip by name, and the transform that knows their axes."""

    name: str
    features: dict[str, np.ndarray]
    transform: torch.nn.Module | None


def compare(
    a: Any,
    b: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    waveform: torch.Tensor | np.ndarray | None = None,
    clip: int = 0,
    channel: int = 0,
    names: tuple[str, str] | None = None,
    unit: str | None = None,
) -> Figure:
    """Plot two transforms, batches or features of the same clip side by side, and their difference, b - a.

    The title of the difference has the largest magnitude in it, and its L2 norm over that of `a`. Of complex features
    the magnitudes are drawn, and the magnitude of the difference. Of a `Stack` each feature has a row.

    Args:
        a: The reference: a transform (any module from waveforms to features), an `AudioBatch`, or features as a tensor
            or an array of (bins, frames) or (channel, bins, frames).
        b: What is compared with it, of the same or of another kind.
        path: A file to write the picture to; its extension selects the format: .png, .pdf, .svg. None writes none.
        waveform: What transforms are given, a tensor or an array: real, (time,) or (channel, time). None: 2 s of a
            synthesized sound that rises from 50 Hz to the top, with clicks and noise, at the transforms' sample rate.
        clip: Which clip of a batch, from 0; its own frames are compared, without the padding.
        channel: Which channel to compare of features with several, from 0.
        names: What to call the two; None: the classes of transforms, with the settings in which two of one class
            differ, "batch" or "features".
        unit: Of the values; None takes the unit of the transform's `log`, if it has one.

    Returns:
        The figure, which a notebook shows.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        TypeError: `a` or `b` is neither a transform nor a batch nor features, or `unit` is no string.
        ValueError: The two have features of other names or shapes, the transforms have other sample rates, `names` are
            not two, or there is no such clip or channel.

    >>> compare(torch.ones(40, 90), torch.full((40, 90), 1.5)).axes[2].get_title().splitlines()[1]
    'largest 0.5, relative L2 0.5'
    """
    check_unit(unit)
    for name, number in (("clip", clip), ("channel", channel)):
        check_integer(name, number, f"an integer, the number of a {name} from 0", least=0)
    if waveform is None and (isinstance(a, torch.nn.Module) or isinstance(b, torch.nn.Module)):
        waveform = _synthesized(_rate_of(a, b))
    if isinstance(waveform, np.ndarray):
        waveform = torch.as_tensor(waveform)
    pair = isinstance(names, Sequence) and not isinstance(names, str) and len(names) == 2
    if names is not None and not (pair and all(isinstance(name, str) for name in names)):
        raise ValueError(f"names={names!r} must be two names, of a and of b")
    called = names or (None, None)
    sides = [_side(given, name, called[i], waveform, clip) for i, (name, given) in enumerate((("a", a), ("b", b)))]
    first, second = sides
    if list(first.features) != list(second.features):
        raise ValueError(
            f"a has the features {_list(first)}, and b {_list(second)}; compare transforms or batches with the same"
        )
    for name in first.features:
        _pair(name, first, second, channel)  # before anything is drawn
    figure = new_figure(12.0, 3.2 * len(first.features) + 0.3, "af.plot.compare")
    grid = figure.subplots(len(first.features), 3, squeeze=False)
    for row, name in zip(grid, first.features, strict=True):
        _draw_row(figure, row, name, (first, second), channel, unit)
    return saved(figure, path)


def _called(first: _Side, second: _Side) -> tuple[str, str]:
    """Return what the two that are compared are called: those of one name by what they differ in."""
    if first.name != second.name:
        return first.name, second.name
    settings = [
        {} if side.transform is None else {name: value for name, value, _ in settings_of(unwrapped(side.transform))}
        for side in (first, second)
    ]
    texts = [f"a: {first.name}", f"b: {second.name}"]
    differing = [name for name in settings[0] if settings[0][name] != settings[1].get(name, settings[0][name])]
    for name in differing[:_DIFFERING]:
        texts = [f"{text}\n{name}={own[name]}" for text, own in zip(texts, settings, strict=True)]
    return texts[0], texts[1]


def _rate_of(a: Any, b: Any) -> float:
    """Return the sample rate of transforms that are to be compared.

    Raises:
        ValueError: They have different ones.
    """
    rates = {name: sample_rate_of(given) for name, given in (("a", a), ("b", b)) if isinstance(given, torch.nn.Module)}
    known = {name: rate for name, rate in rates.items() if rate is not None}
    if len(set(known.values())) > 1:
        raise ValueError(f"a has sample_rate={known['a']}, and b {known['b']}; compare transforms of one sample rate")
    return float(next(iter(known.values()), 16_000))


def _synthesized(rate: float) -> torch.Tensor:
    """Return the sound that transforms are compared by: a rising tone, clicks and noise, the same every time."""
    t = torch.arange(round(_SECONDS * rate), dtype=torch.float64) / rate
    low, high = 50.0, rate / 2
    span = float(np.log(high / low))
    tone = torch.sin(2 * torch.pi * low * _SECONDS / span * (torch.exp(t * span / _SECONDS) - 1))
    noise = torch.randn(len(t), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sound = 0.3 * tone + 0.003 * noise
    sound[:: max(1, len(t) // 5)] += 0.5
    return sound.float()


def _side(given: Any, argument: str, name: str | None, waveform: torch.Tensor | None, clip: int) -> _Side:
    """Return the features of one of the two that are compared."""
    if isinstance(given, torch.nn.Module):
        if takes_features(given):
            raise TypeError(
                f"{argument}={type(given).__name__} takes features; compare transforms of waveforms: put it into a "
                "Chain behind the transform that makes them"
            )
        assert waveform is not None
        check_has_values(argument, given)
        found = {key: value.squeeze(0) for key, value in named_features(_computed(given, waveform)).items()}
        features = {key: _array(value, _label(argument, key)) for key, value in found.items()}
        return _Side(name=name or type(unwrapped(given)).__name__, features=features, transform=given)
    if isinstance(given, AudioBatch):
        if not 0 <= clip < len(given):
            raise ValueError(f"clip={clip!r} must be 0 to {len(given) - 1}: {argument} has {len(given)} clips")
        features = {}
        for key, value in named_features(given.features).items():
            if not isinstance(value, torch.Tensor) or value.dim() not in (3, 4):
                shape = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
                raise ValueError(f"{_label(argument, key)} is {shape}, and must be (batch, [channel,] bins, frames)")
            value = value if given.layout == "bins_frames" else value.mT
            length = lengths_of(given.feature_lengths, key, value.shape[-1], clip + 1)[clip]
            features[key] = _array(value[clip, ..., :length], _label(argument, key))
        if not features:
            raise ValueError(f"{argument} is a batch without features; compare batches of a GPUSpecCollate")
        return _Side(name=name or "batch", features=features, transform=transform_of(given))
    if isinstance(given, (torch.Tensor, np.ndarray)):
        features = {"": _array(torch.as_tensor(given), _label(argument, ""))}
        return _Side(name=name or "features", features=features, transform=None)
    raise TypeError(
        f"{argument} is a {type(given).__name__}, and must be a transform, an AudioBatch, or features as a tensor or "
        "an array"
    )


def _computed(transform: torch.nn.Module, waveform: torch.Tensor) -> Any:
    """Compute a transform's features of a waveform as a batch of one, on the transform's device, without a graph."""
    if not isinstance(waveform, torch.Tensor) or waveform.dim() not in (1, 2) or waveform.is_complex():
        found = tuple(waveform.shape) if isinstance(waveform, torch.Tensor) else type(waveform).__name__
        raise ValueError(f"waveform is {found}, and must be a real tensor, (time,) or (channel, time)")
    held = next((tensor for tensors in (transform.parameters(), transform.buffers()) for tensor in tensors), None)
    with torch.no_grad():
        return transform(waveform[None] if held is None else waveform[None].to(held.device))


def _array(features: Any, label: str) -> np.ndarray:
    """Return features of one clip as float64 or complex128 of (channel, bins, frames).

    Raises:
        ValueError: They have another shape.
    """
    if not isinstance(features, torch.Tensor) or features.dim() not in (2, 3):
        found = tuple(features.shape) if isinstance(features, torch.Tensor) else type(features).__name__
        raise ValueError(f"{label} is {found}, and must be (bins, frames) or (channel, bins, frames)")
    check_has_values(label, features)
    features = features.detach().cpu()
    exact = features.to(torch.complex128 if features.is_complex() else torch.float64).numpy()
    return exact if exact.ndim == 3 else exact[None]


def _label(argument: str, name: str) -> str:
    """Return how an error calls one of the features that are compared."""
    return f"{argument}[{name!r}]" if name else argument


def _list(side: _Side) -> str:
    """Return the names of the features that one side of a comparison has."""
    return ", ".join(repr(name) if name else "(one without a name)" for name in side.features)


def _pair(name: str, first: _Side, second: _Side, channel: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two features (bins, frames) that are compared.

    Raises:
        ValueError: They have different shapes, or no such channel.
    """
    one, other = first.features[name], second.features[name]
    if one.shape != other.shape:
        shapes = [" x ".join(map(str, array.shape[1:] if len(array) == 1 else array.shape)) for array in (one, other)]
        raise ValueError(
            f"{_label('a', name)} ({first.name}) is {shapes[0]} (bins x frames), and {_label('b', name)} "
            f"({second.name}) {shapes[1]}; features of one shape can be compared: give both the same number of bins, "
            "hop and padding, or cut the features yourself"
        )
    if not 0 <= channel < len(one):
        raise ValueError(f"channel={channel!r} must be 0 to {len(one) - 1}: so many channels there are, from 0")
    return one[channel], other[channel]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Axes:
    """What is known of the frames, the bins and the values of a feature that is compared."""

    seconds: np.ndarray | None = None
    frequencies: np.ndarray | None = None
    unit: str = ""

    @classmethod
    def of(cls, transform: torch.nn.Module, values: np.ndarray, channel: int) -> _Axes:
        """Return what a transform knows of values (bins, frames) that it gives."""
        bins, frames = values.shape
        seconds, frequencies = times_of(transform, frames), frequencies_of(transform)
        hertz = None if frequencies is None else hertz_of(frequencies, channel)
        return cls(
            seconds=None if seconds is None else np.asarray(seconds),
            frequencies=hertz if hertz is not None and len(hertz) == bins else None,
            unit=UNITS.get(log_of(transform) or "", ""),
        )

    def shared(self, other: _Axes) -> _Axes:
        """Return what holds for a difference: where the two know otherwise, frames and bins are counted."""
        return _Axes(seconds=_same(self.seconds, other.seconds), frequencies=_same(self.frequencies, other.frequencies))


def _same(one: np.ndarray | None, other: np.ndarray | None) -> np.ndarray | None:
    """Return an axis that two features share; None where each has its own."""
    return one if one is not None and other is not None and np.allclose(one, other) else None


def _draw_row(figure: Figure, row: Any, name: str, sides: tuple[_Side, _Side], channel: int, unit: str | None) -> None:
    """Draw two features and their difference."""
    pair = _pair(name, *sides, channel)
    members = [None if side.transform is None else member_of(side.transform, name) for side in sides]
    known = [None if member is None else _Axes.of(member, pair[0], channel) for member in members]
    # features without a transform have the axes of what they are compared with
    axes_of = [known[0] or known[1] or _Axes(), known[1] or known[0] or _Axes()]
    axes_of.append(axes_of[0].shared(axes_of[1]))
    is_complex = any(np.iscomplexobj(values) for values in pair)
    with np.errstate(invalid="ignore"):
        difference = pair[1] - pair[0]
    shown = [np.abs(values) if is_complex else values for values in (*pair, difference)]
    most = max(abs(limit) for limit in limits_of(shown[2:])) or 1.0
    limits = [limits_of(shown[:2])] * 2 + [(0.0 if is_complex else -most, most)]
    titles = [*_called(*sides), f"{'|b - a|' if is_complex else 'b - a'}\n{error_text(pair[0], difference)}"]
    for i, (axes, values, title) in enumerate(zip(row, shown, titles, strict=True)):
        own_unit = unit if unit is not None else "magnitude" if is_complex else axes_of[i].unit
        pictured = Pictured(
            values=[values],
            lengths=[values.shape[-1]],
            seconds=axes_of[i].seconds,
            frequencies=axes_of[i].frequencies,
            unit="difference" if i == 2 else own_unit,
        )
        mesh = draw_panel(axes, pictured, 0, limits[i], _DIFFERENCES if i == 2 and not is_complex else COLORS)
        axes.set_title(f"{name}, {title}" if name else title, fontsize=9)
        axes.set_xlabel(time_label(pictured))
        axes.set_ylabel(height_label(pictured))
        if mesh is not None:
            figure.colorbar(mesh, ax=axes, label=pictured.unit)


def error_text(reference: np.ndarray, difference: np.ndarray) -> str:
    """Return how large the difference from compared features is, as text.

    >>> error_text(np.array([[3.0, 4.0]]), np.array([[0.0, 0.05]]))
    'largest 0.05, relative L2 0.01'
    """
    finite = np.isfinite(difference)
    left_out = int((~finite).sum())
    if not finite.any():
        return "no finite value" if difference.size else "no frames"
    error = np.linalg.norm(difference[finite])
    norm = np.linalg.norm(reference[finite])
    relative = error / norm if norm else (0.0 if error == 0 else np.inf)
    text = f"largest {np.abs(difference[finite]).max():.3g}, relative L2 {relative:.3g}"
    return f"{text}\n{left_out} values are not finite" if left_out else text
