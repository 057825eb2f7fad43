"""The bands of a perfect-reconstruction constant-Q transform, in float64.

The bands cover every frequency from 0 to half the sample rate, and at each frequency at most two of them overlap, in a
*fade*. Over a fade from p to q the lower band falls as the cosine and the upper rises as the sine of
pi / 2 * step((f - p) / (q - p)), so that their squares sum to 1. Filtered by the bands, and by the same bands again, a
signal is what it was: the bands are a tight frame, and their own dual. They may be decimated to any rate that holds
their width (the painless case of Daubechies, Grossmann and Meyer 1986), here to one rate for all of them.

A constant-Q band rises from the frequency below its own to its own, and falls to the one above. Below the lowest and
above the highest the rest is filled by bands that are as far apart as the rate allows, the first of them at 0 and the
last at half the sample rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# The order of the fades' smooth step. The higher, the sooner a band's response dies away in the end, and the wider its
# peak: of orders 4, 6, 8 what lies past 10 / fade is 3e-6, 2e-7, 5e-8 of a response's norm; of a sine fade 2e-3.
ORDER = 8
# So many times 1 / fade (in seconds) a band's response is followed to either side of its peak. Tones and noise in the
# lowest band then return 136 dB above their error; each 1 more or less is 17 dB.
REACH = 8.0
# No reach shorter than this is offered: there it is 20 dB.
LEAST_REACH = 1.0


def smooth_step(u: np.ndarray) -> np.ndarray:
    """Return the smooth step by which neighboring bands of a sliced constant-Q transform fade, in float64.

    From 0 at u <= 0 to 1 at u >= 1 with ORDER - 1 derivatives that vanish at both; step(u) + step(1 - u) = 1.

    It is the regularized incomplete beta function I_u(ORDER, ORDER), as a sum of positive terms.

    >>> smooth_step(np.array([-1.0, 0.0, 0.5, 1.0])).tolist()
    [0.0, 0.0, 0.5, 1.0]
    """
    u = np.clip(u, 0.0, 1.0)
    degree = 2 * ORDER - 1
    terms = [math.comb(degree, j) * u**j * (1.0 - u) ** (degree - j) for j in range(ORDER, degree + 1)]
    return np.sum(terms, axis=0)


@dataclass(frozen=True, kw_only=True)
class GaborBands:
    """Definition of the bands in Hz of a sliced constant-Q transform, from 0 to half the sample rate.

    Args:
        centers: (bands,) Hz.
        fades: (bands - 1, 2) Hz: where each band gives way to the next, from and to.
        first, count: which of the bands are those of constant Q.
    """

    sample_rate: float
    centers: np.ndarray
    fades: np.ndarray
    first: int
    count: int

    @property
    def narrowest(self) -> float:
        """Width in Hz of the narrowest fade between the bands of a sliced constant-Q transform.

        Bands ring about as many seconds as one divided by that.
        """
        return float(np.min(self.fades[:, 1] - self.fades[:, 0]))

    def reach(self, hop_length: int, times: float = REACH) -> int:
        """Return the reach in samples of sliced constant-Q bands to either side of a response's peak.

        A multiple of the hop: `times` / the narrowest fade.

        >>> gabor_bands(sample_rate=8000, f_min=100.0, bins_per_octave=12, hop_length=4).reach(4)
        11404
        """
        return hop_length * math.ceil(times * self.sample_rate / self.narrowest / hop_length)


def constant_q_frequencies(
    *, sample_rate: float, f_min: float, f_max: float | None, bins_per_octave: int
) -> np.ndarray:
    """Return the center frequencies in Hz of the bands of a sliced constant-Q transform, in float64.

    f_min * 2^(k / bins_per_octave) up to `f_max`, and while a band and half a fade lie below sample_rate / 2.

    >>> constant_q_frequencies(sample_rate=8000, f_min=500.0, f_max=None, bins_per_octave=1).tolist()
    [500.0, 1000.0]
    """
    step = 2.0 ** (1.0 / bins_per_octave)
    # the band at f falls to f * step, and the one that fills up above it needs room to fall in turn
    highest = sample_rate / 2 / (step + (step - 1.0) / 2)
    if f_max is not None:
        highest = min(highest, f_max)
    # a limit that was itself computed as f_min * 2^(k / bins_per_octave) is to be reached, whatever its rounding
    count = math.floor(bins_per_octave * math.log2(highest / f_min) + 1e-9) + 1 if highest > 0 else 0
    return f_min * 2.0 ** (np.arange(max(count, 0)) / bins_per_octave)


def largest_band_hop(frequencies: np.ndarray, *, sample_rate: float, bins_per_octave: int) -> int:
    """Return the largest hop whose rate holds the widest band of a sliced constant-Q transform.

    That rate is twice the band's upper fade.

    >>> largest_band_hop(np.array([1000.0]), sample_rate=8000, bins_per_octave=12)
    67
    """
    fade = float(frequencies[-1]) * (2.0 ** (1.0 / bins_per_octave) - 1.0)
    return max(1, math.floor(sample_rate / (2.0 * fade)))


def gabor_bands(
    *, sample_rate: float, f_min: float, f_max: float | None = None, bins_per_octave: int, hop_length: int
) -> GaborBands:
    """Return the bands that define a sliced constant-Q transform, in float64.

    Bands of constant Q, and what fills up below and above them, at the rate sample_rate / hop_length.

    >>> bands = gabor_bands(sample_rate=8000, f_min=500.0, bins_per_octave=1, hop_length=2)
    >>> bands.centers.tolist(), bands.fades.tolist()
    ([0.0, 500.0, 1000.0, 2000.0, 4000.0],
     [[250.0, 500.0], [500.0, 1000.0], [1000.0, 2000.0], [2000.0, 4000.0]])
    """
    # Real signals have no negative frequencies of their own, so the band at 0, which is as wide on that side, must stay
    # below half the rate, and so must the last one's distance from sample_rate / 2.
    half = sample_rate / hop_length / 2
    inner = constant_q_frequencies(sample_rate=sample_rate, f_min=f_min, f_max=f_max, bins_per_octave=bins_per_octave)
    step = 2.0 ** (1.0 / bins_per_octave)
    below, above, nyquist = inner[0] / step, inner[-1] * step, sample_rate / 2
    low = np.zeros(0)
    if inner[0] > half:
        steps = math.ceil(below / half)
        low = below * np.arange(1, steps + 1) / steps
    steps = max(1, math.ceil((nyquist - above) / half))
    high = above + (nyquist - above) * np.arange(steps) / steps
    centers = np.concatenate([[0.0], low, inner, high, [nyquist]])
    fades = np.stack([centers[:-1], centers[1:]], axis=1)
    if len(low) == 0:
        fades[0, 0] = below  # what lies below is the band at 0 alone
    return GaborBands(
        sample_rate=float(sample_rate), centers=centers, fades=fades, first=1 + len(low), count=len(inner)
    )


@dataclass(frozen=True, kw_only=True)
class BandBins:
    """Bins of a real FFT in each band of a sliced constant-Q transform, one band after another.

    Args:
        firsts, counts: (bands,) the first bin of each band, and how many.
        bands, bins: (entries,) of every bin of every band.
    """

    firsts: np.ndarray
    counts: np.ndarray
    bands: np.ndarray
    bins: np.ndarray

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """First FFT bin of each band of a sliced constant-Q transform, and the number of its bins."""
        return tuple(zip(self.firsts.tolist(), self.counts.tolist(), strict=True))

    def places(self, frames: int) -> np.ndarray:
        """Return the position of each FFT bin of sliced constant-Q bands in the bands' spectra laid end to end.

        The spectra have `frames` points each.
        """
        return self.bands * frames + self.bins % frames


def band_bins(bands: GaborBands, length: int) -> BandBins:
    """Return the FFT bins at which each band of a sliced constant-Q transform is not 0.

    Bins of a real FFT of `length` samples (even).

    >>> bands = gabor_bands(sample_rate=8000, f_min=500.0, bins_per_octave=1, hop_length=2)
    >>> band_bins(bands, 32).firsts.tolist(), band_bins(bands, 32).counts.tolist()
    ([0, 1, 2, 4, 8], [3, 4, 7, 13, 9])
    """
    per_bin = bands.sample_rate / length
    starts = np.concatenate([[0.0], bands.fades[:, 0]])
    ends = np.concatenate([bands.fades[:, 1], [bands.sample_rate / 2]])
    firsts = np.ceil(starts / per_bin - 1e-9).astype(np.int64)
    counts = np.maximum(np.minimum(np.floor(ends / per_bin + 1e-9).astype(np.int64), length // 2) - firsts + 1, 0)
    which = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    return BandBins(firsts=firsts, counts=counts, bands=which, bins=firsts[which] + within)


def band_windows(bands: GaborBands, length: int) -> np.ndarray:
    """Return the response of each band of a sliced constant-Q transform at its FFT bins, in float64.

    At the bins of a real FFT of `length` samples, one band after another.  Shape: (entries,).

    >>> bands = gabor_bands(sample_rate=8000, f_min=500.0, bins_per_octave=1, hop_length=2)
    >>> band_windows(bands, 32)[:7].round(3).tolist()
    [1.0, 1.0, 0.0, 0.0, 1.0, 0.707, 0.0]
    """
    entries = band_bins(bands, length)
    hz = entries.bins * (bands.sample_rate / length)
    rises = np.concatenate([[[-2.0, -1.0]], bands.fades])[entries.bands]
    falls = np.concatenate([bands.fades, [[bands.sample_rate, 2 * bands.sample_rate]]])[entries.bands]
    up = smooth_step((hz - rises[:, 0]) / (rises[:, 1] - rises[:, 0]))
    down = smooth_step((falls[:, 1] - hz) / (falls[:, 1] - falls[:, 0]))
    return np.sin(0.5 * np.pi * up) * np.sin(0.5 * np.pi * down)


def analysis_weights(bands: GaborBands, length: int, hop_length: int) -> np.ndarray:
    """Return the float64 weights of a slice's FFT bins in each constant-Q band, for the analysis.

    With these weights of the bins of a slice's real FFT a tone's magnitude is its amplitude.

    The inverse FFT of a band has length / hop_length points, and divides by that many where a slice's own would divide
    by `length`: hence 1 / hop_length. A real tone has half its amplitude at its positive frequency: hence 2; at 0 and
    at sample_rate / 2 it has all of it.

    >>> bands = gabor_bands(sample_rate=8000, f_min=500.0, bins_per_octave=1, hop_length=2)
    >>> analysis_weights(bands, 32, 2)[:3].tolist()
    [0.5, 1.0, 0.0]
    """
    bins = band_bins(bands, length).bins
    own = (bins == 0) | (2 * bins == length)
    return band_windows(bands, length) * np.where(own, 1.0, 2.0) / hop_length


def synthesis_weights(bands: GaborBands, length: int, hop_length: int) -> np.ndarray:
    """Return the float64 weights of each constant-Q band's FFT bins in a slice, for the synthesis.

    Weights of the bins of a band's FFT in a slice's real FFT: the inverse, band by band.

    The first and the last band are real, and so have half of each tone on either side.

    >>> bands = gabor_bands(sample_rate=8000, f_min=500.0, bins_per_octave=1, hop_length=2)
    >>> synthesis_weights(bands, 32, 2)[1:5].tolist()
    [2.0, 0.0, 0.0, 1.0]
    """
    entries = band_bins(bands, length)
    real = (entries.bands == 0) | (entries.bands == len(bands.centers) - 1)
    return band_windows(bands, length) * np.where(real, 1.0, 0.5) * hop_length
