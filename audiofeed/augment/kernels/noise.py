"""Normal noise added to the clips of an augmentation by a kernel, at a level or at a ratio of their powers."""

from __future__ import annotations

import functools

import numpy as np
import torch

from audiofeed.augment.kernels.noise_code import RATIO_NUMBERS, write_noise_at_level, write_noise_at_ratio
from audiofeed.augment.kernels.rows import RowStep, double_bits, float_bits
from audiofeed.methods.short_time.kernel import jit


@functools.lru_cache(maxsize=4)
def _kernel(lanes: int, at_ratio: bool) -> jit.Machine | None:
    return jit.compiled((write_noise_at_ratio if at_ratio else write_noise_at_level)(lanes))


def level_step(rows: list[int], seeds: torch.Tensor, level: float) -> RowStep | None:
    """Return the step that adds noise of one level to clips of an augmentation; None where there is no kernel.

    Args:
        rows: The clips.
        seeds: int64 (batch, channels), of the noise.
        level: Standard deviation of the noise, full scale being 1.
    """
    machine = _kernel(jit.lanes(), False)
    if machine is None:
        return None
    seeds = seeds.contiguous()
    (bits,) = float_bits(torch.tensor([level], device="cpu")).tolist()
    return RowStep(machine, rows, _addresses(rows, seeds)[:, None], (bits,), keeps=seeds)


def ratio_step(rows: list[int], seeds: torch.Tensor, ratios: torch.Tensor, size: int) -> RowStep | None:
    """Return the step that adds noise at a ratio to clips of an augmentation; None where there is no kernel.

    Args:
        rows: The clips.
        seeds: int64 (batch, channels), of the noise.
        ratios: float64 (batch,), power of the noise over that of the clip.
        size: Samples of the longest clip.
    """
    lanes = jit.lanes()
    machine = _kernel(lanes, True)
    if machine is None:
        return None
    seeds = seeds.contiguous()
    numbers = np.empty((len(rows), len(RATIO_NUMBERS)), np.int64)
    numbers[:, 0], numbers[:, 1] = _addresses(rows, seeds), double_bits(ratios)[rows]
    memory = 4 * seeds.shape[1] * (size + 2 * lanes)
    return RowStep(machine, rows, numbers, memory=memory, keeps=seeds)


def _addresses(rows: list[int], seeds: torch.Tensor) -> np.ndarray:
    """Return where the seeds of an augmentation's rows lie, contiguous int64 (batch, channels)."""
    return seeds.data_ptr() + 8 * seeds.shape[1] * np.array(rows, np.int64)
