"""Kernels of wavelets over frames: octave by octave at decreasing rates, or all at the full rate; in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audiofeed.signal.constant_q.decimation import FACTORS
from audiofeed.signal.constant_q.wavelets import Made, WaveletBank, least_power_of_two, wavelet_spectra

# How much of the products at the full rate may be with the zeros beside the shorter ones of the wavelets that are
# computed together. A product of a few wavelets costs as much as one of 8 to 16.
_MOST_ZEROS = 0.15


@dataclass(frozen=True, kw_only=True)
class Band:
    """Band of a planned constant-Q level: neighboring bins whose kernels have the same number of taps.

    The bins are first..end - 1. Tap t of frame f falls on sample f * hop_length - before + t.
    """

    first: int
    end: int
    taps: int
    before: int

    @property
    def bins(self) -> range:
        return range(self.first, self.end)

    @property
    def size(self) -> int:
        """Number of kernel values in a band of a planned constant-Q level.

        For each bin a row of real parts and one of imaginary parts.
        """
        return 2 * (self.end - self.first) * self.taps


@dataclass(frozen=True, kw_only=True)
class Level:
    """Level of a constant-Q plan: one sample rate, and the bands of bins that are computed at it.

    Args:
        factor: 1 / its part of the level's rate before it, or of the clip's.
        part: of the clip's sample rate.
        hop_length: in its own samples.
    """

    factor: int
    part: float
    hop_length: int
    bands: tuple[Band, ...]


def octave_levels(bank: WaveletBank, hop_length: int) -> tuple[Level, ...]:
    """Plan constant-Q levels octave by octave as in librosa's recursion, from the highest octave down.

    The rate is halved for each octave as long as the hop is even and the octave lies low enough for it (`octave_fits`),
    and in one step before the first where all wavelets are low enough and hops are left for it ("early downsampling").
    Octaves for which it is not halved share a level.
    """
    twos = (hop_length & -hop_length).bit_length() - 1
    early = min(bank.early_halvings, max(0, twos - bank.n_octaves + 1), len(FACTORS))
    factor, part, hop = 2**early, 1.0 / 2**early, hop_length >> early
    levels: list[Level] = []
    bands: list[Band] = []
    for octave in range(bank.n_octaves):
        end = bank.n_bins - octave * bank.bins_per_octave
        first = max(0, end - bank.bins_per_octave)
        taps = least_power_of_two(bank.lengths[first:end].max() * part)
        bands.append(Band(first=first, end=end, taps=taps, before=taps // 2))
        if octave < bank.n_octaves - 1 and (hop % 2 or not bank.octave_fits(first, part)):
            continue
        levels.append(Level(factor=factor, part=part, hop_length=hop, bands=tuple(bands)))
        factor, part, hop, bands = 2, part / 2, hop // 2, []
    return tuple(levels)


def octave_kernels(
    bank: WaveletBank, levels: tuple[Level, ...], gains: np.ndarray, *, sparsity: float, made: Made | None = None
) -> np.ndarray:
    """Return the wavelet kernels of planned constant-Q octave levels, band after band, in float64.

    The kernels of all bands of `octave_levels`, one after another, each (bins, real and imaginary, taps).

    librosa multiplies the bins k = 0..N/2 of a frame's FFT by those of a wavelet's, B:

        sum_k B_k sum_t x_t exp(-2 pi i k t / N).

    Summed over k first this is a kernel, the *forward* FFT of B. Its scale follows from librosa's factors (the
    wavelet's length at the octave's rate, roots of ratios of rates in every resampling), which leave the gain over N.

    Args:
        gains: (bins,) what each wavelet is multiplied by.
        sparsity: part of each wavelet's sum of magnitudes that its smallest bins are dropped for.
        made: spectra of banks of the same window and norm: see `wavelet_spectra`.
    """
    kernels, made = [], {} if made is None else made
    for level in levels:
        for band in level.bands:
            spectra = wavelet_spectra(bank, band.bins, level.part, band.taps, sparsity, made)
            found = np.fft.fft(spectra, n=band.taps, axis=1) * (gains[band.first : band.end, None] / band.taps)
            kernels.append(np.stack([found.real, found.imag], axis=1).ravel())
    return np.concatenate(kernels)


def dense_levels(bank: WaveletBank, hop_length: int) -> tuple[Level]:
    """Plan a single constant-Q level at the full sample rate, with bins of similar lengths in each band."""
    shapes = [_reversed_shape(bank, bin_) for bin_ in range(bank.n_bins)]  # (samples before time 0, samples)
    bands: list[Band] = []
    first = 0
    for end in range(1, bank.n_bins + 1):
        if end < bank.n_bins and _zeros(shapes[first : end + 1]) <= _MOST_ZEROS:
            continue
        before = max(before for before, _ in shapes[first:end])
        after = max(samples - before for before, samples in shapes[first:end])
        bands.append(Band(first=first, end=end, taps=before + after, before=before))
        first = end
    return (Level(factor=1, part=1.0, hop_length=hop_length, bands=tuple(bands)),)


def _reversed_shape(bank: WaveletBank, bin_: int) -> tuple[int, int]:
    samples = len(bank.samples(bin_))
    return samples - 1 - (samples + 1) // 2, samples


def _zeros(shapes: list[tuple[int, int]]) -> float:
    """Return the fraction of zeros among the kernel taps of a planned band of a constant-Q level."""
    taps = max(before for before, _ in shapes) + max(samples - before for before, samples in shapes)
    return 1.0 - sum(samples for _, samples in shapes) / (len(shapes) * taps)


def dense_kernels(bank: WaveletBank, levels: tuple[Level, ...], gains: np.ndarray) -> np.ndarray:
    """Return the wavelet kernels of a planned constant-Q level at the full sample rate, in float64.

    The kernels of `dense_levels`: each wavelet as it is, backwards in time (not conjugated: librosa convolves).

    Shape: as of `octave_kernels`.
    """
    kernels = []
    for band in levels[0].bands:
        found = np.zeros((band.end - band.first, 2, band.taps))
        for row, bin_ in zip(found, band.bins, strict=True):
            backwards = bank.wavelet(bin_)[::-1] * gains[bin_]
            before, samples = _reversed_shape(bank, bin_)
            row[0, band.before - before :][:samples] = backwards.real
            row[1, band.before - before :][:samples] = backwards.imag
        kernels.append(found.ravel())
    return np.concatenate(kernels)
