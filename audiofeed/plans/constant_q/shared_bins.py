"""The constant-Q bins of a stack of harmonics, each of them once, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from audiofeed.plans.constant_q.levels import Band, Level, dense_levels, octave_levels
from audiofeed.signal.constant_q.wavelets import Made, WaveletBank

# Steps between harmonics this close to an integer number of bins are one: 1e-9 of an octave are 1e-6 cents, and
# the logarithm of a ratio is exact to 1e-15.
_SAME = 1e-9

# A piece of a band: neighboring bins of a bank, as the only band of a level at their own rate.
BandPiece = tuple[WaveletBank, Level]


# Runs (first, end) of computed bins that the harmonics consist of, one harmonic after another; (0, -n): n zeros.
Places = tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class SharedBins:
    """Plan of shared constant-Q bins: bins that are computed once for several banks.

    Args:
        levels: with the bins of all banks, numbered through.
        pieces: where they come from, in the order of their numbers.
        places: for each bank the numbers of its bins.
    """

    levels: tuple[Level, ...]
    pieces: tuple[BandPiece, ...]
    places: tuple[tuple[int, ...], ...]

    def kernels(
        self, make: Callable[..., np.ndarray], normalization: str, *, scale: bool, sparsity: float
    ) -> np.ndarray:
        """Return the kernels of all bands of a plan of shared constant-Q bins.

        Args:
            make: from a bank, its levels, gains, the sparsity and what was made before to the kernels of the bank.
        """
        found: list[np.ndarray] = []
        made: Made = {}
        for bank, level in self.pieces:
            found.append(make(bank, (level,), bank.gains(normalization, scale=scale), sparsity, made))
        return np.concatenate(found)


def harmonic_steps(harmonics: Sequence[float], bins_per_octave: int) -> np.ndarray:
    """Return the distance of each harmonic from harmonic 1 in constant-Q bins, to plan the bins they share.

    Rounded to an integer within the rounding error.

    >>> harmonic_steps((0.5, 1, 3), 12).round(2).tolist()
    [-12.0, 0.0, 19.02]
    """
    steps = bins_per_octave * np.log2(np.asarray(harmonics, dtype=np.float64))
    whole = np.round(steps)
    return np.where(np.abs(steps - whole) <= _SAME * bins_per_octave, whole, steps)


def shared_octaves(
    banks: Sequence[WaveletBank],
    hop_length: int,
    *,
    levels: Callable[[WaveletBank, int], tuple[Level, ...]] = octave_levels,
) -> SharedBins:
    """Plan the bins that constant-Q banks share, with the octave levels of all banks merged.

    The levels are those of librosa's recursion for each bank: every rate once, every bin once at a rate.

    A bin that two banks have is computed once if librosa computes it for both at the same rate, from spectra of the
    same length; that is so for banks an octave apart that fall to a rate of their own before their highest octave.
    Else it is computed for each, because another rate rounds the wavelet's length to other samples: on noise 1 %.
    """
    found: dict[tuple, tuple[float, int, int, int]] = {}  # a bin -> its (part, taps, piece, place in that)
    rates: dict[float, dict[int, list[BandPiece]]] = {}  # part -> taps -> pieces
    keys: list[dict[int, tuple]] = []
    for bank, (group, above) in zip(banks, _grid(banks), strict=True):
        keys.append({})
        for level in levels(bank, hop_length):
            for band in level.bands:
                pieces = rates.setdefault(level.part, {}).setdefault(band.taps, [])
                own = {k: (group, above + k, level.part, band.taps) for k in band.bins}
                keys[-1] |= own
                for first, end in _runs([k for k, key in own.items() if key not in found]):
                    found |= {own[k]: (level.part, band.taps, len(pieces), k - first) for k in range(first, end)}
                    pieces.append((bank, replace(level, bands=(replace(band, first=first, end=end),))))
    merged: list[Level] = []
    ordered: list[BandPiece] = []
    starts: dict[tuple[float, int, int], int] = {}  # (part, taps, piece) -> the number of its first bin
    count, higher = 0, 1.0
    for part, shapes in sorted(rates.items(), reverse=True):
        bands = []
        for taps, pieces in sorted(shapes.items()):
            first = count
            for index, (_, level) in enumerate(pieces):
                starts[part, taps, index] = count
                count += len(level.bands[0].bins)
            bands.append(replace(pieces[0][1].bands[0], first=first, end=count))
            ordered += pieces
        hop = pieces[0][1].hop_length
        merged.append(Level(factor=round(higher / part), part=part, hop_length=hop, bands=tuple(bands)))
        higher = part
    places = [[starts[found[key][:3]] + found[key][3] for _, key in sorted(each.items())] for each in keys]
    return SharedBins(levels=tuple(merged), pieces=tuple(ordered), places=tuple(map(tuple, places)))


def shared_dense(banks: Sequence[WaveletBank], hop_length: int) -> SharedBins:
    """Plan the bins that constant-Q banks share at the full sample rate, each bin once.

    See `plans.constant_q.levels.dense_levels`.
    """
    grid = _grid(banks)
    numbers: dict[tuple[float, int], int] = {}
    bands: list[Band] = []
    pieces: list[BandPiece] = []
    for bank, (group, above) in zip(banks, grid, strict=True):
        for first, end in _runs([k for k in range(bank.n_bins) if (group, above + k) not in numbers]):
            start = len(numbers)
            numbers |= {(group, above + k): start + k - first for k in range(first, end)}
            part = replace(bank, f_min=float(bank.frequencies[first]), n_bins=end - first)
            (level,) = dense_levels(part, hop_length)
            pieces.append((part, level))
            bands += [replace(band, first=start + band.first, end=start + band.end) for band in level.bands]
    level = Level(factor=1, part=1.0, hop_length=hop_length, bands=tuple(bands))
    places = [
        [numbers[group, above + k] for k in range(bank.n_bins)]
        for bank, (group, above) in zip(banks, grid, strict=True)
    ]
    return SharedBins(levels=(level,), pieces=tuple(pieces), places=tuple(map(tuple, places)))


def _grid(banks: Sequence[WaveletBank]) -> list[tuple[float, int]]:
    """Return each constant-Q bank's distance from the first in bins, to find the bins that banks share.

    A fraction of a bin, and an integer number of bins.
    """
    found = []
    for bank in banks:
        step = float(harmonic_steps([bank.f_min / banks[0].f_min], bank.bins_per_octave)[0])
        whole = math.floor(step)
        found.append((round(step - whole, 9), whole))
    return found


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Yield (first, end) of each run of consecutive bin numbers, for a plan of shared constant-Q bins.

    >>> list(_runs([2, 3, 7]))
    [(2, 4), (7, 8)]
    """
    first = 0
    for i in range(1, len(numbers) + 1):
        if i == len(numbers) or numbers[i] != numbers[i - 1] + 1:
            if i > first:
                yield numbers[first], numbers[i - 1] + 1
            first = i


def bins_of_harmonics(
    steps: Sequence[float],
    counts: Sequence[int],
    n_bins: int,
    bank_at: Callable[[float], WaveletBank],
    share: Callable[[Sequence[WaveletBank], int], SharedBins],
    hop_length: int,
    *,
    exact: bool,
) -> tuple[SharedBins, Places]:
    """Plan the constant-Q bins that a stack of harmonics shares, each of them computed once.

    The second value says where the bins of the harmonics are among them.

    Args:
        steps: how many bins each harmonic lies above harmonic 1.
        counts: how many bins of each harmonic there are.
        n_bins: how many bins of each harmonic are wanted; zeros stand for the others.
        bank_at: from a number of bins above harmonic 1 to the bank of that one bin.
        share: `shared_octaves` or `shared_dense`.
        hop_length: samples from frame to frame.
        exact: every harmonic has bins of its own; else all take theirs from one bank.
    """
    if exact:
        present = [(step, count) for step, count in zip(steps, counts, strict=True) if count]
    else:
        low = min(steps)
        present = [(low, int(max(step + n for step, n in zip(steps, counts, strict=True) if n) - low))]
    shared = share([replace(bank_at(step), n_bins=count) for step, count in present], hop_length)
    if exact:
        found = iter(shared.places)
        places = [next(found) if count else () for count in counts]
    else:
        starts = [int(step - low) for step in steps]
        places = [shared.places[0][first : first + n] for first, n in zip(starts, counts, strict=True)]
    runs: list[tuple[int, int]] = []
    for place in places:
        for number in place:
            if runs and runs[-1][1] == number:
                runs[-1] = (runs[-1][0], number + 1)
            else:
                runs.append((number, number + 1))
        if len(place) < n_bins:
            runs.append((0, len(place) - n_bins))
    return shared, tuple(runs)
