"""Jobs of an augmentation's kernels: what threads are given, memory they work in, and which tensors kernels may read."""

from __future__ import annotations

import numpy as np
import torch

from audiofeed.augment.kernels.row_code import THREADS
from audiofeed.methods.short_time.kernel import guard, jit
from audiofeed.parallel.kept_memory import kept_empty


def readable(*tensors: torch.Tensor) -> bool:
    """Return whether an augmentation's kernel may read float32 tensors: in memory, observed by nobody, without a graph.

    >>> readable(torch.zeros(3, requires_grad=True))
    False
    """
    graph = torch.is_grad_enabled()
    return bool(jit.lanes()) and all(
        x.dtype == torch.float32 and guard.watched(x) is None and not (graph and x.requires_grad) for x in tensors
    )


def run_rows(
    machine: jit.Machine, rows: np.ndarray, n_values: int, memory_of_each: int = 0, fields: tuple[int, ...] = ()
) -> None:
    """Run an augmentation's kernel on rows that torch's number of threads take in turn.

    Args:
        machine: The kernel.
        rows: int64 (rows, numbers).
        n_values: Values of all rows, of which each thread should have some.
        memory_of_each: Bytes that a thread works in.
        fields: Numbers of the job behind `row_code.THREADS`.
    """
    if not len(rows):
        return
    rows = np.ascontiguousarray(rows, np.int64)
    n_threads = max(1, min(torch.get_num_threads(), len(rows), n_values // jit.FEW_SAMPLES))
    of_each = -(-memory_of_each // jit.ALIGNED) * jit.ALIGNED
    memory = kept_empty((n_threads * of_each // 4 + jit.ALIGNED // 4,), torch.float32)
    begin = memory.data_ptr()
    own = (0, 0, len(rows), rows.ctypes.data, begin + -begin % jit.ALIGNED, of_each)
    assert len(own) == len(THREADS)
    machine.run_job(np.array(own + fields, dtype=np.int64), n_threads)


def float_bits(values: torch.Tensor) -> np.ndarray:
    """Return float32 numbers of an augmentation's rows as the integers that a kernel takes them from.

    >>> float_bits(torch.tensor([1.0])).tolist() == [0x3F800000]
    True
    """
    return values.to(torch.float32).numpy().view(np.int32).astype(np.int64)


def double_bits(values: torch.Tensor) -> np.ndarray:
    """Return float64 numbers of an augmentation's rows as the integers that a kernel takes them from.

    >>> double_bits(torch.tensor([1.0])).tolist() == [0x3FF0000000000000]
    True
    """
    return values.to(torch.float64).numpy().view(np.int64)


def changed_rows_of(waveforms: torch.Tensor, rows: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return an augmentation's waveforms as a kernel reads them, and memory for the result, with all other rows in it.

    Args:
        waveforms: (batch, ..., time) float32.
        rows: Those that the kernel writes.

    >>> changed_rows_of(torch.ones(2, 3), [0])[1][1]
    tensor([1., 1., 1.])
    """
    x = waveforms if waveforms.stride(-1) == 1 else waveforms.contiguous()
    result = kept_empty(x.shape, torch.float32)
    for row in sorted(set(range(len(x))).difference(rows)):
        result[row] = x[row]
    return x, result
