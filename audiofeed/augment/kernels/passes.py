"""Passes of the Fourier transform behind an augmentation's rooms: their radices, order and roots of unity."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

# points of a sub-block: 16 or 32 kB
SUB_BLOCK = 4096
# radix of the pass before a tile
LAST = 4
# of a block; 2 MB of float32 pairs
LARGEST = 1 << 18


@dataclass(frozen=True)
class Passes:
    """Passes of the Fourier transform of an augmentation's blocks.

    Args:
        lanes: Floats of a vector: 4, 8 or 16.
        size: Points, a power of two, 1024 or more.

    >>> Passes(16, 32768).radices
    (8, 8, 8, 4)
    """

    lanes: int
    size: int

    @functools.cached_property
    def outer(self) -> tuple[int, ...]:
        """Radices of the passes over whole blocks of an augmentation."""
        found: list[int] = []
        left = self.size
        while not found or left > SUB_BLOCK:
            # a sub-block has a whole tile of groups
            found.append(4 if found else min(8, left // self.lanes**2))
            left //= found[-1]
        return tuple(found)

    @functools.cached_property
    def sub(self) -> int:
        """Points of a sub-block of an augmentation's transform."""
        return self.size // int(np.prod(self.outer))

    @functools.cached_property
    def inner(self) -> tuple[int, ...]:
        """Radices of the passes over a sub-block of an augmentation, but for the last one across vectors."""
        bits, found = (self.sub // self.lanes // LAST).bit_length() - 1, []
        while bits:
            take = 2 if bits in (2, 4) else min(bits, 3)
            found.append(1 << take)
            bits -= take
        found.append(LAST)
        return tuple(found)

    @property
    def radices(self) -> tuple[int, ...]:
        """Radices of all passes of an augmentation's transform, but for the last one across vectors."""
        return self.outer + self.inner

    @functools.cached_property
    def order(self) -> np.ndarray:
        """The bin of the Fourier transform that stands at each place of an augmentation's spectrum."""
        bins, stride = np.zeros(1, np.int64), 1
        for radix in self.radices:
            bins = (bins[:, None] + stride * np.arange(radix)).reshape(-1)
            stride *= radix
        groups = bins.reshape(-1, self.lanes)  # (tile, group of it)
        rows = self.lanes // 4
        across = (np.arange(rows)[:, None] + rows * np.arange(4)).reshape(-1)
        each = groups[:, None] + stride * across[:, None]  # (tile, vector, group)
        return each.reshape(-1)

    @functools.cached_property
    def twiddles(self) -> tuple[np.ndarray, tuple[int, ...]]:
        """Roots of unity of an augmentation's passes, vector by vector, and the float at which those of each begin."""
        tables, begins, left, at = [], [], self.size, 0
        for number, radix in enumerate(self.radices):
            points = left // radix
            if number < len(self.outer):
                # of a whole block they would fill the cache: those of a vector's first lane, and of lanes beside it
                lanes = _roots(np.outer(np.arange(1, radix), np.arange(self.lanes)), left)  # (part, power, lane)
                firsts = _roots(np.outer(np.arange(0, points, self.lanes), np.arange(1, radix)), left)
                firsts = firsts.transpose(1, 2, 0).reshape(-1)  # (vector, power, part)
                own = [lanes.transpose(1, 0, 2).reshape(-1), firsts, np.zeros(-len(firsts) % self.lanes)]
                tables.append(np.concatenate(own).astype(np.float32))
            else:
                parts = _roots(np.outer(np.arange(points), np.arange(1, radix)), left)  # (part, point, power)
                parts = parts.reshape(2, points // self.lanes, self.lanes, radix - 1).transpose(1, 3, 0, 2)
                tables.append(parts.reshape(-1).astype(np.float32))
            begins.append(at)
            at += tables[-1].size
            left = points
        return np.concatenate(tables), tuple(begins)

    @property
    def work(self) -> int:
        """Floats that a block of an augmentation takes, sub-blocks apart from each other."""
        return 2 * self.size + 2 * self.lanes * (self.size // self.sub)


def _roots(powers: np.ndarray, period: int) -> np.ndarray:
    """Return roots of unity of an augmentation's transform, real and imaginary parts, (2, ...)."""
    angle = -2 * np.pi * (powers % period) / period
    return np.stack([np.cos(angle), np.sin(angle)])
