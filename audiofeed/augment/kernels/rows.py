"""Steps of an augmentation's kernels on the rows of a batch, and the job in which threads lead rows through them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from audiofeed.augment.kernels.row_code import AHEAD_BYTES, JOB, SHARED, write_driver, write_gain
from audiofeed.methods.short_time.kernel import guard, jit
from audiofeed.parallel.kept_memory import kept_empty

# the bits of a float32
ONE = 0x3F800000
_ONES = np.array([ONE], np.int64)


@dataclass(frozen=True, eq=False)
class RowStep:
    """Step of an augmentation on some rows of a batch, to be done by a kernel.

    Args:
        machine: The kernel's code, of the form that `row_code.RowCode` writes.
        rows: int64, the rows that it changes, in increasing order.
        numbers: int64 (rows, numbers), contiguous, what the kernel reads of each beside `row_code.ROW`.
        fields: What it reads beside.
        memory: Bytes that a thread works in.
        keeps: What the addresses among the numbers point into.
        alike: int64 (rows,), equal for rows that read the same; they are best done one after another.
        factor: Which of the numbers is a factor, the bits of a float32, by which it multiplies its result last; a gain
            that follows goes in there.
        sound: Which of the numbers is the address of samples that are read along with a row's, and the bytes of each.
        of: Whose rows they are.
    """

    machine: jit.Machine
    rows: np.ndarray
    numbers: np.ndarray
    fields: tuple[int, ...] = ()
    memory: int = 0
    keeps: Any = None
    alike: np.ndarray | None = None
    factor: int | None = None
    sound: tuple[int, int] | None = None
    of: Literal["waveforms", "features"] = "waveforms"


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


def gain_step(rows: np.ndarray, factors: np.ndarray) -> RowStep | None:
    """Return the step that multiplies rows of an augmentation's batch; None where there is no kernel.

    Args:
        rows: The rows to multiply.
        factors: (batch,), of each row.
    """
    machine = _gain(jit.lanes())
    return None if machine is None else RowStep(machine, rows, float_bits(factors)[rows][:, None], factor=0)


def joined(steps: Sequence[RowStep], batch: int) -> list[RowStep]:
    """Return an augmentation's steps with each gain done by the step before it, where that has the row and no gain."""
    kept: list[RowStep] = []
    may_join = False
    for step in steps:
        is_gain, before = step.machine is _gain(jit.lanes()), kept[-1] if kept else None
        if is_gain and may_join and before is not None and before.factor is not None:
            numbers, may_join = before.numbers.copy(), False
            kept[-1] = replace(before, numbers=numbers)
            if len(before.rows) == batch:
                numbers[step.rows, before.factor] = step.numbers[:, 0]
                continue
            place = np.full(batch, -1)
            place[before.rows] = np.arange(len(before.rows))
            at = place[step.rows]
            has = at >= 0
            numbers[at[has], before.factor] = step.numbers[has, 0]
            if not has.all():
                kept.append(replace(step, rows=step.rows[~has], numbers=step.numbers[~has]))
            continue
        kept.append(step)
        may_join = not is_gain
    return kept


@functools.lru_cache(maxsize=16)
def each_row(batch: int) -> np.ndarray:
    """Return all rows of an augmentation's batch, int64, which nobody may change.

    >>> each_row(3)
    array([0, 1, 2])
    """
    rows = np.arange(batch)
    rows.flags.writeable = False
    return rows


class Rows(NamedTuple):
    """Rows of an augmentation's batch, and the steps that they are led through.

    Args:
        values: (batch, [channel,] time) float32, `readable`.
        lengths: int64 (batch,), in samples.
        steps: One after another; at least one.
        padded: Whether rows are 0 past their lengths; otherwise rows that no step changes are copied whole.
    """

    values: torch.Tensor
    lengths: np.ndarray
    steps: Sequence[RowStep]
    padded: bool = True


def done(*jobs: Rows) -> list[torch.Tensor]:
    """Return an augmentation's rows after their steps, each row led through all of its own at once.

    Args:
        jobs: Done one after another, by the same threads.

    Raises:
        ValueError: A length is below 0, or past the padded size: a kernel would write into other memory.
    """
    copy, driver = _gain(jit.lanes()), _driver()
    assert copy is not None
    assert driver is not None
    made = [_job(rows) for rows in jobs]
    values = sum(rows.values.numel() for rows in jobs)
    n_threads = max(1, min(torch.get_num_threads(), max(len(rows.lengths) for rows in jobs), values // jit.FEW_SAMPLES))
    most = max(step.memory for rows in jobs for step in rows.steps)
    of_each = AHEAD_BYTES + -(-most // jit.ALIGNED) * jit.ALIGNED
    memory = _taken(n_threads * of_each + jit.ALIGNED)
    begin = _address(memory)
    shared = {
        "next_thread": 0,
        "n_threads": n_threads,
        "memory": begin + -begin % jit.ALIGNED,
        "memory_of_each": of_each,
        "copy": copy.address,
        "copy_numbers": _address(_ONES),
        "n_jobs": len(made),
    }
    words = [shared[name] for name in SHARED]
    for job in made:
        words += job.words
    driver.run_job(np.array(words, np.int64), n_threads)
    _free.append(memory)
    return [job.result for job in made]


class _Job(NamedTuple):
    """Job of an augmentation's kernels: its words, its result, and what the words point into."""

    words: list[int]
    result: torch.Tensor
    keeps: Any


def _job(rows: Rows) -> _Job:
    """Return the job of an augmentation's rows, to be done."""
    x = rows.values if rows.values.stride(-1) == 1 else rows.values.contiguous()
    result = kept_empty(x.shape, torch.float32)
    batch, size, times = x.shape[0], x.shape[-1], np.ascontiguousarray(rows.lengths, np.int64)
    if len(times) != batch or times.min() < 0 or times.max() > size:
        raise ValueError(
            f"lengths lie between {times.min()} and {times.max()}, and must lie between 0 and {size}, what the clips "
            "are padded to: an augmentation of your own has to return lengths that fit its waveforms, or a transform "
            "of your own frame_lengths that fit its features"
        )
    steps, each = joined(rows.steps, batch), each_row(batch)
    listed: list[int] = []
    alike, keeps = None, []
    for step in steps:
        index, fields = each, np.array(step.fields, np.int64)
        if len(step.rows) < batch:
            index = np.full(batch, -1)
            index[step.rows] = each[: len(step.rows)]
        if step.alike is not None:
            alike = np.zeros(batch, np.int64) if alike is None else alike
            alike[step.rows] = step.alike
        keeps.append((index, fields))
        listed += step.machine.address, _address(fields), _address(step.numbers), step.numbers.strides[0]
        listed += _address(index), *(step.sound or (-1, 0))
    # the longest first, so that no thread begins with it when the others end
    order = np.lexsort((-times,) if alike is None else (alike, -times))
    in_channels = x.dim() == 3
    words = np.array(listed, np.int64)
    job = {
        "next_row": 0,
        "n_rows": batch,
        "order": _address(order),
        "times": _address(times),
        "source": x.data_ptr(),
        "source_row": 4 * x.stride(0),
        "source_pitch": 4 * x.stride(1) if in_channels else 0,
        "result": result.data_ptr(),
        "result_row": 4 * result.stride(0),
        "result_pitch": 4 * result.stride(1) if in_channels else 0,
        "channels": x.shape[1] if in_channels else 1,
        "size": size,
        "whole": int(not rows.padded),
        "n_steps": len(steps),
        "steps": _address(words),
    }
    return _Job([job[name] for name in JOB], result, (x, times, steps, keeps, order, words))


# memory that threads have worked in
_free: list[np.ndarray] = []


def _taken(size: int) -> np.ndarray:
    """Return memory for the threads of an augmentation's job, kept from an earlier one if there is such."""
    try:
        memory = _free.pop()
    except IndexError:
        return np.empty(size, np.uint8)
    return memory if memory.nbytes >= size else np.empty(size, np.uint8)


def _address(integers: np.ndarray) -> int:
    """Return where integers of an augmentation's job lie."""
    # a third of the time of `.ctypes.data`
    return int(integers.__array_interface__["data"][0])


def float_bits(values: np.ndarray) -> np.ndarray:
    """Return numbers of an augmentation's rows as the integers that a kernel takes float32 ones from.

    >>> float_bits(np.array([1.0])).tolist() == [0x3F800000]
    True
    """
    return values.astype(np.float32).view(np.int32).astype(np.int64)


def double_bits(values: np.ndarray) -> np.ndarray:
    """Return numbers of an augmentation's rows as the integers that a kernel takes float64 ones from.

    >>> double_bits(np.array([1.0])).tolist() == [0x3FF0000000000000]
    True
    """
    return values.astype(np.float64).view(np.int64)
