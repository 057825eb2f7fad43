"""The methods of constant-Q transforms, each with a definition of its own: how its kernels are laid out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from audiofeed.methods.method_table import Method, table
from audiofeed.plans.constant_q.levels import Level, dense_kernels, dense_levels, octave_kernels, octave_levels
from audiofeed.plans.constant_q.shared_bins import SharedBins, shared_dense, shared_octaves
from audiofeed.signal.constant_q.wavelets import WaveletBank


@dataclass(frozen=True)
class Layout:
    """Functions that lay out a bank's kernels, for each method in the table of constant-Q transforms.

    Args:
        levels: from a bank and a hop to the rates that the kernels are computed at.
        kernels: from a bank, its levels, gains and the sparsity to the kernels, float64.
        shared: from several banks and a hop to the bins that are computed once for all.
        sparse: whether the sparsity has an effect.
    """

    levels: Callable[[WaveletBank, int], tuple[Level, ...]]
    kernels: Callable[[WaveletBank, tuple[Level, ...], np.ndarray, float], np.ndarray]
    shared: Callable[..., SharedBins]
    sparse: bool


def _octaves(bank: WaveletBank, levels: tuple[Level, ...], gains: np.ndarray, sparsity: float) -> np.ndarray:
    return octave_kernels(bank, levels, gains, sparsity=sparsity)


def _dense(bank: WaveletBank, levels: tuple[Level, ...], gains: np.ndarray, sparsity: float) -> np.ndarray:
    return dense_kernels(bank, levels, gains)


CONSTANT_Q = table(
    "constant-Q transforms",
    Method(
        name="octaves",
        run=Layout(octave_levels, _octaves, shared_octaves, True),
        filters="kernels",
        reason="the fastest, and equal to librosa",
    ),
    Method(name="conv", run=Layout(dense_levels, _dense, shared_dense, False), filters="kernels"),
)
