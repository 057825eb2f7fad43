"""Coverage of time and frequency by wavelets: weights of the inverse, and the largest hop."""

from __future__ import annotations

import numpy as np

from audiofeed.plans.constant_q.levels import Level
from audiofeed.signal.constant_q.wavelets import WaveletBank, window_bandwidth

# The longest part of a hop that a value stands for, as a multiple of its wavelet's effective duration. The eigenvalues
# of analysis and weighted synthesis reach about this number in the bins that the hop is too long for.
_MOST_DURATIONS = 1.25


def largest_hops(bank: WaveletBank) -> np.ndarray:
    """Plan the longest hop at which each constant-Q bin is sampled often enough for invertibility.

    In samples, not whole. Between two frames there pass hop / sample_rate seconds. A bin is undersampled in time where
    the frames come more seldom than its bandwidth asks for (its values then alias, each onto others of its own), or
    more seldom than the distance in Hz to its neighbors (all values together are then fewer than the samples of that
    band).

    Shape: (bins,).

    >>> largest_hops(WaveletBank(sample_rate=22050.0, f_min=32.7, n_bins=84))[[0, -1]].round(1).tolist()
    [7790.3, 64.5]
    """
    bandwidths = window_bandwidth(bank.window) * bank.sample_rate / bank.lengths
    return bank.sample_rate / np.maximum(bandwidths, _distances(bank))


def _distances(bank: WaveletBank) -> np.ndarray:
    """Return the distance in Hz from bin to bin, at each bin, to plan the invertibility of a constant-Q transform."""
    return bank.relative_bandwidths * bank.frequencies


# Let a be a bin's wavelet at the full rate, d the distance to the next in Hz, h the hop. The values c = <x, a> of a
# real x at frames every h samples, weighted by w and multiplied back, sum to
#
#     S x = sum over bins and frames of w Re(c a*).
#
# Where the frames are dense, S multiplies a frequency f by sum over bins of w |A(f)|^2 / (2 h): A peaks at f's own bin,
# and since its square has the area |a|^2 rate over frequency, the sum over bins d apart is w |a|^2 rate / (2 h d). This
# is 1 with w = 2 h d / (rate |a|^2), and then the weighted adjoint by itself is nearly the inverse.
#
# Where a hop is longer than a wavelet, S is largest in the middle of the frame: there it multiplies by
# w max|a|^2 rate / (2 d), which is 1 with |a|^2 / max|a|^2, the wavelet's effective duration, in place of h. The less
# of both keeps all eigenvalues of S near 1 or below it.
def frame_weights(bank: WaveletBank, levels: tuple[Level, ...], kernels: np.ndarray, hop_length: int) -> np.ndarray:
    """Plan the weight of each constant-Q bin for invertibility: with it the adjoint nearly inverts the analysis.

    Args:
        kernels: of `levels`, by `octave_kernels` or `dense_kernels`.

    Shape: (bins,).
    """
    weights = np.zeros(bank.n_bins)
    start = 0
    for level in levels:
        for band in level.bands:
            squares = (kernels[start : start + band.size].reshape(-1, 2, band.taps) ** 2).sum(axis=1)  # (bin, tap)
            start += band.size
            energies = squares.sum(axis=1)
            # a wavelet at part p of the rate is p times as long, and its values are as large for 1 / p times the energy
            durations = energies / np.maximum(squares.max(axis=1), np.finfo(np.float64).tiny) / level.part
            spans = np.minimum(hop_length, _MOST_DURATIONS * durations)
            density = 2.0 * _distances(bank)[band.first : band.end] / bank.sample_rate
            full = np.maximum(energies * level.part, np.finfo(np.float64).tiny)
            weights[band.first : band.end] = np.where(energies > 0, density * spans / full, 0.0)
    return weights
