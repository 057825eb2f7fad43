"""What the constant-Q kernels for a GPU are given: tables of a transform's kernels and filters, and numbers of a batch.

The first level here is always the clip, with bins of its own or without any.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from audiofeed.methods.constant_q.decimation import lower_length
from audiofeed.methods.constant_q.device.text import (
    CHUNK,
    DECIMATING,
    MOST_ITEMS,
    MOST_LEVELS,
    NARROW,
    TIME_OF,
    VALUES,
    WARPS,
    WIDE,
    Form,
    Phases,
)
from audiofeed.plans.constant_q.levels import Level
from audiofeed.signal.constant_q.decimation import decimation_filter

_COLUMNS = (24, 16)
_ROUND = 32  # samples: rows of a level begin where a line of memory does
_OF_VALUE = {None: VALUES[0], 1.0: VALUES[1]}


@dataclass(frozen=True)
class Item:
    """Columns of a band that blocks of the constant-Q kernels compute.

    Args:
        kernels: where theirs begin in the table.
        level: its number, the clip's being 0.
        hop, before: in its samples; a frame begins so many before its center.
        chunks: of taps, of each warp.
        first, n_bins: bins.
    """

    kernels: int
    level: int
    hop: int
    before: int
    chunks: int
    first: int
    n_bins: int


@dataclass(frozen=True)
class Layout:
    """Layout of a transform's bins and rates for the constant-Q kernels.

    Args:
        form: of the kernels.
        factors: between each level and the one before it; 1 for the clip.
        items: those that take longest first.
        n_bins: of the transform.
        hop, factor: of the first level with bins.
    """

    form: Form
    factors: tuple[int, ...]
    items: tuple[Item, ...]
    n_bins: int
    hop: int
    factor: int

    @property
    def steps(self) -> tuple[int, ...]:
        """Samples of the clip for one of each level."""
        return tuple(int(np.prod(self.factors[: number + 1])) for number in range(len(self.factors)))

    @property
    def starts(self) -> tuple[int, ...]:
        """Samples of a clip without which a level's first sample is filled all the same: see `clear_unfilled`."""
        return tuple(
            ((factor + 1) // 2 - 1) * step // factor for factor, step in zip(self.factors, self.steps, strict=True)
        )

    @property
    def taps(self) -> tuple[int, ...]:
        """Where the filter of each level begins in the table of `filter_taps`."""
        places, place = {1: 0}, 0
        for factor in self.form.factors:
            places[factor] = place
            place += Phases(factor).size
        return tuple(places[factor] for factor in self.factors)


@functools.lru_cache(maxsize=64)
def layout_for(levels: tuple[Level, ...], power: float | None) -> Layout | None:
    """Lay out constant-Q levels for the kernels of a GPU, or return None where there are too many of them.

    Args:
        levels: as `levels.octave_levels` plans them.
        power: of the magnitude; the kernels compute squares for all but 1 and None (complex).

    >>> from audiofeed.signal.constant_q.wavelets import WaveletBank
    >>> from audiofeed.plans.constant_q.levels import octave_levels
    >>> bank = WaveletBank(sample_rate=22050, f_min=32.7, n_bins=84)
    >>> layout = layout_for(octave_levels(bank, 512), 2.0)
    >>> layout.form, len(layout.items), layout.factors, layout.steps[-1]
    (Form(factors=(2,), columns=24, value='SQUARE'), 7, (1, 2, 2, 2, 2, 2, 2), 64)
    """
    first = levels[0]
    factors = (*((1,) if first.factor > 1 else ()), *(level.factor for level in levels))
    columns = min(_COLUMNS, key=lambda columns: _products(levels, columns))
    found, place = [], 0
    for number, level in enumerate(levels, len(factors) - len(levels)):
        for band in level.bands:
            chunks = _chunks(band.taps)
            for start in range(band.first, band.end, columns // 2):
                n_bins = min(columns // 2, band.end - start)
                found.append(Item(place, number, level.hop_length, band.before, chunks, start, n_bins))
                place += columns * WARPS * CHUNK * chunks
    if len(factors) > MOST_LEVELS or len(found) > MOST_ITEMS or not found:
        return None
    items = tuple(sorted(found, key=lambda item: -item.chunks))
    form = Form(tuple(sorted(set(factors) - {1})), columns, _OF_VALUE.get(power, VALUES[2]))
    n_bins = max(item.first + item.n_bins for item in items)
    return Layout(form, factors, items, n_bins, first.hop_length, first.factor)


def _chunks(taps: int) -> int:
    return -(-taps // (WARPS * CHUNK))


def _products(levels: tuple[Level, ...], columns: int) -> int:
    """Return how many products of a frame there are with so many columns of constant-Q kernels at a time."""
    return sum(
        -(-2 * len(band.bins) // columns) * columns * _chunks(band.taps) for level in levels for band in level.bands
    )


def kernel_table(levels: tuple[Level, ...], columns: int, kernels: np.ndarray) -> np.ndarray:
    """Return constant-Q kernels as blocks of a GPU take them, filled up with zeros, in float64.

    Args:
        levels: of which `layout_for` was made.
        columns: of its form.
        kernels: of the levels' bands: see `levels.octave_kernels`.

    Shape: -> of each item in turn, before they are sorted, (warps, chunks, columns, CHUNK), flat.
    """
    parts, start = [], 0
    for level in levels:
        for band in level.bands:
            rows = kernels[start : start + band.size].reshape(-1, band.taps)
            start += band.size
            chunks = _chunks(band.taps)
            for first in range(0, len(rows), columns):
                own = np.zeros((columns, WARPS * chunks * CHUNK))
                some = rows[first : first + columns]
                own[: len(some), : band.taps] = some
                parts.append(own.reshape(columns, WARPS, chunks, CHUNK).transpose(1, 2, 0, 3).ravel())
    return np.concatenate(parts)


def filter_taps(factors: tuple[int, ...]) -> np.ndarray:
    """Return the taps of constant-Q decimation filters by phases, one after another, in float64.

    Of each phase every second tap, the others, and the sums of both: see `octaves.cu`.

    Shape: -> of each factor in turn (factor, 3, 4 * groups), flat.

    >>> filter_taps((2,)).shape
    (600,)
    """
    parts = [np.zeros(0)]
    for factor in factors:
        taps, phases = decimation_filter(factor), Phases(factor)
        own = np.zeros((8 * phases.groups, factor))
        skipped = phases.lead * factor - len(taps) // 2
        own.ravel()[skipped : skipped + len(taps)] = taps
        even, odd = own[::2].T, own[1::2].T  # (phase, tap)
        parts.append(np.stack([even, odd, even + odd], axis=1).ravel())
    return np.concatenate(parts)


@dataclass(frozen=True)
class Extent:
    """Extent of a batch at a level that the constant-Q kernels make: where its samples lie, and who makes them.

    Args:
        offset, stride: of a row's first sample in the scratch memory, and from one row to the next.
        pairs: of samples, that a thread makes.
        blocks: of a row.
    """

    offset: int
    stride: int
    pairs: int
    blocks: int


def extents(
    layout: Layout, n_rows: int, time: int, processors: int, pairs: int | None = None
) -> tuple[tuple[Extent, ...], int]:
    """Return the extents of a batch at each level but the clip's for the constant-Q kernels, and what memory they take.

    Args:
        layout: of the transform.
        n_rows, time: of the batch.
        processors: of the card.
        pairs: of samples, that a thread makes; None: those with which it takes the least time.
    """
    found, offset = [], 0
    for step in layout.steps[1:]:
        samples = lower_length(time, step)
        stride = -(-samples // _ROUND) * _ROUND
        several = pairs
        if several is None:
            several = min((WIDE, NARROW), key=lambda n: n * TIME_OF[n] * -(-n_rows * _blocks(samples, n) // processors))
        found.append(Extent(offset, stride, several, _blocks(samples, several)))
        offset += n_rows * stride
    return tuple(found), offset


def _blocks(samples: int, pairs: int) -> int:
    return -(-samples // (2 * DECIMATING * pairs))
