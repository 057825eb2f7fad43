"""How the CUDA kernel takes a frame apart: passes, threads, where samples lie in shared memory, and its table.

A real frame of N samples is a complex one of N / 2, transformed by Stockham's passes. Each pass is a transform of up to
32 points in the registers of one thread; between two passes the values change hands in shared memory. In the last pass
a thread has the bins k and N / 2 - k of which the real spectrum is untangled, so that this costs no exchange.

Neighboring threads compute the same part of neighboring frames: with 32 frames in a block a warp is one part of 32
frames, so that turns, window and filters are the same for all its lanes, nothing diverges, and 32 frames of a filter
are stored side by side. Samples come from memory once for all frames of a block, four at a time where a block lies
inside a row and its first sample where four can be loaded. In shared memory they lie in rows of one hop, and the rows
so far apart that lanes, which are one row apart each, meet no bank twice. What the compiler can know is written into
the text: where the window begins and ends (samples past it cost nothing), how wide filters are, how many shifts.

The figures that led here, for 400 samples, hop 160 and 80 filters (Whisper's), are in
benchmarks/results/fused_cuda.md, made without a card by `python benchmarks/kernels/fused_cuda.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from audiofeed.methods.short_time.fused.cuda_filters import STEP
from audiofeed.methods.short_time.fused.cuda_fourier import MOST_POINTS, factors, operations

LONGEST = 4096
LONGEST_HOP = 2**16
MOST_PASSES = 4
MOST_FRAMES = 32
MOST_THREADS = 320  # of a block, two of which have 96 registers for each thread
MOST_SHARED = 84 * 1024  # bytes of a block, two of which fit into a multiprocessor of compute capability 8.0
REGISTERS = 2**16  # of a multiprocessor
EXCHANGE = 10  # operations that a value costs which changes hands: stored, loaded, turned


@dataclass(frozen=True)
class Plan:
    """How the CUDA kernel computes frames of `n_fft` samples, `hop_length` apart.

    Args:
        n_fft, hop_length: of the frames.
        radices: points of the transforms of each pass.
        frames: frames of one block.

    >>> plan = plan_for(400, 160)
    >>> plan.radices, plan.frames, plan.parts, plan.values, plan.stride
    ((20, 10), 32, 10, 20, 162)
    """

    n_fft: int
    hop_length: int
    radices: tuple[int, ...]
    frames: int

    @property
    def half(self) -> int:
        """Complex values of one frame in the CUDA kernel."""
        return self.n_fft // 2

    @property
    def parts(self) -> int:
        """Threads of one frame in the CUDA kernel, each with two transforms of the last pass."""
        return _parts(self.half, self.radices)

    @property
    def values(self) -> int:
        """Most complex values that a thread of the CUDA kernel holds."""
        return _values(self.half, self.radices)

    @property
    def threads(self) -> int:
        """Threads of a block of the CUDA kernel."""
        return self.parts * self.frames

    @property
    def row(self) -> int:
        """Samples of one row in the CUDA kernel's shared memory."""
        return min(self.hop_length, self.n_fft)

    @property
    def stride(self) -> int:
        """Floats from row to row in the CUDA kernel's shared memory.

        Pairs of samples are loaded at once, by 16 lanes at a time: of as many frames as a block has, or 16. Rows of an
        odd length are side by side, since a pair may then lie in two.
        """
        if self.row % 2:
            return self.row
        step = 2 * max(1, 16 // self.frames)
        return self.row + (step - self.row) % (2 * step)

    @property
    def rows(self) -> int:
        """Rows of samples in the CUDA kernel's shared memory, for all frames of a block."""
        return self.frames if self.hop_length >= self.n_fft else self.frames - 1 + -(-self.n_fft // self.row)

    @property
    def samples(self) -> int:
        """Samples in the CUDA kernel's shared memory, for all frames of a block."""
        if self.hop_length >= self.n_fft:
            return self.frames * self.n_fft
        return (self.frames - 1) * self.hop_length + self.n_fft

    @property
    def gap(self) -> int:
        """How many values in the CUDA kernel's shared memory an empty one follows; 0: none, as banks never clash."""
        return self.radices[0] if self.frames < MOST_FRAMES and self.radices[0] % 2 == 0 else 0

    @property
    def shared(self) -> int:
        """Bytes of shared memory of a block of the CUDA kernel, without what the mean of a frame takes."""
        values = self.half + (self.half // self.gap if self.gap else 0)
        floats = max(self.rows * self.stride, 2 * values * self.frames, (self.half + STEP) * self.frames)
        return 4 * (floats + floats % 2)

    @property
    def blocks(self) -> int:
        """Blocks of the CUDA kernel for which a multiprocessor is to have registers."""
        each = 80 if self.values <= 16 else 96 if self.values <= 20 else 128
        return max(1, REGISTERS // (each * -(-self.threads // 32) * 32))

    @property
    def bin_pairs(self) -> int:
        """Pairs of turns of the real spectrum in the CUDA kernel's table."""
        last = self.radices[-1]
        return (self.half // last // 2 + 1) * ((last + 1) // 2)

    @staticmethod
    def pass_pairs(radix: int, done: int) -> int:
        """Return the pairs of turns before a pass in the CUDA kernel's table, after those of so many points."""
        return done * (radix // 2)

    def table(self) -> np.ndarray:
        """Return the turns of the CUDA kernel: those of the real spectrum by bin, then those before each pass.

        Those that one thread takes one after another lie in pairs, beside the pairs of the next thread.

        Shape: (turns, 2), float32: real and imaginary parts.
        """
        last = self.radices[-1]
        groups = self.half // last
        found = [_in_pairs((np.arange(groups // 2 + 1)[:, None] + groups * np.arange(last)) / self.n_fft)]
        done = self.radices[0]
        for radix in self.radices[1:]:
            found.append(_in_pairs(np.arange(done)[:, None] * np.arange(1, radix) / (done * radix)))
            done *= radix
        angle = -2 * np.pi * np.concatenate(found)
        return np.stack([np.cos(angle), np.sin(angle)], axis=-1).astype(np.float32)


def _in_pairs(turns: np.ndarray) -> np.ndarray:
    """Return turns of threads in the order of the CUDA kernel's table.  Shape: (thread, turn) -> (flat,)."""
    even = np.pad(turns, ((0, 0), (0, turns.shape[1] % 2)))
    return even.reshape(len(turns), -1, 2).transpose(1, 0, 2).reshape(-1)


def _parts(half: int, radices: tuple[int, ...]) -> int:
    groups = half // radices[-1]
    return (groups + 1) // 2  # 0 and, of an even number, the middle one belong together


def _values(half: int, radices: tuple[int, ...]) -> int:
    parts = _parts(half, radices)
    own = [-(-half // radix // parts) * radix for radix in radices[:-1]]
    return max([*own, radices[-1] * min(2, half // radices[-1])])


def _ways(n: int, most: int) -> Iterator[tuple[int, ...]]:
    """Yield the ways to make points of at most `most` passes of the CUDA kernel."""
    if n <= MOST_POINTS:
        yield (n,)
    if most > 1:
        for radix in range(2, min(MOST_POINTS, n // 2) + 1):
            if n % radix == 0:
                for rest in _ways(n // radix, most - 1):
                    yield (radix, *rest)


def _cost(half: int, radices: tuple[int, ...]) -> float:
    """Return roughly the operations of the CUDA kernel for a frame, idle threads included."""
    parts = _parts(half, radices)
    found = 0.0
    for i, radix in enumerate(radices):
        times = 2 if i == len(radices) - 1 else -(-half // radix // parts)
        found += parts * times * (operations(radix) + (radix * EXCHANGE if i else 0))
    return found


@functools.cache
def plan_for(n_fft: int, hop_length: int) -> Plan | None:
    """Return the plan of the CUDA kernel that costs least; None if it cannot take such frames.

    >>> plan_for(401, 160) is None, plan_for(2 * 541, 160) is None, plan_for(512, 160).radices
    (True, True, (16, 16))
    """
    half = n_fft // 2
    if n_fft % 2 or not 4 <= n_fft <= LONGEST or factors(half) is None or hop_length > LONGEST_HOP:
        return None
    ways = [way for way in _ways(half, MOST_PASSES) if _values(half, way) <= MOST_POINTS]
    for way in sorted(ways, key=lambda way: (_cost(half, way), way)):
        for frames in (32, 16, 8, 4, 2, 1):
            plan = Plan(n_fft, hop_length, way, frames)
            if plan.threads <= MOST_THREADS and plan.shared <= MOST_SHARED:
                return plan
    return None
