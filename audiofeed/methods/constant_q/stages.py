"""Constant-Q transforms on a GPU: one product a level, for its bins and the samples of the next level.

See `plans.constant_q.stages`. A level's samples lie between zeros that its frames see past the ends of the rows, and
what the filter left past a row's own end is cleared by a mask that all levels share.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from audiofeed.methods import frames
from audiofeed.methods.precision import matmul
from audiofeed.methods.spectrum import raise_power, summed_squares
from audiofeed.plans.constant_q.stages import Stage


def rows_together(plan: tuple[Stage, ...], count: int) -> int:
    """Return how many rows of `count` frames are computed together; 0: not even one in the memory that is given."""
    return frames.GPU_BLOCK // (count * max(stage.size for stage in plan))


def in_stages(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    plan: tuple[Stage, ...],
    matrices: torch.Tensor,
    count: int,
    power: float | None,
    *,
    graph: bool,
) -> torch.Tensor:
    """Compute constant-Q features of rows that are silent past their ends, stage by stage, in few launches.

    Args:
        matrices: of the plan: see `plans.constant_q.stages.stage_matrices`.
        count: frames of the result.
        power: of the magnitude; None: complex.

    Shape: waveform (rows, time), lengths (rows,) or None -> (rows, bins, frames).
    """
    most = rows_together(plan, count)
    parts = []
    for first in range(0, len(waveform), most):
        some = slice(first, first + most)
        own = None if lengths is None else lengths[some]
        parts.append(_values(waveform[some], own, plan, matrices, count, graph=graph))
    values = parts[0] if len(parts) == 1 else torch.cat(parts)
    pairs = values.unflatten(-1, (-1, 2))  # (row, frame, bin, part)
    if power is None:
        return torch.view_as_complex(pairs).transpose(1, 2)
    if power == 1.0:
        return torch.view_as_complex(pairs).abs().transpose(1, 2)
    return raise_power(summed_squares(pairs, -1), power).transpose(1, 2)


def _values(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    plan: tuple[Stage, ...],
    matrices: torch.Tensor,
    count: int,
    *,
    graph: bool,
) -> torch.Tensor:
    """Compute the real and imaginary parts of all bins.  Shape: (rows, time) -> (rows, count, 2 * bins)."""
    rows, time = waveform.shape
    samples = _Samples(waveform, plan, count, graph=graph)
    hop = plan[0].hop_length
    ends = torch.arange(count * hop, device=waveform.device)[None]
    past = ends >= (time if lengths is None else lengths[:, None])  # (row, position)
    reaching = min(time, count * hop)
    signal = samples.clip(waveform[:, :reaching], past[:, :reaching] if lengths is not None else None)
    found, start, step = [], 0, 1
    for number, stage in enumerate(plan):
        columns = stage.n_values + stage.n_samples
        matrix = matrices[start : start + stage.size * columns].view(stage.size, columns)
        start += stage.size * columns
        seen = signal.unfold(-1, stage.size, stage.hop_length)  # (row, frame, sample)
        product = matmul(seen.reshape(-1, stage.size), matrix).view(rows, count, columns)
        if stage.n_values:
            found.append((stage.bins[0], product[..., : stage.n_values]))
        if stage.factor > 1:
            unfilled = _unfilled(past, stage.factor, step, count * stage.n_samples)
            signal = samples.level(number + 1, product[..., stage.n_values :], unfilled)
            step *= stage.factor
    found.sort(key=lambda item: item[0])
    return found[0][1].contiguous() if len(found) == 1 else torch.cat([values for _, values in found], dim=-1)


def _unfilled(past: torch.Tensor, factor: int, before: int, size: int) -> torch.Tensor:
    """Return the mask of `decimation.clear_unfilled` from one of positions past the ends of clips; sample 0 is filled.

    Shape: (rows or 1, positions) -> (rows or 1, size).
    """
    mask = past[:, ((factor + 1) // 2 - 1) * before :: factor * before]
    if mask.shape[1] < size:  # what lies past all positions is past each end
        mask = F.pad(mask, (0, size - mask.shape[1]), value=True)
    if factor > 2:
        mask = mask.clone()
        mask[:, :1].zero_()  # an assignment of a number would wait for the device
    return mask[:, :size]


class _Samples:
    """Memory of the samples of each stage, between the zeros that its frames see; without a graph zeroed at once."""

    def __init__(self, like: torch.Tensor, plan: tuple[Stage, ...], count: int, *, graph: bool) -> None:
        self._plan, self._count, self._graph = plan, count, graph
        rows = len(like)
        sizes = [rows * self._width(stage) for stage in plan]
        # the first value is the zero that masks put; with a graph it is the only one
        memory = like.new_zeros(1 if graph else 1 + sum(sizes))
        self._zero = memory[0]
        held = () if graph else memory[1:].split(sizes)
        self._held = [part.view(rows, -1) for part in held]

    def _width(self, stage: Stage) -> int:
        return stage.before + (self._count - 1) * stage.hop_length + max(stage.hop_length, stage.size - stage.before)

    def clip(self, waveform: torch.Tensor, past: torch.Tensor | None) -> torch.Tensor:
        """Return the samples of the first stage.  Shape: (rows, time) -> (rows, width)."""
        return self._put(0, waveform, past)

    def level(self, number: int, values: torch.Tensor, unfilled: torch.Tensor) -> torch.Tensor:
        """Return the samples of a later stage.  Shape: (rows, frames, samples of each) -> (rows, width)."""
        return self._put(number, values, unfilled.unflatten(1, values.shape[1:]))

    def _put(self, number: int, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        stage = self._plan[number]
        size = values[0].numel()
        if self._graph:
            own = values if mask is None else torch.where(mask, self._zero, values)
            right = self._width(stage) - stage.before - size
            return F.pad(own.reshape(len(values), -1), (stage.before, right))
        place = self._held[number][:, stage.before : stage.before + size].unflatten(1, values.shape[1:])
        if mask is None:
            place.copy_(values)
        else:
            torch.where(mask, self._zero, values, out=place)
        return self._held[number]
