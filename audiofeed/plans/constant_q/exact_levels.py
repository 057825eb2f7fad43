"""Kernels of undecimated wavelets at decreasing rates: the plain definition of a constant-Q transform, nearly as cheap.

librosa makes the wavelets of an octave anew at the octave's rate, where their lengths are rounded to other samples: on
noise 1 to 5 % beside the definition at the full rate. Here a wavelet is the one of the full rate, brought to the lower
one by cutting off its spectrum, and a rate is low enough for an octave only if next to nothing is cut off.
"""

from __future__ import annotations

import numpy as np

from audiofeed.plans.constant_q.levels import Band, Level
from audiofeed.signal.constant_q.decimation import FACTORS
from audiofeed.signal.constant_q.wavelets import WaveletBank, least_power_of_two

# the part of a wavelet's norm that may lie above what the filter before a rate passes, and the part of that rate's
# Nyquist frequency which it does
_CUT_OFF, _PASSED = 1e-5, 0.91
# a wavelet at a lower rate ends less abruptly than its window, by a few samples
_TAIL = 4


def exact_levels(bank: WaveletBank, hop_length: int) -> tuple[Level, ...]:
    """Plan constant-Q levels octave by octave, each at the lowest rate that holds its undecimated wavelets whole.

    >>> bank = WaveletBank(sample_rate=22050, f_min=32.7, n_bins=84)
    >>> [round(1 / level.part) for level in exact_levels(bank, 512)]
    [1, 2, 4, 8, 16, 32]
    """
    most = min((hop_length & -hop_length).bit_length() - 1, len(FACTORS))
    levels: list[Level] = []
    bands: list[Band] = []
    halvings = before = 0  # of the level in the making, and of that before it
    for octave in range(bank.n_octaves):
        end = bank.n_bins - octave * bank.bins_per_octave
        first = max(0, end - bank.bins_per_octave)
        own = max(halvings, min(most, _halvings(bank, range(first, end))))
        if own > halvings and bands:
            levels.append(_level(halvings, before, hop_length, bands))
            before, bands = halvings, []
        halvings = own
        taps = least_power_of_two(bank.lengths[first:end].max() / 2**halvings + _TAIL)
        bands.append(Band(first=first, end=end, taps=taps, before=taps // 2))
    return (*levels, _level(halvings, before, hop_length, bands))


def _level(halvings: int, before: int, hop_length: int, bands: list[Band]) -> Level:
    return Level(
        factor=2 ** (halvings - before), part=0.5**halvings, hop_length=hop_length >> halvings, bands=tuple(bands)
    )


def _halvings(bank: WaveletBank, bins: range) -> int:
    """Return how often the rate can be halved for an octave of undecimated wavelets: for the highest and the widest."""
    widest = bins.start + int(np.argmin(bank.lengths[bins.start : bins.stop]))
    return min(_halvings_of(bank, bin_) for bin_ in {bins.stop - 1, widest})


def _halvings_of(bank: WaveletBank, bin_: int) -> int:
    wavelet = bank.wavelet(bin_)
    n_fft = 2 * least_power_of_two(len(wavelet))
    energy = np.abs(np.fft.fft(wavelet, n_fft)) ** 2
    two_sided = energy[: n_fft // 2 + 1].copy()
    two_sided[1 : n_fft // 2] += energy[: n_fft // 2 : -1]
    above = np.cumsum(two_sided[::-1])[::-1] / two_sided.sum()
    halvings = 0
    while above[min(n_fft // 2, int(_PASSED * n_fft / 2 ** (halvings + 2)))] <= _CUT_OFF**2 and n_fft >> halvings > 8:
        halvings += 1
    return halvings


def exact_kernels(bank: WaveletBank, levels: tuple[Level, ...], gains: np.ndarray) -> np.ndarray:
    """Return the kernels of undecimated constant-Q wavelets at the planned levels, in float64.

    Shape: as of `octave_kernels`.
    """
    kernels = []
    for level in levels:
        for band in level.bands:
            full = round(band.taps / level.part)
            found = np.empty((band.end - band.first, 2, band.taps))
            for row, bin_ in zip(found, band.bins, strict=True):
                span = bank.samples(bin_)
                backwards = np.zeros(full, dtype=np.complex128)
                backwards[full // 2 - span.stop + 1 :][: len(span)] = bank.wavelet(bin_)[::-1]
                spectrum = np.fft.fft(backwards)
                half = band.taps // 2
                cut = spectrum if full == band.taps else np.concatenate([spectrum[:half], spectrum[-half:]])
                values = np.fft.ifft(cut) * gains[bin_]
                row[0], row[1] = values.real, values.imag
            kernels.append(found.ravel())
    return np.concatenate(kernels)
