"""Memory of a batch's large tensors, kept for the next batch when nobody holds them any more.

Fresh memory costs a page fault for every 4 kB, a tenth of the time of reading a batch of files and computing its
features: the C library gives memory of this size back to the system and asks for it again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from audiofeed.parallel.observed import observed

# Bytes of a tensor from which on its memory is kept, and how many may lie unused: two batches of 64 clips of 10 s
LEAST, MOST = 1 << 20, 1 << 27
# No more than so many pieces lie unused: the samples of a batch, its features, those of the one before, and what a
# method works in
PIECES = 8
_ALIGNED = 64
_DTYPES = {
    torch.int16: np.int16,
    torch.float32: np.float32,
    torch.float64: np.float64,
    torch.complex64: np.complex64,
    torch.complex128: np.complex128,
}


class _Kept:
    """Pieces of memory of this process that no batch holds, those that lie unused for longest first.

    A piece comes back whenever its last tensor goes, also from a finalizer in the middle of any line here, where a lock
    could not be taken: each step on the dict is one that no other thread can get between.
    """

    def __init__(self) -> None:
        self.unused: dict[int, np.ndarray] = {}

    def take(self, size: int) -> np.ndarray:
        """Return the smallest kept piece of memory that is large enough, and not twice as large; else a new one."""
        for piece in sorted(self.unused.values(), key=len):
            # None if another thread took it
            if size <= len(piece) <= 2 * size and self.unused.pop(id(piece), None) is not None:
                return piece
        return np.empty(size, np.uint8)

    def give(self, piece: np.ndarray) -> None:
        """Keep a piece of memory that nobody holds any more, and let go of others if there are too many."""
        self.unused[id(piece)] = piece
        lying = list(self.unused.values())
        while len(lying) > PIECES or sum(map(len, lying)) > MOST:
            self.unused.pop(id(lying.pop(0)), None)


_kept = _Kept()


class _Lease:
    """Hold of a tensor on a piece of kept memory, which goes back when the last view of the tensor does."""

    __slots__ = ("__array_interface__", "_piece")

    def __init__(self, piece: np.ndarray) -> None:
        self._piece = piece
        self.__array_interface__ = piece.__array_interface__

    def __del__(self) -> None:
        if _kept is not None:  # at the end of the process
            _kept.give(self._piece)


def kept_empty(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """Return an uninitialized tensor on the CPU, in memory that is kept for another one when it goes.

    Args:
        shape: of the tensor. A small one is an ordinary tensor.
        dtype: float32 or float64, complex64 or complex128, or int16.

    >>> kept_empty((2, 3), torch.float32).shape
    torch.Size([2, 3])
    """
    size = math.prod(shape) * dtype.itemsize
    if size < LEAST:
        return torch.empty(shape, dtype=dtype, device="cpu")
    memory = np.asarray(_Lease(_kept.take(size + _ALIGNED)))
    start = -memory.ctypes.data % _ALIGNED
    return torch.from_numpy(memory[start : start + size].view(_DTYPES[dtype]).reshape(shape))


def kept_like(like: torch.Tensor, shape: Sequence[int], dtype: torch.dtype | None = None) -> torch.Tensor:
    """Return an uninitialized tensor on the device of another one, on a CPU in kept memory if nothing observes that.

    Args:
        like: the other tensor.
        shape: of the tensor.
        dtype: None: that of the other one.

    >>> kept_like(torch.zeros(1), (2, 3)).shape
    torch.Size([2, 3])
    """
    dtype = like.dtype if dtype is None else dtype
    small = math.prod(shape) * dtype.itemsize < LEAST
    if small or like.device.type != "cpu" or dtype not in _DTYPES or observed(like) is not None:
        return like.new_empty(shape, dtype=dtype)
    return kept_empty(shape, dtype)
