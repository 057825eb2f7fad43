"""An augmentation's normal noise by a kernel: added to clips at a level or a ratio of powers, or put in chunks."""

from __future__ import annotations

import functools

import numpy as np
import torch

from audiofeed.augment.kernels.noise_code import (
    CHUNK_NUMBERS,
    RATIO_NUMBERS,
    write_chunks,
    write_noise_at_level,
    write_noise_at_ratio,
)
from audiofeed.augment.kernels.rows import RowStep, double_bits, float_bits
from audiofeed.methods.short_time.kernel import jit


@functools.lru_cache(maxsize=4)
def _kernel(lanes: int, at_ratio: bool) -> jit.Machine | None:
    return jit.compiled((write_noise_at_ratio if at_ratio else write_noise_at_level)(lanes))


@functools.lru_cache(maxsize=4)
def _chunk_kernel(lanes: int, noise: bool) -> jit.Machine | None:
    return jit.compiled(write_chunks(lanes, noise))


def level_step(rows: np.ndarray, seeds: torch.Tensor, level: float) -> RowStep | None:
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
    (bits,) = float_bits(np.array([level])).tolist()
    return RowStep(machine, rows, _addresses(rows, seeds)[:, None], (bits,), keeps=seeds)


def ratio_step(rows: np.ndarray, seeds: torch.Tensor, ratios: np.ndarray, size: int) -> RowStep | None:
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


def chunk_step(rows: np.ndarray, chunks: torch.Tensor, seeds: torch.Tensor | None) -> RowStep | None:
    """Return the step that replaces chunks of clips of an augmentation; None where there is no kernel.

    Args:
        rows: The clips.
        chunks: int64 (batch, chunks, 2), the first sample of each, and the one after its last.
        seeds: int64 (batch, channels), of noise of the clip's power; None: silence.
    """
    machine = _chunk_kernel(jit.lanes(), seeds is not None)
    if machine is None:
        return None
    chunks = chunks.contiguous()
    seeds = None if seeds is None else seeds.contiguous()
    numbers = np.zeros((len(rows), len(CHUNK_NUMBERS)), np.int64)
    numbers[:, 0] = _addresses(rows, chunks.flatten(1))
    if seeds is not None:
        numbers[:, 1] = _addresses(rows, seeds)
    return RowStep(machine, rows, numbers, (chunks.shape[1],), keeps=(chunks, seeds))


def _addresses(rows: np.ndarray, integers: torch.Tensor) -> np.ndarray:
    """Return where an augmentation's rows of contiguous integers begin, int64 (batch, any)."""
    return integers.data_ptr() + 8 * integers.shape[1] * rows
