"""Steps of an augmentation's kernels on the rows of a batch, and the job in which threads lead rows through them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from audiofeed.augment.kernels.row_code import JOB, ROW, write_driver, write_gain
from audiofeed.methods.short_time.kernel import guard, jit
from audiofeed.parallel.kept_memory import kept_empty

# the bits of a float32
ONE = 0x3F800000


@dataclass(frozen=True, eq=False)
class RowStep:
    """Step of an augmentation on some rows of a batch, to be done by a kernel.

    Args:
        machine: The kernel's code, of the form that `row_code.RowCode` writes.
        rows: int64, the rows that it changes, in increasing order.
        numbers: int64 (rows, numbers), what the kernel reads of each behind `row_code.ROW`.
        fields: What it reads beside.
        memory: Bytes that a thread works in.
        keeps: What the addresses among the numbers point into.
        alike: int64 (rows,), equal for rows that read the same; they are best done one after another.
        factor: Which of the numbers is a factor, the bits of a float32, by which it multiplies its result last; a gain
            that follows goes in there.
    """

    machine: jit.Machine
    rows: np.ndarray
    numbers: np.ndarray
    fields: tuple[int, ...] = ()
    memory: int = 0
    keeps: Any = None
    alike: np.ndarray | None = None
    factor: int | None = None


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


def gain_step(rows: np.ndarray, factors: torch.Tensor) -> RowStep | None:
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


def rows_of(active: torch.Tensor) -> np.ndarray:
    """Return the rows of an augmentation's batch that it was drawn for, int64.

    >>> rows_of(torch.tensor([True, False, True]))
    array([0, 2])
    """
    return np.flatnonzero(active.numpy())


def done(
    waveforms: torch.Tensor, lengths: torch.Tensor, steps: Sequence[RowStep], *, padded: bool = True
) -> torch.Tensor:
    """Return an augmentation's waveforms after steps on their rows, each row led through all of them at once.

    Args:
        waveforms: (batch, [channel,] time) float32, `readable`, 0 past the lengths.
        lengths: int64 (batch,), in samples.
        steps: One after another.
        padded: Whether rows are 0 past their lengths; otherwise rows that no step changes are copied whole.

    Raises:
        ValueError: A length is below 0, or past the padded size: a kernel would write into other memory.
    """
    x = waveforms if waveforms.stride(-1) == 1 else waveforms.contiguous()
    result = kept_empty(x.shape, torch.float32)
    batch, size, times = x.shape[0], x.shape[-1], lengths.numpy()
    if len(times) != batch or times.min() < 0 or times.max() > size:
        raise ValueError(
            f"lengths lie between {times.min()} and {times.max()}, and must lie between 0 and {size}, what the clips "
            "are padded to: an augmentation of your own has to return lengths that fit its waveforms, or a transform "
            "of your own frame_lengths that fit its features"
        )
    steps = joined(steps, batch)
    if all(len(step.rows) < batch for step in steps):
        touched = np.zeros(batch, bool)
        for step in steps:
            touched[step.rows] = True
        left = np.flatnonzero(~touched)
        if not padded:
            times = times.copy()
            times[left] = size
        copied = gain_step(left, torch.ones(batch, device="cpu"))
        assert copied is not None
        steps = [*steps, copied] if len(left) else steps
    base = np.empty((batch, len(ROW)), np.int64)
    number = np.arange(batch)
    channels, pitch, own_pitch = (x.shape[1], 4 * x.stride(1), 4 * result.stride(1)) if x.dim() == 3 else (1, 0, 0)
    base[:, 0] = number * (4 * x.stride(0)) + x.data_ptr()
    base[:, 2] = number * (4 * result.stride(0)) + result.data_ptr()
    base[:, 1], base[:, 3], base[:, 4], base[:, 5], base[:, 6] = pitch, own_pitch, channels, times, size
    n_threads = max(1, min(torch.get_num_threads(), batch, x.numel() // jit.FEW_SAMPLES))
    of_each = -(-max(step.memory for step in steps) // jit.ALIGNED) * jit.ALIGNED
    memory = kept_empty((n_threads * of_each // 4 + jit.ALIGNED // 4,), torch.float32)
    begin = memory.data_ptr()
    # all that the kernels read of the job lies in one piece
    widths = [len(ROW) + step.numbers.shape[1] for step in steps]
    counts = [len(JOB), 2 * len(steps), *(max(1, len(step.fields)) for step in steps), batch * len(steps)]
    counts += [len(step.rows) * width for step, width in zip(steps, widths, strict=True)]
    begins = [0, *itertools.accumulate(counts)]
    words = np.zeros(begins[-1], np.int64)
    parts = [words[begins[i] : begins[i + 1]] for i in range(len(counts))]
    at = words.ctypes.data
    addresses = [at + 8 * begin for begin in begins]
    first_own = 3 + len(steps)
    places = np.zeros((batch, len(steps)), np.int64)
    alike = np.zeros(batch, np.int64)
    for place, step in enumerate(steps):
        parts[1][2 * place], parts[1][2 * place + 1] = step.machine.address, addresses[2 + place]
        if step.fields:
            parts[2 + place][:] = step.fields
        width = widths[place]
        own = parts[first_own + place].reshape(-1, width)
        # a slice takes a tenth of the time of as many numbers
        rows = step.rows if len(step.rows) < batch else slice(None)
        own[:, : len(ROW)], own[:, len(ROW) :] = base[rows], step.numbers
        # what is read from now on is the result
        base[rows, :2] = base[rows, 2:4]
        places[rows, place] = number[: len(own)] * (8 * width) + addresses[first_own + place]
        if step.alike is not None:
            alike[rows] = step.alike
    # the longest first, so that no thread begins with it when the others end
    np.take(places, np.lexsort((alike, -base[:, 5])), 0, out=parts[2 + len(steps)].reshape(places.shape))
    job = {
        "next_row": 0,
        "next_thread": 0,
        "n_rows": batch,
        "rows": addresses[2 + len(steps)],
        "n_steps": len(steps),
        "steps": addresses[1],
        "memory": begin + -begin % jit.ALIGNED,
        "memory_of_each": of_each,
    }
    parts[0][:] = [job[name] for name in JOB]
    driver = _driver()
    assert driver is not None
    driver.run_job(words, n_threads)
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
