"""How the fused kernel takes a frame apart, and the tables for it.

A frame of N samples is R blocks of M. The first stage transforms across the blocks, q = 0 .. R / 2, for every place m
in a block; the second inside, bins R k + q. Both m and k are counted from half a sample on, which turns a bin's phase
but not its power: then the places m and M - 1 - m, and the bins k and M - 1 - k, share their cosines and sines, and the
second stage's products are of half the size in each direction, without a sample or a bin left over. Both stages and the
filters are products of tensor cores.

Counted for 400 samples, hop 160 and 80 filters (Whisper's): a frame is 640 bytes in and 320 out, which at the 3 TB/s of
an H100 allows 3e9 frames a second, or 8,600 hours of audio. One product with all cosines would be 80,000
multiplications in three TF32 parts each; the two stages are 8,200 and 8,700, the filters 22,000 in three parts of
bfloat16. At the rates of an H100's tensor cores that allows 3,000 hours and more. What limits is the rest: 1,000
instructions of a warp for each frame by the compiler's own listing, which is 2,400 hours at four in every cycle of a
multiprocessor, and about 1,000 at the usual two. An H200 does 601 (see `launch.launch_settings`).

TF32 keeps 11 bits: both factors are split in two parts, and three of the four products summed, so that the error is
that of float32. Powers are positive, so that a filter's sum cancels nothing, and two parts of 8 bits each keep it to
1e-5 of itself.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

NARROWEST = 16  # the least that a product of tensor cores takes
WIDEST = 64
# of a frame, with what fills up its tiles: they stay in registers, which more would not fit into
MOST_VALUES = 1024


def _filled(n: int) -> int:
    """Return the power of two, and the tile of the fused kernel, that n columns fit into."""
    return max(NARROWEST, 1 << (n - 1).bit_length())


@dataclass(frozen=True)
class Split:
    """Split of a frame of `n_fft` samples for the fused kernel into `blocks` of `size` samples.

    >>> split = split_for(400)
    >>> split, split.size, split.half, split.width
    (Split(n_fft=400, blocks=16), 25, 13, 16)
    """

    n_fft: int
    blocks: int

    @property
    def size(self) -> int:
        """Samples of each block of a frame in the fused kernel."""
        return self.n_fft // self.blocks

    @property
    def half(self) -> int:
        """Places in half a block of the fused kernel, the middle one included."""
        return (self.size + 1) // 2

    @property
    def width(self) -> int:
        """Columns of the fused kernel's tiles for half a block."""
        return _filled(self.half)

    @property
    def height(self) -> int:
        """Columns of the fused kernel's tiles for all blocks."""
        return _filled(self.blocks)

    @property
    def n_values(self) -> int:
        """Values of one frame that the fused kernel holds."""
        return 2 * self.height * self.width

    @property
    def cost(self) -> float:
        """Rough number of operations of the fused kernel for a frame, products of tensor cores a sixteenth."""
        products = 2 * self.width * self.height**2 + 2 * self.height * self.width**2 + 2 * self.width**2
        return 3 * products / 16 + 20 * self.n_values

    def bins(self, q: int, late: bool) -> np.ndarray:
        """Return the bin of each k in the fused kernel's second stage; -1 for none. `late`: k counts from the end.

        >>> split_for(400).bins(1, False).tolist()
        [1, 17, 33, 49, 65, 81, 97, 113, 129, 145, 161, 177, 193, -1, -1, -1]
        """
        k = np.arange(self.width)
        own = k < (self.size // 2 if late else self.half)
        bins = self.blocks * (self.size - 1 - k if late else k) + q
        bins = np.where(bins > self.n_fft // 2, self.n_fft - bins, bins)
        if q == 0 and late:  # the others are those of k counted from the beginning
            own &= bins > self.blocks * (self.half - 1)
        return np.where(own & (q <= self.blocks // 2), bins, -1)

    @functools.cached_property
    def columns(self) -> np.ndarray:
        """The bins in the order in which the fused kernel's filters sum them, -1 for none.

        Those by k and q, the late ones by k and q, and those of q = R / 2 by k.
        """
        several = range(self.height // 2)
        none = np.full(self.width, -1)
        parts = [
            np.stack([self.bins(q, late) if q < self.blocks // 2 else none for q in several], axis=1)
            for late in (False, True)
        ]
        return np.concatenate([*(part.reshape(-1) for part in parts), self.bins(self.blocks // 2, False)])

    def first_stage(self) -> np.ndarray:
        """Return the cosines and sines of the fused kernel's first stage, each in two parts of 11 bits.

        Shape: (cosines' high and low part, sines' too, block, q), float32.
        """
        block, q = np.arange(self.height)[:, None], np.arange(self.height // 2)
        turned = np.exp(-2j * np.pi * (block * q % self.blocks) / self.blocks) * (block < self.blocks)
        return _in_parts(turned.real, turned.imag)

    def twiddles(self) -> np.ndarray:
        """Return by what the fused kernel multiplies the first stage's results, at m and at M - 1 - m.

        Shape: (real and imaginary parts of both, m, q), float32.
        """
        m = np.arange(self.width)[:, None] + 0.5
        turns = (np.arange(self.height // 2) - self.blocks / 2) / self.n_fft
        both = [np.exp(-2j * np.pi * turns * at) for at in (m, self.size - m)]
        return np.stack([part for one in both for part in (one.real, one.imag)]).astype(np.float32)

    def second_stage(self) -> np.ndarray:
        """Return the cosines and sines of the fused kernel's second stage, each in two parts of 11 bits.

        Shape: (cosines' high and low part, sines' too, m, k), float32.
        """
        at = np.arange(self.width) + 0.5
        own = np.zeros(self.width, dtype=bool)
        own[: self.half] = True
        phase = 2 * np.pi * np.outer(at, at) / self.size
        inside = own[:, None] & own
        return _in_parts(np.cos(phase) * inside, np.sin(phase) * inside)


def _in_parts(*wholes: np.ndarray) -> np.ndarray:
    """Return tables of the fused kernel in two parts each that TF32 holds.  Shape: (2 * wholes, ...)."""
    found = []
    for whole in wholes:
        high = parted(whole.astype(np.float32), 13)
        found += [high, parted((whole - high).astype(np.float32), 13)]
    return np.stack(found)


def parted(values: np.ndarray, bits: int) -> np.ndarray:
    """Return values of the fused kernel's tables without the last bits of their float32 mantissa, rounded.

    >>> parted(np.float32([1.00001, -3.0]), 13).tolist()
    [1.0, -3.0]
    """
    whole = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((whole + np.uint32(1 << (bits - 1))) & np.uint32(0xFFFFFFFF << bits & 0xFFFFFFFF)).view(np.float32)


@functools.cache
def split_for(n_fft: int) -> Split | None:
    """Return the split of frames for the fused kernel that costs least; None if there is none for the length.

    >>> split_for(401) is None, split_for(2 * 541) is None, split_for(1024)
    (True, True, Split(n_fft=1024, blocks=32))
    """
    found = []
    for blocks in range(2, WIDEST + 1, 2):
        split = Split(n_fft, blocks)
        if n_fft % blocks == 0 and split.width <= WIDEST and split.n_values <= MOST_VALUES:
            found.append((split.cost, blocks))
    return Split(n_fft, min(found)[1]) if found else None
