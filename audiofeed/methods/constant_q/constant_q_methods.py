"""The methods of constant-Q transforms, each with a definition of its own: how its kernels are laid out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from audiofeed.methods.method_table import Method, table
from audiofeed.plans.constant_q.exact_levels import exact_kernels, exact_levels
from audiofeed.plans.constant_q.levels import Level, dense_kernels, dense_levels, octave_kernels, octave_levels
from audiofeed.plans.constant_q.shared_bins import SharedBins, shared_dense, shared_octaves
from audiofeed.signal.constant_q.wavelets import Made, WaveletBank


@dataclass(frozen=True)
class Layout:
    """Functions that lay out a bank's kernels, for each method in the table of constant-Q transforms.

    Args:
        levels: from a bank and a hop to the rates that the kernels are computed at.
        kernels: from a bank, its levels, gains and the sparsity to the kernels, float64.
        shared: from several banks and a hop to the bins that are computed once for all.
        padded: whether clips are extended at their own rate, before it falls; else each level is at its own.
    """

    levels: Callable[[WaveletBank, int], tuple[Level, ...]]
    kernels: Callable[..., np.ndarray]
    shared: Callable[..., SharedBins]
    padded: bool = False


def _octaves(
    bank: WaveletBank, levels: tuple[Level, ...], gains: np.ndarray, sparsity: float, made: Made | None = None
) -> np.ndarray:
    return octave_kernels(bank, levels, gains, sparsity=sparsity, made=made)


def _dense(
    bank: WaveletBank, levels: tuple[Level, ...], gains: np.ndarray, sparsity: float, made: Made | None = None
) -> np.ndarray:
    return dense_kernels(bank, levels, gains)


def _exact(
    bank: WaveletBank, levels: tuple[Level, ...], gains: np.ndarray, sparsity: float, made: Made | None = None
) -> np.ndarray:
    return exact_kernels(bank, levels, gains)


CONSTANT_Q = table(
    "constant-Q transforms",
    Method(
        name="octaves",
        run=Layout(octave_levels, _octaves, shared_octaves),
        filters="kernels",
        reason="the fastest, and equal to librosa",
    ),
    Method(
        name="exact",
        run=Layout(exact_levels, _exact, functools.partial(shared_octaves, levels=exact_levels), padded=True),
        filters="kernels",
    ),
    Method(name="conv", run=Layout(dense_levels, _dense, shared_dense), filters="kernels"),
)
