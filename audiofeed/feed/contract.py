"""The contract of a transform: every attribute that the collate, the batch and `plot_batch` ask for.

Any `torch.nn.Module` that takes waveforms (batch, time) or (batch, channel, time) in float32 can be used. Each
attribute below is optional, and each adds something:

| attribute | asked for by | without it |
|---|---|---|
| `frame_lengths(lengths)` | the batch | it is called without lengths; `feature_lengths` is None |
| `takes_int16` | the batch | 16-bit samples are scaled to float32 before the transform |
| `sample_rate` | the collate, `plot_batch` | clips of any sample rate are taken |
| `takes_features` | the collate | the transform is taken for one of waveforms |
| `times(n_frames)` | `plot_batch` | frames are counted |
| `frequencies` | `plot_batch` | bins are counted |
| `log` | `plot_batch` | the color bar has no unit |

This package never imports a transform. Each protocol describes one attribute, and each reader returns it or says that
it is not there. The readers use plain attribute access, so that a wrapper that forwards attributes, as the module that
`torch.compile` returns, counts as the module it wraps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

import torch


class CountsFrames(Protocol):
    """A transform that knows the number of frames of each clip, and is called with the clips' lengths."""

    def __call__(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> Any:
        """Return features (batch, ..., frames), zero past the end of each clip, or a dict of them."""

    def frame_lengths(self, lengths: torch.Tensor) -> Any:
        """Return the frames (batch,) of clips of these lengths in samples; a dict of them if features are a dict."""


class TakesInt16(Protocol):
    """A transform that may accept int16 samples and scale them itself, by 1/32768."""

    @property
    def takes_int16(self) -> bool:
        """True if int16 is accepted."""


class TakesFeatures(Protocol):
    """A transform that may take features instead of waveforms."""

    @property
    def takes_features(self) -> bool:
        """True if the input is features."""


class HasSampleRate(Protocol):
    """A transform that may be made for one sample rate."""

    @property
    def sample_rate(self) -> float | None:
        """Sample rate in Hz; None if the transform takes any."""


class HasTimes(Protocol):
    """A transform that knows when its frames are."""

    def times(self, n_frames: int) -> Any:
        """Return the center of each frame in seconds, (n_frames,)."""


class HasFrequencies(Protocol):
    """A transform whose bins have frequencies."""

    @property
    def frequencies(self) -> Any:
        """Center frequency of each bin in Hz, (bins,); None if bins are not frequencies."""


class HasLog(Protocol):
    """A transform that may return logarithms."""

    @property
    def log(self) -> str | None:
        """Kind of logarithm: "ln", "log10", "db" or another name."""


def frame_lengths_of(transform: torch.nn.Module) -> Callable[[torch.Tensor], Any] | None:
    """Return the transform's `frame_lengths`, or None if it has none.

    >>> frame_lengths_of(torch.nn.Identity()) is None
    True
    """
    try:
        method: Any = cast(CountsFrames, transform).frame_lengths
    except AttributeError:
        return None
    return method if callable(method) else None


def takes_int16(transform: torch.nn.Module) -> bool:
    """Return True if the transform accepts int16 samples.

    >>> takes_int16(torch.nn.Identity())
    False
    """
    try:
        return bool(cast(TakesInt16, transform).takes_int16)
    except AttributeError:
        return False


def takes_features(transform: torch.nn.Module) -> bool:
    """Return True if the transform takes features instead of waveforms.

    >>> takes_features(torch.nn.Identity())
    False
    """
    try:
        return bool(cast(TakesFeatures, transform).takes_features)
    except AttributeError:
        return False


def sample_rate_of(transform: torch.nn.Module) -> float | None:
    """Return the sample rate in Hz that the transform was made for; None if it takes any.

    >>> sample_rate_of(torch.nn.Identity()) is None
    True
    """
    try:
        return cast(HasSampleRate, transform).sample_rate
    except AttributeError:
        return None


def times_of(transform: torch.nn.Module, n_frames: int) -> Any:
    """Return the centers of frames in seconds, (n_frames,); None if the transform cannot know them.

    >>> times_of(torch.nn.Identity(), 3) is None
    True
    """
    if _lacks_sample_rate(transform):
        return None
    try:
        method: Any = cast(HasTimes, transform).times
    except AttributeError:
        return None
    return method(n_frames) if callable(method) else None


def frequencies_of(transform: torch.nn.Module) -> Any:
    """Return the center frequencies of bins in Hz, (bins,); None if the transform cannot know them.

    >>> frequencies_of(torch.nn.Identity()) is None
    True
    """
    if _lacks_sample_rate(transform):
        return None
    try:
        found: Any = cast(HasFrequencies, transform).frequencies
    except AttributeError:
        return None
    return None if callable(found) else found


def log_of(transform: torch.nn.Module) -> str | None:
    """Return the kind of logarithm that the transform's features are; None if they are none.

    >>> log_of(torch.nn.Identity()) is None
    True
    """
    try:
        found = cast(HasLog, transform).log
    except AttributeError:
        return None
    return found if isinstance(found, str) else None


def _lacks_sample_rate(transform: torch.nn.Module) -> bool:
    """Return True for a transform made without the sample rate that its times and frequencies need."""
    try:
        return cast(HasSampleRate, transform).sample_rate is None
    except AttributeError:
        return False
