"""Crops: the part of a clip that becomes an example.

A crop maps the length of a clip to a start and a length in frames. It never pads: a clip shorter than the crop is taken
whole, and the collate pads the batch and carries the true lengths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

from audiofeed.data.seeds import draw_below, seed_of

# sets the crop's draw apart from whatever else (augmentation) draws from the example's seed
_CROP_DRAW = 0x63726F70


class Crop(Protocol):
    """Protocol of a crop, the part of a clip that becomes an example: any object with these two methods."""

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
            (start, length) in frames, within the clip.
        """
        ...


def _check_seconds(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name}={value!r} must be a finite number of seconds above 0")


def _frames(seconds: float, sample_rate: int) -> int:
    """Round the seconds of a crop to frames, at least one, the halves upwards."""
    return max(1, math.floor(seconds * sample_rate + 0.5))


@dataclass(frozen=True, slots=True)
class RandomCrop:
    """Crop of fixed length from anywhere in the clip, every start equally likely.

    Args:
        seconds: Length, above 0; a shorter clip is taken whole, unpadded.

    Raises:
        ValueError: `seconds` is not a finite number above 0.

    >>> RandomCrop(2.0).place(80_000, 16_000, seed=1)[1]
    32000
    >>> RandomCrop(2.0).place(20_000, 16_000, seed=1)
    (0, 20000)
    """

    seconds: float

    def __post_init__(self) -> None:
        _check_seconds("seconds", self.seconds)

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
            (start, length) in frames.
        """
        length = min(frames, _frames(self.seconds, sample_rate))
        return draw_below(frames - length + 1, seed_of(seed, _CROP_DRAW)), length


@dataclass(frozen=True, slots=True)
class CenterCrop:
    """Crop of the middle of the clip.

    Args:
        seconds: Length, above 0; a shorter clip is taken whole, unpadded.

    Raises:
        ValueError: `seconds` is not a finite number above 0.

    >>> CenterCrop(1.0).place(24_000, 16_000)
    (4000, 16000)
    """

    seconds: float

    def __post_init__(self) -> None:
        _check_seconds("seconds", self.seconds)

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
            (start, length) in frames.
        """
        length = min(frames, _frames(self.seconds, sample_rate))
        return (frames - length) // 2, length


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
