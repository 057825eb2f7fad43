"""Steps of an augmentation's kernels on the rows of a batch, and the job in which threads lead rows through them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from audiofeed.augment.kernels.gain_code import write_gain
from audiofeed.augment.kernels.row_code import JOB, ROW, write_driver
from audiofeed.methods.short_time.kernel import guard, jit
from audiofeed.parallel.kept_memory import kept_empty


@dataclass(frozen=True, eq=False)
class RowStep:
    """Step of an augmentation on some rows of a batch, to be done by a kernel.

    Args:
        machine: The kernel's code, of the form that `row_code.RowCode` writes.
        rows: The rows that it changes, in any order.
        numbers: int64 (rows, numbers), what the kernel reads of each behind `row_code.ROW`.
        fields: What it reads beside.
        memory: Bytes that a thread works in.
        keeps: What the addresses among the numbers point into.
        alike: int64 (rows,), equal for rows that read the same; they are best done one after another.
    """

    machine: jit.Machine
    rows: list[int]
    numbers: np.ndarray
    fields: tuple[int, ...] = ()
    memory: int = 0
    keeps: Any = None
    alike: np.ndarray | None = None


def readable(*tensors: torch.Tensor) -> bool:
    """Return whether an augmentation's kernel may read float32 tensors: in memory, observed by nobody, without a graph.

    >>> readable(torch.zeros(3, requires_grad=True))
    False
    """
    graph = torch.is_grad_enabled()
    return bool(jit.lanes()) and all(
        x.dtype == torch.float32 and guard.watched(x) is None and not (graph and x.requires_grad) for x in tensors
    )


@functools.lru_cache(maxsize=1)
def _driver() -> jit.Machine | None:
    return jit.compiled(write_driver())


@functools.lru_cache(maxsize=4)
def _gain(lanes: int) -> jit.Machine | None:
    return jit.compiled(write_gain(lanes))


def gain_step(rows: list[int], factors: torch.Tensor) -> RowStep | None:
    """Return the step that multiplies rows of an augmentation's batch; None where there is no kernel.

    Args:
        rows: The rows to multiply.
        factors: (batch,), of each row.
    """
    machine = _gain(jit.lanes())
    return None if machine is None else RowStep(machine, rows, float_bits(factors)[rows][:, None])


def done(
    waveforms: torch.Tensor, lengths: Sequence[int], steps: Sequence[RowStep], *, padded: bool = True
) -> torch.Tensor:
    """Return an augmentation's waveforms after steps on their rows, each row led through all of them at once.

    Args:
        waveforms: (batch, [channel,] time) float32, `readable`, 0 past the lengths.
        lengths: Of each row, in samples.
        steps: One after another.
        padded: Whether rows are 0 past their lengths; otherwise rows that no step changes are copied whole.
    """
    x = waveforms if waveforms.stride(-1) == 1 else waveforms.contiguous()
    result = kept_empty(x.shape, torch.float32)
    batch, channels = len(x), x.shape[1] if x.dim() == 3 else 1
    touched = np.zeros(batch, bool)
    for step in steps:
        touched[step.rows] = True
    times = np.array(lengths, np.int64)
    if not touched.all():
        left = np.flatnonzero(~touched)
        if not padded:
            times[left] = x.shape[-1]
        copied = gain_step(left.tolist(), torch.ones(batch, device="cpu"))
        assert copied is not None
        steps = [*steps, copied]
    base = np.empty((batch, len(ROW)), np.int64)
    number = np.arange(batch)
    pitch = 4 * result.stride(1) if x.dim() == 3 else 0
    base[:, 0], base[:, 1] = x.data_ptr() + 4 * x.stride(0) * number, 4 * x.stride(1) if x.dim() == 3 else 0
    base[:, 2], base[:, 3] = result.data_ptr() + 4 * result.stride(0) * number, pitch
    base[:, 4], base[:, 5], base[:, 6] = channels, times, x.shape[-1]
    places = np.zeros((batch, len(steps)), np.int64)
    kept = []
    for place, step in enumerate(steps):
        own = np.concatenate([base[step.rows], step.numbers], 1)
        # what is read from now on is the result
        base[step.rows, :2] = base[step.rows, 2:4]
        places[step.rows, place] = own.ctypes.data + own.strides[0] * np.arange(len(own))
        kept.append((own, np.array(step.fields or (0,), np.int64)))
    table = np.array(
        [(step.machine.address, fields.ctypes.data) for step, (_, fields) in zip(steps, kept, strict=True)]
    )
    alike = np.zeros(batch, np.int64)
    for step in steps:
        if step.alike is not None:
            alike[step.rows] = step.alike
    # the longest first, so that no thread begins with it when the others end
    places = np.ascontiguousarray(places[np.lexsort((alike, -base[:, 5]))])
    n_threads = max(1, min(torch.get_num_threads(), batch, x.numel() // jit.FEW_SAMPLES))
    of_each = -(-max(step.memory for step in steps) // jit.ALIGNED) * jit.ALIGNED
    memory = kept_empty((n_threads * of_each // 4 + jit.ALIGNED // 4,), torch.float32)
    begin = memory.data_ptr()
    job = {
        "next_row": 0,
        "next_thread": 0,
        "n_rows": batch,
        "rows": places.ctypes.data,
        "n_steps": len(steps),
        "steps": table.ctypes.data,
        "memory": begin + -begin % jit.ALIGNED,
        "memory_of_each": of_each,
    }
    driver = _driver()
    assert driver is not None
    driver.run_job(np.array([job[name] for name in JOB], np.int64), n_threads)
    return result


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
