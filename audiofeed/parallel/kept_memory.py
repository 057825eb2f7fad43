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
# glibc learns no larger sizes
_LEARNED = 1 << 25
# how NumPy names the types of a tensor in kept memory
_TYPES = {
    torch.int16: np.dtype(np.int16).str,
    torch.float32: np.dtype(np.float32).str,
    torch.float64: np.dtype(np.float64).str,
    torch.complex64: np.dtype(np.complex64).str,
    torch.complex128: np.dtype(np.complex128).str,
}


class _Piece:
    """Piece of kept memory: how many bytes it has from an aligned address on."""

    __slots__ = ("address", "memory", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        # The C library learns of memory that is freed that so much is asked for again: without it, each smaller tensor
        # of an operation would be given back to the system, as kept memory never is.
        np.empty(min(size, _LEARNED), np.uint8)
        self.memory = np.empty(size + _ALIGNED, np.uint8)
        self.address = -(-self.memory.ctypes.data // _ALIGNED) * _ALIGNED


class _Kept:
    """Pieces of memory of this process that no batch holds, those that lie unused for longest first.

    A piece comes back whenever its last tensor goes, also from a finalizer in the middle of any line here, where a lock
    could not be taken: each step on the dict is one that no other thread can get between.
    """

    def __init__(self) -> None:
        self.unused: dict[int, _Piece] = {}

    def take(self, size: int) -> _Piece:
        """Return the smallest kept piece of memory that is large enough, and not twice as large; else a new one."""
        best, least = None, 2 * size + 1
        for piece in list(self.unused.values()):
            if size <= piece.size < least:
                best, least = piece, piece.size
        # None if another thread took it
        if best is not None and self.unused.pop(id(best), None) is not None:
            return best
        return _Piece(size)

    def give(self, piece: _Piece) -> None:
        """Keep a piece of memory that nobody holds any more, and let go of others if there are too many."""
        self.unused[id(piece)] = piece
        lying = list(self.unused.values())
        total = 0
        for other in lying:
            total += other.size
        for other in lying:
            if len(self.unused) <= PIECES and total <= MOST:
                return
            self.unused.pop(id(other), None)
            total -= other.size


_kept = _Kept()


class _Lease:
    """Hold of a tensor on a piece of kept memory, which goes back when the last view of the tensor does."""

    __slots__ = ("__array_interface__", "_piece")

    def __init__(self, piece: _Piece, shape: tuple[int, ...], kind: str) -> None:
        self._piece = piece
        self.__array_interface__ = {"version": 3, "data": (piece.address, False), "shape": shape, "typestr": kind}

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
    return torch.from_numpy(np.asarray(_Lease(_kept.take(size), tuple(shape), _TYPES[dtype])))


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
    if math.prod(shape) * dtype.itemsize < LEAST or not keeps(like, dtype):
        return like.new_empty(shape, dtype=dtype)
    return kept_empty(shape, dtype)


def keeps(like: torch.Tensor, dtype: torch.dtype) -> bool:
    """Return whether memory of a type is kept beside a tensor: on a CPU, where nothing observes it.

    >>> keeps(torch.zeros(1), torch.float32)
    True
    """
    return like.device.type == "cpu" and dtype in _TYPES and observed(like) is None
