"""Memory of a batch whose clips a dataset reads side by side, each into a row, so that padding it copies nothing.

A dataset knows how long the clips of a batch are before it reads them. Where they come from memory, copying each into
memory of its own and again into the batch is most of the time that a batch takes, so they are read into one block, in
which the collate clears what lies past their ends. The block is found again by where the clips lie; whoever takes the
examples apart, or puts them together in another order, has ordinary tensors and an ordinary batch.
"""

from __future__ import annotations

import math
import os
import weakref
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import get_worker_info

from audiofeed.parallel.kept_memory import kept_empty
from audiofeed.parallel.lent_files import LentFiles, can_lend

# bytes up to which tensors travel with the pickle of a batch: a file of their own takes a connection each
SMALL = 1 << 15

_lent = LentFiles()


def _forget() -> None:
    """Let a forked process lend files of its own, and know no rows of its parent's."""
    global _lent
    _lent = LentFiles()
    _known.clear()


def in_worker_process() -> bool:
    """Return True in a DataLoader's worker that shares no memory with the training process unless it asks for it.

    >>> in_worker_process()
    False
    """
    info = get_worker_info()
    # a version of torch has workers that are threads of the training process
    return info is not None and getattr(info, "worker_method", None) != "thread"


class _Rows:
    """Block of memory of a batch, as the dataset writes it and as the batch has it.

    Args:
        memory: (batch, [channel,] time) int16, written by the dataset.
        tensor: The same bytes for the batch; in a DataLoader's worker other processes can map them.
    """

    __slots__ = ("__weakref__", "clear_from", "memory", "tensor")

    def __init__(self, memory: np.ndarray, tensor: torch.Tensor) -> None:
        self.memory, self.tensor = memory, [tensor]
        self.clear_from = [memory.shape[-1]] * len(memory)


# By the address of their first sample, for as long as one of their clips is there.
_known: weakref.WeakValueDictionary[int, _Rows] = weakref.WeakValueDictionary()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class _Held:
    """Hold of a dataset's clips on the block of memory that they lie in."""

    __slots__ = ("__array_interface__", "_rows")

    def __init__(self, rows: _Rows) -> None:
        self._rows = rows
        self.__array_interface__ = rows.memory.__array_interface__


def empty_rows(shape: tuple[int, ...]) -> np.ndarray | None:
    """Return memory for the clips of a batch, one row for each.

    Args:
        shape: (batch, time) or (batch, channel, time), of int16.

    Returns:
        The rows, with anything in them; None in a DataLoader's worker that has no memory to share in this way.

    Raises:
        OSError: There is no memory left for them.

    >>> empty_rows((2, 8)).shape
    (2, 8)
    """
    if not in_worker_process():
        tensor = kept_empty(shape, torch.int16)
        memory = tensor.numpy()
    else:
        size = 2 * math.prod(shape)
        if size <= SMALL or not can_lend() or torch.multiprocessing.get_sharing_strategy() != "file_descriptor":
            return None
        number, mapped = _lent.lend_open(size)
        try:
            storage = torch.UntypedStorage._new_shared_fd_cpu(number, size)  # type: ignore[attr-defined]
        finally:
            os.close(number)
        tensor = torch.empty(0, dtype=torch.int16, device="cpu").set_(storage, 0, shape)  # type: ignore[call-overload]
        vars(tensor)["lent"] = _lent.latest
        memory = mapped.view(np.int16).reshape(shape)
    rows = _Rows(memory, tensor)
    _known[memory.ctypes.data] = rows
    return np.asarray(_Held(rows))


class Row(NamedTuple):
    """Memory for a clip of a dataset, as one row of a batch or on its own.

    Args:
        memory: uint8, (2 * time,) or (channel, 2 * time).
        tensor: The same memory, int16, (time,) or (channel, time).
    """

    memory: np.ndarray
    tensor: torch.Tensor

    @property
    def size(self) -> int:
        """Samples that a row of a batch has room for."""
        return self.memory.shape[-1] // 2

    def beginning(self, count: int) -> Row:
        """Return the first samples of a batch's row."""
        return self if count == self.size else Row(self.memory[..., : 2 * count], self.tensor[..., :count])


def each_row(rows: np.ndarray) -> list[Row]:
    """Return the rows of a batch's memory, one for each clip.

    Args:
        rows: (batch, time) or (batch, channel, time), int16.

    >>> [row.tensor.shape for row in each_row(np.zeros((2, 8), np.int16))]
    [torch.Size([8]), torch.Size([8])]
    """
    return list(map(Row, rows.view(np.uint8), torch.from_numpy(rows).unbind()))


def note_clear_rows(rows: np.ndarray, ends: Sequence[int]) -> None:
    """Take note that a dataset has cleared the rows of a batch from some samples on.

    Args:
        rows: As `empty_rows` returned them.
        ends: The first sample of each row from which on it is clear.
    """
    _known[rows.ctypes.data].clear_from = list(ends)


def batch_of_rows(waveforms: Sequence[torch.Tensor], shape: tuple[int, ...]) -> torch.Tensor | None:
    """Return the batch that clips lie in already, zero past the end of each, if that is how they lie.

    Args:
        waveforms: The clips, (time,) or (channel, time).
        shape: Of the batch, (batch, time) or (batch, channel, time).

    Returns:
        The batch, once; None for other clips, another shape, and the second batch of the same clips.

    >>> rows = empty_rows((2, 3))
    >>> rows[:] = 7
    >>> clips = [torch.from_numpy(rows[0, :1]), torch.from_numpy(rows[1])]
    >>> batch_of_rows(clips, (2, 3)).tolist(), batch_of_rows(clips, (2, 3))
    ([[7, 0, 0], [7, 7, 7]], None)
    """
    if not _known:
        return None
    at = waveforms[0].data_ptr()
    rows = _known.get(at)
    if rows is None or rows.memory.shape != shape or len(waveforms) != shape[0]:
        return None
    step, strides = 2 * math.prod(shape[1:]), (*shape[2:], 1)
    for number, waveform in enumerate(waveforms):
        if waveform.dtype != torch.int16 or waveform.data_ptr() != at + number * step or waveform.stride() != strides:
            return None
    try:
        tensor = rows.tensor.pop()  # atomic: of two threads one has it
    except IndexError:
        return None
    for row, waveform, end in zip(rows.memory, waveforms, rows.clear_from, strict=True):
        length = waveform.shape[-1]
        if length < end:
            row[..., length:end] = 0
    return tensor
