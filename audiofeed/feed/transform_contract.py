"""The contract of a transform: every attribute that the collate, the batch and `plot_batch` ask for.

Any `torch.nn.Module` that takes waveforms (batch, time) or (batch, channel, time) in float32 can be used. Each
attribute below is optional, and each adds something:

| attribute | asked for by | without it |
|---|---|---|
| `frame_lengths(lengths)` | the batch | it is called without lengths; `feature_lengths` is None |
| `takes_int16` | the batch | 16-bit samples are scaled to float32 before the transform |
| `sample_rate` | the collate, `plot_batch` | clips of any sample rate are taken |
| `takes_features` | the collate | the transform is taken for one of waveforms |
| `times(n_frames)` | `plot_batch`, targets in time | frames are counted; targets in time need it or `centers` |
| `centers(n_frames)` | targets in time | `times` and the clips' sample rate are taken |
| `frequencies` | `plot_batch` | bins are counted |
| `log` | `plot_batch` | the color bar has no unit |

This package never imports a transform. Each protocol describes one attribute, and each reader returns it or says that
it is not there. The readers use plain attribute access, so that a wrapper that forwards attributes, as the module that
`torch.compile` returns, counts as the module it wraps.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol

import torch


class CountsFrames(Protocol):
    """Contract of the batch feed with a transform that knows each clip's number of frames.

    Such a transform is called with the clips' lengths.
    """

    def __call__(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> Any:
        """Return features, zero past the end of each clip, as the feed's contract asks of a transform.

        Features are (batch, ..., frames), or a dict of them.
        """

    def frame_lengths(self, lengths: torch.Tensor) -> Any:
        """Return the frames of clips by their lengths in samples, as the feed's contract asks of a transform.

        The frames are (batch,); a dict of them if features are a dict.
        """


class TakesInt16(Protocol):
    """Contract of the batch feed with a transform that may accept int16 samples.

    It scales them itself, by 1/32768.
    """

    @property
    def takes_int16(self) -> bool:
        """True if the transform in the feed's contract accepts int16."""


class TakesFeatures(Protocol):
    """Contract of the batch feed with a transform that may take features instead of waveforms."""

    @property
    def takes_features(self) -> bool:
        """True if the input of the transform in the feed's contract is features."""


class HasSampleRate(Protocol):
    """Contract of the batch feed with a transform that may be made for one sample rate."""

    @property
    def sample_rate(self) -> float | None:
        """Sample rate in Hz of the transform in the feed's contract; None if it takes any."""


class HasTimes(Protocol):
    """Contract of the batch feed with a transform that knows the times of its frames."""

    def times(self, n_frames: int) -> Any:
        """Return the center of each frame in seconds, as the feed's contract asks of a transform.

        Shape: (n_frames,).
        """


class HasCenters(Protocol):
    """Contract of the batch feed with a transform that knows its frames' places, whatever the sample rate."""

    def centers(self, n_frames: int) -> Any:
        """Return the center of each frame in samples, as the feed's contract asks of a transform.

        Shape: (n_frames,).
        """


class HasFrequencies(Protocol):
    """Contract of the batch feed with a transform whose bins have frequencies."""

    @property
    def frequencies(self) -> Any:
        """Center frequency of each bin in Hz of the transform in the feed's contract.

        Shape: (bins,); None if bins are not frequencies.
        """


class HasLog(Protocol):
    """Contract of the batch feed with a transform that may return logarithms."""

    @property
    def log(self) -> str | None:
        """Kind of logarithm of the transform in the feed's contract: "ln", "log10", "db" or another name."""


def unwrapped(module: torch.nn.Module) -> torch.nn.Module:
    """Return the module that a wrapper runs, which has what the feed's contract asks of a transform.

    Wrappers are DistributedDataParallel, DataParallel, FullyShardedDataParallel, AveragedModel and what `torch.compile`
    returns.

    >>> unwrapped(torch.nn.DataParallel(torch.nn.Identity()))
    Identity()
    """
    while True:
        inner: Any = module._modules.get("_orig_mod")
        if inner is None and type(module).__name__ in _WRAPPERS and type(module).__module__.startswith("torch."):
            inner = module.module
        if not isinstance(inner, torch.nn.Module):
            return module
        module = inner


# by name, as not every build of torch has all of them
_WRAPPERS = ("DistributedDataParallel", "DataParallel", "FullyShardedDataParallel", "AveragedModel")


def _asked(transform: torch.nn.Module, name: str) -> Any:
    """Return what the contract asks of a transform, or of the one within a wrapper.

    Raises:
        AttributeError: It has no such attribute.
    """
    try:
        return getattr(transform, name)
    except AttributeError:
        inner = unwrapped(transform)
        if inner is transform:
            raise
        return getattr(inner, name)


def frame_lengths_of(transform: torch.nn.Module) -> Callable[[torch.Tensor], Any] | None:
    """Return the `frame_lengths` that a transform has by its contract with the batch feed, or None.

    >>> frame_lengths_of(torch.nn.Identity()) is None
    True
    """
    try:
        method: Any = _asked(transform, "frame_lengths")
    except AttributeError:
        return None
    return method if callable(method) else None


def lacks_lengths(transform: torch.nn.Module) -> bool:
    """Return True if a transform has `frame_lengths`, and cannot be called with lengths as its contract then asks.

    >>> lacks_lengths(torch.nn.Identity())
    False
    """
    if frame_lengths_of(transform) is None:
        return False
    try:
        asked = inspect.signature(unwrapped(transform).forward)
    except (TypeError, ValueError):  # compiled code without one
        return False
    try:
        asked.bind(None, None)
    except TypeError:
        return True
    return False


def takes_int16(transform: torch.nn.Module) -> bool:
    """Return True if a transform accepts int16 samples by its contract with the batch feed.

    >>> takes_int16(torch.nn.Identity())
    False
    """
    try:
        return bool(_asked(transform, "takes_int16"))
    except AttributeError:
        return False


def takes_features(transform: torch.nn.Module) -> bool:
    """Return True if a transform takes features instead of waveforms by its contract with the batch feed.

    >>> takes_features(torch.nn.Identity())
    False
    """
    try:
        return bool(_asked(transform, "takes_features"))
    except AttributeError:
        return False


def sample_rate_of(transform: torch.nn.Module) -> float | None:
    """Return the sample rate in Hz that a transform was made for by its contract with the batch feed.

    Returns None if the transform takes any.

    >>> sample_rate_of(torch.nn.Identity()) is None
    True
    """
    try:
        return _asked(transform, "sample_rate")
    except AttributeError:
        return None


def times_of(transform: torch.nn.Module, n_frames: int) -> Any:
    """Return the centers of frames in seconds by the transform's contract with the batch feed.

    Shape: (n_frames,); None if the transform cannot know them.

    >>> times_of(torch.nn.Identity(), 3) is None
    True
    """
    if _lacks_sample_rate(transform):
        return None
    try:
        method: Any = _asked(transform, "times")
    except AttributeError:
        return None
    return method(n_frames) if callable(method) else None


def centers_of(transform: torch.nn.Module, n_frames: int, sample_rate: int | None) -> Any:
    """Return the centers of frames in samples by the transform's contract with the batch feed.

    Args:
        transform: Any module.
        n_frames: Number of frames.
        sample_rate: Hz of the clips, for a transform that knows the times of its frames alone; None if unknown.

    Returns:
        (n_frames,); None if the transform cannot know them.

    >>> centers_of(torch.nn.Identity(), 3, 16_000) is None
    True
    """
    try:
        method: Any = _asked(transform, "centers")
    except AttributeError:
        method = None
    if callable(method):
        return method(n_frames)
    times = times_of(transform, n_frames)
    return None if times is None or sample_rate is None else torch.as_tensor(times) * sample_rate


def frequencies_of(transform: torch.nn.Module) -> Any:
    """Return the center frequencies of bins in Hz by the transform's contract with the batch feed.

    Shape: (bins,); None if the transform cannot know them.

    >>> frequencies_of(torch.nn.Identity()) is None
    True
    """
    if _lacks_sample_rate(transform):
        return None
    try:
        found: Any = _asked(transform, "frequencies")
    except AttributeError:
        return None
    return None if callable(found) else found


def log_of(transform: torch.nn.Module) -> str | None:
    """Return the kind of logarithm of the features by the transform's contract with the batch feed.

    Returns None if the features are no logarithms.

    >>> log_of(torch.nn.Identity()) is None
    True
    """
    try:
        found = _asked(transform, "log")
    except AttributeError:
        return None
    return found if isinstance(found, str) else None


def _lacks_sample_rate(transform: torch.nn.Module) -> bool:
    """Return True for a transform in the feed's contract that lacks the sample rate for its times and frequencies.

    It was made without one.
    """
    try:
        return _asked(transform, "sample_rate") is None
    except AttributeError:
        return False
