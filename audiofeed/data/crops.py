"""Crops: the part of a clip that becomes an example.

A crop maps the length of a clip to a start and a length in frames. A clip shorter than the crop is taken whole, and the
collate pads the batch and carries the true lengths; with `pad=True` the crop reaches beyond the clip's end, and what it
finds there is silence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from audiofeed.data.seeds import draw_below, seed_of

# sets the crop's draw apart from whatever else (augmentation) draws from the example's seed
_CROP_DRAW = 0x63726F70


class Crop(Protocol):
    """Protocol of a crop, the part of a clip that becomes an example: any object with these two methods.

    One that may reach beyond the clip's end, which is then filled with silence, says so by an attribute `pad` that is
    True; without it, a place outside the clip is an error.
    """

    def count(self, frames: int, sample_rate: int) -> int:
        """Return the number of crops that a clip gives, each of them an example.

        Args:
            frames: Length of the clip in frames, 1 or more.
            sample_rate: Hz.

        Returns:
            1 or more.
        """
        ...

    def place(self, frames: int, sample_rate: int, *, seed: int = 0, part: int = 0) -> tuple[int, int]:
        """Place the crop of one of a clip's examples.

        Args:
            frames: Length of the clip in frames, 1 or more.
            sample_rate: Hz.
            seed: The example's 63-bit seed.
            part: Index of the example, 0 to count - 1.

        Returns:
            (start, length) in frames, within the clip unless the crop has `pad`.
        """
        ...


def check_place(crop: Crop, start: int, length: int, frames: int) -> None:
    """Check the place of a crop, which may be a user's own: it must lie in its clip, or begin there if it pads.

    Args:
        crop: The crop.
        start: First frame that it gave.
        length: Number of frames that it gave.
        frames: Length of the clip in frames.

    Raises:
        ValueError: The place has no frames or lies outside of the clip.

    >>> check_place(RandomCrop(1.0), 10, 90, 100)
    """
    inside = 0 <= start < frames and length >= 1
    if not inside or (start + length > frames and not getattr(crop, "pad", False)):
        raise ValueError(
            f"crop={crop!r} placed {length} frames from frame {start} in a clip of {frames}; a crop must lie within "
            "its clip, or begin there and have an attribute pad that is True, for silence beyond the end"
        )


def _check_seconds(name: str, value: float) -> None:
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not (is_number and math.isfinite(value) and value > 0):
        raise ValueError(f"{name}={value!r} must be a finite number of seconds above 0")


def _frames(seconds: float, sample_rate: int) -> int:
    """Round the seconds of a crop to frames, at least one, the halves upwards."""
    return max(1, math.floor(seconds * sample_rate + 0.5))


def _check_count(name: str, value: Any) -> None:
    """Check a number of samples that a crop is given: an integer, 1 or more."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name}={value!r} must be an integer number of samples, 1 or more")


def _check_length(seconds: float | None, samples: int | None) -> None:
    """Check the length of a crop, which is given in seconds or in samples, and not in both."""
    if (seconds is None) == (samples is None):
        raise ValueError(
            f"seconds={seconds!r} and samples={samples!r}: a crop has one length; give seconds, or samples at the "
            "dataset's sample rate"
        )
    if seconds is not None:
        _check_seconds("seconds", seconds)
    else:
        _check_count("samples", samples)


def _check_pad(pad: Any) -> None:
    # a text such as "no" would be taken for True
    if not isinstance(pad, (bool, np.bool_)):
        raise ValueError(f"pad={pad!r} must be True, for silence after a clip that is shorter, or False")


def _length(crop: RandomCrop | CenterCrop, sample_rate: int) -> int:
    """Return the length of a crop in frames."""
    return int(crop.samples) if crop.seconds is None else _frames(crop.seconds, sample_rate)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class RandomCrop:
    """Crop of fixed length from anywhere in the clip, every start equally likely.

    Args:
        seconds: Length in seconds, above 0; give this or `samples`.
        samples: Length in samples at the dataset's sample rate, 1 or more.
        grid: Starts are multiples of so many samples, counted from the clip's first, 1 or more: with the hop of labels
            made in advance at a frame rate, a crop's labels are those of the whole clip. None: every sample.
        pad: False takes a clip that is shorter whole, and the batch carries its length; True fills it up with silence
            at the end, so that all examples are equally long.

    Raises:
        ValueError: `seconds` is not a finite number above 0, `samples` or `grid` is not an integer of 1 or more,
            `pad` is neither True nor False, or both lengths are given, or none.

    >>> RandomCrop(2.0).place(80_000, 16_000, seed=1)[1]
    32000
    >>> RandomCrop(2.0).place(20_000, 16_000, seed=1)
    (0, 20000)
    >>> RandomCrop(samples=32_000, pad=True).place(20_000, 16_000, seed=1)
    (0, 32000)
    >>> RandomCrop(2.0, grid=512).place(80_000, 16_000, seed=1)[0] % 512
    0
    """

    seconds: float | None = None
    samples: int | None = None
    grid: int | None = None
    pad: bool = False

    def __post_init__(self) -> None:
        _check_length(self.seconds, self.samples)
        _check_pad(self.pad)
        if self.grid is not None:
            _check_count("grid", self.grid)

    def count(self, frames: int, sample_rate: int) -> int:
        """Return 1: a random crop makes one example of a clip.

        Args:
            frames: Not used.
            sample_rate: Not used.

        Returns:
            1.
        """
        return 1

    def place(self, frames: int, sample_rate: int, *, seed: int = 0, part: int = 0) -> tuple[int, int]:
        """Return start and length of a random crop in frames of the clip.

        Args:
            frames: Length of the clip in frames, 1 or more.
            sample_rate: Hz.
            seed: The example's 63-bit seed; the same seed gives the same start.
            part: Always 0.

        Returns:
            (start, length) in frames; the length is beyond the clip's end only with `pad`.
        """
        wanted = _length(self, sample_rate)
        length = min(frames, wanted)
        grid = 1 if self.grid is None else int(self.grid)
        start = grid * draw_below((frames - length) // grid + 1, seed_of(seed, _CROP_DRAW))
        return start, wanted if self.pad else length


@dataclass(frozen=True, slots=True)
class CenterCrop:
    """Crop of the middle of the clip.

    Args:
        seconds: Length in seconds, above 0; give this or `samples`.
        samples: Length in samples at the dataset's sample rate, 1 or more.
        pad: False takes a clip that is shorter whole; True fills it up with silence at the end.

    Raises:
        ValueError: `seconds` is not a finite number above 0, `samples` is not an integer of 1 or more, `pad` is neither
            True nor False, or both lengths are given, or none.

    >>> CenterCrop(1.0).place(24_000, 16_000)
    (4000, 16000)
    >>> CenterCrop(samples=32_000, pad=True).place(24_000, 16_000)
    (0, 32000)
    """

    seconds: float | None = None
    samples: int | None = None
    pad: bool = False

    def __post_init__(self) -> None:
        _check_length(self.seconds, self.samples)
        _check_pad(self.pad)

    def count(self, frames: int, sample_rate: int) -> int:
        """Return 1: a center crop makes one example of a clip.

        Args:
            frames: Not used.
            sample_rate: Not used.

        Returns:
            1.
        """
        return 1

    def place(self, frames: int, sample_rate: int, *, seed: int = 0, part: int = 0) -> tuple[int, int]:
        """Return start and length of a center crop in frames of the clip.

        Args:
            frames: Length of the clip in frames, 1 or more.
            sample_rate: Hz.
            seed: Not used; there is one middle.
            part: Always 0.

        Returns:
            (start, length) in frames; the length is beyond the clip's end only with `pad`.
        """
        wanted = _length(self, sample_rate)
        length = min(frames, wanted)
        return (frames - length) // 2, wanted if self.pad else length


@dataclass(frozen=True, slots=True)
class Windows:
    """Crops to every window of a clip in turn, so that one clip gives several examples.

    A window is `seconds` rounded to whole samples, so that all windows are equally long. Windows side by side start at
    multiples of that length: each sample lies in exactly one, and with 1/3 s at 16 kHz (5333 samples) window k starts
    k / 3 samples before k / 3 s. With a `stride`, window k starts at k * stride, rounded for itself: windows that
    overlap leave no sample out, and a stride longer than a window leaves the gaps that it asks for. A clip shorter
    than a window gives one example, the whole clip.

    Args:
        seconds: Length of a window, above 0.
        stride: Seconds from one start to the next, 0.001 or more; None, or `seconds` itself, for windows side by side.
        last: "drop" discards a remainder that is shorter than a window; "keep" makes it a shorter last window, for an
            evaluation that must see every sample.

    Raises:
        ValueError: An argument is out of range.

    >>> windows = Windows(1.0, stride=0.5)
    >>> [windows.place(28_000, 16_000, part=k) for k in range(windows.count(28_000, 16_000))]
    [(0, 16000), (8000, 16000)]
    >>> windows = Windows(1.0, stride=0.5, last="keep")
    >>> [windows.place(28_000, 16_000, part=k) for k in range(windows.count(28_000, 16_000))]
    [(0, 16000), (8000, 16000), (16000, 12000)]
    >>> windows = Windows(1 / 3, last="keep")
    >>> [windows.place(12_000, 16_000, part=k) for k in range(windows.count(12_000, 16_000))]
    [(0, 5333), (5333, 5333), (10666, 1334)]
    """

    seconds: float
    stride: float | None = None
    last: Literal["drop", "keep"] = "drop"

    def __post_init__(self) -> None:
        _check_seconds("seconds", self.seconds)
        # keys carry the start to the millisecond and must stay distinct
        if self.stride is not None and not (math.isfinite(self.stride) and self.stride >= 0.001):
            raise ValueError(f"stride={self.stride!r} must be a finite number of seconds, 0.001 or more, or None")
        if self.last not in ("drop", "keep"):
            raise ValueError(f"last={self.last!r} must be 'drop' or 'keep'")

    def count(self, frames: int, sample_rate: int) -> int:
        """Return the number of windows that a clip is cropped to.

        Args:
            frames: Length of the clip in frames, 1 or more.
            sample_rate: Hz.

        Returns:
            1 or more.
        """
        length = _frames(self.seconds, sample_rate)
        if frames <= length:
            return 1
        if self._side_by_side(sample_rate):
            return -(-frames // length) if self.last == "keep" else frames // length
        assert self.stride is not None
        # the guess is off by one at most, where the product rounds
        whole = int((frames - length) / (self.stride * sample_rate)) + 1
        while self._start(whole, sample_rate) + length <= frames:
            whole += 1
        while self._start(whole - 1, sample_rate) + length > frames:
            whole -= 1
        covered = self._start(whole - 1, sample_rate) + length
        rest = self._start(whole, sample_rate)
        return whole + (self.last == "keep" and covered < frames and rest < frames)

    def place(self, frames: int, sample_rate: int, *, seed: int = 0, part: int = 0) -> tuple[int, int]:
        """Return start and length of one window, as a crop in frames of the clip.

        Args:
            frames: Length of the clip in frames, 1 or more.
            sample_rate: Hz.
            seed: Not used; windows have fixed places.
            part: Index of the window, 0 to count - 1.

        Returns:
            (start, length) in frames.
        """
        start = self._start(part, sample_rate)
        return start, min(_frames(self.seconds, sample_rate), frames - start)

    def _side_by_side(self, sample_rate: int) -> bool:
        """Return True if each of a clip's windows begins where the one before it ends."""
        if self.stride is None or math.isclose(self.stride, self.seconds, rel_tol=1e-9):
            return True
        # windows that overlap by a fraction of a frame, rounded one by one, would leave a frame out here and there
        return self.stride < self.seconds and math.ceil(self.stride * sample_rate) > _frames(self.seconds, sample_rate)

    def _start(self, part: int, sample_rate: int) -> int:
        if self._side_by_side(sample_rate):
            return part * _frames(self.seconds, sample_rate)
        assert self.stride is not None
        # rounded for each window alone, so that strides of a fraction of a frame do not drift
        return math.floor(part * self.stride * sample_rate + 0.5)
