"""Levels of a constant-Q transform as one product each, which gives the level's bins and the next level's samples.

A frame of a level is looked at once. The columns of its matrix are the wavelets of the level's bins and, as many as the
next level has samples in a hop, the filter of the decimation at its places; what a column does not see of the frame is
0 there. Two to three times the products of the levels by themselves, in a fifth of the operations: for a device on
which an operation costs its launch.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from audiofeed.plans.constant_q.levels import Level
from audiofeed.signal.constant_q.decimation import decimation_filter, decimation_taps

# How many times the products of the levels by themselves the matrices may have: beyond, launches are not what counts.
_MOST_WORK = 8.0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Stage of a constant-Q plan: a sample rate with the frames of it, and what is made of each.

    Args:
        hop_length: in its own samples.
        before, size: a frame begins so many samples before its center's, and has so many.
        bins: (first, end) of those that are computed of it; of as many, 0.
        factor: between its rate and the next stage's; 1 for the last.
        step: samples of the clip for one of the stage's.
    """

    hop_length: int
    before: int
    size: int
    bins: tuple[int, int]
    factor: int
    step: int

    @property
    def n_values(self) -> int:
        """Columns of its matrix that are real and imaginary parts of bins."""
        return 2 * (self.bins[1] - self.bins[0])

    @property
    def n_samples(self) -> int:
        """Columns of its matrix that are samples of the next stage."""
        return self.hop_length // self.factor if self.factor > 1 else 0


def stages(levels: tuple[Level, ...], hop_length: int) -> tuple[Stage, ...] | None:
    """Plan the stages of constant-Q levels, or None where their matrices would hold too many zeros.

    Args:
        levels: as `levels.octave_levels` plans them.
        hop_length: samples of the clip.

    >>> from audiofeed.signal.constant_q.wavelets import WaveletBank
    >>> from audiofeed.plans.constant_q.levels import octave_levels
    >>> bank = WaveletBank(sample_rate=22050, f_min=32.7, n_bins=84)
    >>> [(stage.size, stage.n_samples) for stage in stages(octave_levels(bank, 512), 512)][::3]
    [(899, 256), (451, 32), (256, 0)]
    """
    if not _side_by_side(levels):
        return None
    found: list[Stage] = []
    work = useful = 0
    step, hop = 1, hop_length
    if levels[0].factor > 1:
        levels = (Level(factor=1, part=1.0, hop_length=hop_length, bands=()), *levels)
    for number, level in enumerate(levels):
        factor = levels[number + 1].factor if number + 1 < len(levels) else 1
        hop, step = level.hop_length, step * level.factor
        if hop % factor:
            return None
        reach = decimation_taps(factor) // 2 if factor > 1 else 0
        before = max([reach, *(band.before for band in level.bands)])
        after = max([hop - factor + reach + 1 if factor > 1 else 1, *(b.taps - b.before for b in level.bands)])
        first = min((band.first for band in level.bands), default=0)
        end = max((band.end for band in level.bands), default=0)
        bins = (first, end)
        stage = Stage(hop_length=hop, before=before, size=before + after, bins=bins, factor=factor, step=step)
        found.append(stage)
        work += stage.size * (stage.n_values + stage.n_samples)
        useful += sum(band.size for band in level.bands) + stage.n_samples * (2 * reach + 1)
    return tuple(found) if work <= _MOST_WORK * useful else None


def _side_by_side(levels: tuple[Level, ...]) -> bool:
    """Return whether the bins of each constant-Q level are neighbors, and those of the levels lie side by side."""
    spans = []
    for level in levels:
        if level.bands:
            first, end = min(band.first for band in level.bands), max(band.end for band in level.bands)
            if sum(len(band.bins) for band in level.bands) != end - first:
                return False
            spans.append((first, end))
    spans.sort()
    return all(left[1] == right[0] for left, right in itertools.pairwise(spans))


def stage_matrices(levels: tuple[Level, ...], plan: tuple[Stage, ...], kernels: np.ndarray) -> np.ndarray:
    """Compute the matrices of constant-Q stages in float64, one after another, each (size, bins, samples).

    Args:
        levels: of which the plan was made.
        plan: see `stages`.
        kernels: of the levels' bands: see `levels.octave_kernels`.
    """
    parts, start = [], 0
    by_step = {round(1.0 / level.part): level for level in levels}
    for stage in plan:
        matrix = np.zeros((stage.size, stage.n_values + stage.n_samples))
        for band in by_step[stage.step].bands if stage.n_values else ():
            rows = kernels[start : start + band.size].reshape(-1, band.taps)
            start += band.size
            place = stage.before - band.before
            column = 2 * (band.first - stage.bins[0])
            matrix[place : place + band.taps, column : column + len(rows)] = rows.T
        if stage.factor > 1:
            taps = decimation_filter(stage.factor)
            for sample in range(stage.n_samples):
                place = stage.before + sample * stage.factor - len(taps) // 2
                matrix[place : place + len(taps), stage.n_values + sample] = taps
        parts.append(matrix.ravel())
    return np.concatenate(parts)
