"""An augmentation's filters of two poles by a kernel: one pass over a clip, in float64, while it lies in the cache."""

from __future__ import annotations

import functools

import numpy as np
import torch

from audiofeed.augment.filters.biquad_code import write_biquad
from audiofeed.augment.filters.recursion import Recursion
from audiofeed.augment.kernels.rows import RowStep, double_bits
from audiofeed.methods.short_time.kernel import jit


@functools.lru_cache(maxsize=1)
def _kernel() -> jit.Machine | None:
    return jit.compiled(write_biquad())


def biquad_step(rows: np.ndarray, recursion: Recursion) -> RowStep | None:
    """Return the step that filters clips of an augmentation; None where there is no kernel.

    Args:
        rows: The clips.
        recursion: Of each row's filter.
    """
    machine = _kernel()
    if machine is None:
        return None
    transition, into, out, direct = recursion
    numbers = torch.cat([transition.flatten(1), into, out, direct[:, None]], 1)
    return RowStep(machine, rows, np.ascontiguousarray(double_bits(numbers.numpy())[rows]))
