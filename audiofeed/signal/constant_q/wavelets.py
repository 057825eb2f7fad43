"""Wavelets of constant relative bandwidth, by librosa's definitions, in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from audiofeed.signal.windows import get_window

INTERVALS = ("equal", "pythagorean", "ji3", "ji5", "ji7")
_PRIMES = {"pythagorean": (3,), "ji3": (3,), "ji5": (3, 5), "ji7": (3, 5, 7)}

# C1 at A4 = 440 Hz, the lowest note of a piano's lowest whole octave
C1 = 440.0 * 2.0 ** (-45 / 12)

# Windows whose bandwidth librosa has from a table, by scipy's names. It was made of 8193 symmetric samples, except
# "flattop"'s; that of other windows librosa takes of 1000 periodic ones.
_TABLED = frozenset(
    [
        "barthann",
        "brthan",
        "bth",
        "bartlett",
        "bart",
        "brt",
        "blackman",
        "black",
        "blk",
        "blackmanharris",
        "blackharr",
        "bkh",
        "bohman",
        "bman",
        "bmn",
        "boxcar",
        "box",
        "ones",
        "rect",
        "rectangular",
        "cosine",
        "halfcosine",
        "hamming",
        "hamm",
        "ham",
        "hann",
        "han",
        "nuttall",
        "nutl",
        "nut",
        "parzen",
        "parz",
        "par",
        "triang",
        "triangle",
        "tri",
    ]
)
_FLATTOP = 2.7762255046484143

# What a wavelet's kernel is multiplied by, per sample of its length L, beside a wavelet of p-norm 1: "librosa" L^(1/2),
# or L without scale; the other two are nnAudio's names.
NORMALIZATIONS = ("librosa", "convolutional", "wrap")


# ---------------------------------------------------------------- frequencies


def interval_ratios(intervals: str | Sequence[float], bins_per_octave: int) -> np.ndarray:
    """Return the ratios of wavelet frequencies to the lowest of their octave, ascending, in float64.

    The ratios lie in [1, 2).

    Args:
        intervals: "equal"; "pythagorean" (a stack of fifths); "ji3", "ji5", "ji7" (just intonation, of the primes up to
            3, 5 or 7); or the ratios themselves, whatever `bins_per_octave` says.

    >>> interval_ratios("pythagorean", 5).round(4).tolist()
    [1.0, 1.125, 1.2656, 1.5, 1.6875]
    """
    if not isinstance(intervals, str):
        return np.sort(np.asarray(intervals, dtype=np.float64))
    if intervals == "equal":
        return 2.0 ** (np.arange(bins_per_octave) / bins_per_octave)
    primes = np.log2(np.array(_PRIMES[intervals], dtype=np.float64))
    if intervals == "pythagorean":
        points = np.arange(bins_per_octave, dtype=np.float64)[:, None]
    else:
        points = np.array(_crystal(primes, bins_per_octave), dtype=np.float64)
    return np.sort(2.0 ** ((points @ primes) % 1.0))


def _harmonic_distance(logs: np.ndarray, a: tuple[int, ...], b: tuple[int, ...]) -> float:
    """Return Tenney's harmonic distance between two ratios of wavelet frequencies.

    The ratios are given by exponents of primes, and a ratio and its denominator count.
    """
    a_, b_ = np.array(a), np.array(b)
    shared = np.minimum(np.maximum(a_, 0), np.maximum(b_, 0)) - np.maximum(np.maximum(-a_, 0), np.maximum(-b_, 0))
    return round(float(logs @ (a_ + b_ - 2 * shared)), 6)


def _crystal(logs: np.ndarray, count: int) -> list[tuple[int, ...]]:
    """Return the just ratios of wavelet frequencies as points of a lattice of primes.

    The points are grown from 1 by what lies nearest to all that are there.

    "Crystal growth" as librosa has it, after Tenney (2008): of equally near points the simpler ratio is taken, and of
    equally simple ones the one met first.
    """
    n = len(logs)
    steps = [tuple(sign * (j == i) for j in range(n)) for i in range(n) for sign in (1, -1)]
    grown, frontier = [(0,) * n], list(steps)
    totals = {point: _harmonic_distance(logs, point, grown[0]) for point in frontier}
    while len(grown) < count:
        best = frontier[0]
        for point in frontier[1:]:
            # librosa's np.isclose, which is not symmetric
            near = abs(totals[point] - totals[best]) <= 1e-8 + 1e-5 * abs(totals[best])
            simpler = logs @ np.abs(point) < logs @ np.abs(best)
            if totals[point] < totals[best] or (near and simpler):
                best = point
        frontier.remove(best)
        grown.append(best)
        for point in frontier:
            totals[point] += _harmonic_distance(logs, point, best)
        for step in steps:
            new = tuple(int(x + y) for x, y in zip(best, step, strict=True))
            if new not in totals and new not in grown:
                frontier.append(new)
                # one after another, as librosa: `sum` of Python 3.12 rounds otherwise, and rounding breaks the ties
                totals[new] = 0.0
                for point in grown:
                    totals[new] += _harmonic_distance(logs, new, point)
    return grown


def relative_bandwidths(frequencies: np.ndarray, bins_per_octave: int) -> np.ndarray:
    """Return the bandwidth of each constant-Q wavelet as a part of its frequency, in float64.

    From the distance to its neighbors.

    >>> relative_bandwidths(np.array([1.0, 2.0, 4.0]), 1).tolist()
    [0.6, 0.6, 0.6]
    """
    if len(frequencies) == 1:
        steps = np.array([1.0 / bins_per_octave])
    else:
        logs = np.log2(frequencies)
        steps = np.gradient(logs)  # half the distance between both neighbors; at an end, to the only one
    squared = 2.0 ** (2.0 * steps)
    return (squared - 1.0) / (squared + 1.0)


def window_bandwidth(window: str | float | tuple) -> float:
    """Return the equivalent noise bandwidth of a wavelet's window in FFT bins, with librosa's own rounding.

    >>> round(window_bandwidth("hann"), 6)
    1.500183
    """
    if window in ("flattop", "flat", "flt"):
        return _FLATTOP
    w = get_window(window, 8193, periodic=False) if window in _TABLED else get_window(window, 1000)
    return float(len(w) * np.sum(w**2) / np.sum(w) ** 2)


# ---------------------------------------------------------------- wavelets


@dataclass(frozen=True, kw_only=True)
class WaveletBank:
    """Bank of constant-Q wavelets that analyze a signal: their frequencies, bandwidths and lengths in float64.

    Args:
        sample_rate: Hz; f_min: Hz, of the lowest bin, tuning included.
        bins_per_octave: where `intervals` is a name; with ratios, their number.
        gamma: Hz added to each bandwidth; None: as much as makes it a constant part of the ear's (ERB).
        norm: p-norm of each wavelet: `math.inf`, -inf, 0 (how many are not 0), any number > 0, or None.
        guarded: an octave is taken at a lower rate only where the filter before that rate leaves its bins whole, as in
            librosa 1.0; False: at every even hop, as in librosa 0.11. See `octave_fits`.
    """

    sample_rate: float
    f_min: float
    n_bins: int
    bins_per_octave: int = 12
    intervals: str | tuple[float, ...] = "equal"
    gamma: float | None = 0.0
    filter_scale: float = 1.0
    norm: float | None = 1.0
    window: str | float | tuple = "hann"
    guarded: bool = True

    @cached_property
    def frequencies(self) -> np.ndarray:
        """Center frequencies in Hz of a bank of constant-Q wavelets, ascending."""
        ratios = interval_ratios(self.intervals, self.bins_per_octave)
        octaves = 2.0 ** np.arange(self.n_octaves)
        return self.f_min * np.sort(np.multiply.outer(octaves, ratios).flatten()[: self.n_bins])

    @property
    def n_octaves(self) -> int:
        """Number of octaves that a bank of constant-Q wavelets takes.

        The highest is full, and the lowest perhaps not.
        """
        return -(-self.n_bins // self.bins_per_octave)

    @cached_property
    def relative_bandwidths(self) -> np.ndarray:
        return relative_bandwidths(self.frequencies, self.bins_per_octave)

    @cached_property
    def offsets(self) -> np.ndarray:
        """Offset in Hz that is added to the bandwidth of each constant-Q wavelet.

        With gamma=None a bandwidth is alpha f + alpha 24.7 / 0.108, a constant part of the ear's 24.7 + 0.108 f
        (Glasberg and Moore 1990).
        """
        if self.gamma is None:
            return self.relative_bandwidths * 24.7 / 0.108
        return np.full(self.n_bins, float(self.gamma))

    @cached_property
    def lengths(self) -> np.ndarray:
        """Lengths of a bank's constant-Q wavelets in samples, not rounded."""
        alpha = self.relative_bandwidths
        return self.filter_scale / alpha * self.sample_rate / (self.frequencies + self.offsets / alpha)

    @cached_property
    def cutoff(self) -> float:
        """Highest frequency in Hz that a wavelet of a bank reaches, half its bandwidth above its center."""
        quality = self.filter_scale / self.relative_bandwidths
        reach = self.frequencies * (1.0 + 0.5 * window_bandwidth(self.window) / quality) + 0.5 * self.offsets
        return float(reach.max())

    @property
    def early_halvings(self) -> int:
        """Number of times the sample rate can be halved before all wavelets of a bank.

        For any hop; librosa keeps one in reserve.
        """
        return max(0, math.ceil(math.log2(self.sample_rate / 2.0 / self.cutoff)) - 2)

    def octave_fits(self, end: int, part: float) -> bool:
        """Check if the octave of wavelets below bin `end` may be taken at half of `part` of the sample rate.

        Halving the rate weakens what lies above 0.9 of the new Nyquist frequency, and folds what lies above that. An
        octave is clear of both where its highest bin is at or below 0.8 of it, a fifth of the rate before.

        >>> bank = WaveletBank(sample_rate=22050, f_min=110.0, n_bins=72)
        >>> [bank.octave_fits(end, 1.0) for end in (60, 64, 65)]
        [True, True, False]
        """
        return not self.guarded or bool(self.frequencies[end - 1] <= self.sample_rate * part / 5)

    def samples(self, bin_: int, part: float = 1.0) -> range:
        """Return the range of samples of one wavelet at `part` of the sample rate, of which 0 is at time 0."""
        half = self.lengths[bin_] * part / 2.0
        return range(math.floor(-half), math.floor(half))

    def turns(self, bin_: int, part: float = 1.0) -> float:
        """Return the number of periods of one wavelet in a sample at `part` of the sample rate."""
        return float(self.frequencies[bin_] / (self.sample_rate * part))

    def wavelet(self, bin_: int, part: float = 1.0) -> np.ndarray:
        """Return the values of one constant-Q wavelet at its `samples`, in double precision.

        A windowed complex exponential of phase 0 at time 0. The window is the periodic one of as many samples, so that
        its middle lies half a sample before time 0 (for an odd number of them, which is any but an even length).
        """
        span = self.samples(bin_, part)
        phases = np.arange(span.start, span.stop) * self.turns(bin_, part) % 1.0
        return normalized(np.exp(2j * np.pi * phases) * get_window(self.window, len(span)), self.norm)

    def gains(self, normalization: str, *, scale: bool) -> np.ndarray:
        """Return the factor of each constant-Q wavelet for a kind of normalization, in float64.

        See `NORMALIZATIONS`.
        """
        if normalization == "librosa":
            return np.sqrt(self.lengths) if scale else self.lengths
        return np.full(self.n_bins, 1.0 if normalization == "convolutional" else 2.0)


def normalized(values: np.ndarray, norm: float | None) -> np.ndarray:
    """Return the values of a wavelet divided by their p-norm, in double precision.

    Too small a norm is taken as 1.

    >>> normalized(np.array([3.0, 4.0]), 2.0).tolist()
    [0.6, 0.8]
    """
    if norm is None:
        return values
    sizes = np.abs(values)
    if norm == math.inf:
        size = sizes.max()
    elif norm == -math.inf:
        size = sizes.min()
    elif norm == 0:
        size = float(np.count_nonzero(sizes))
    else:
        size = float((sizes**norm).sum() ** (1.0 / norm))
    return values / (size if size >= np.finfo(np.float64).tiny else 1.0)


def kept_bins(spectra: np.ndarray, sparsity: float) -> np.ndarray:
    """Return a mask of the FFT bins that are kept when spectra of wavelets are sparsified.

    All bins but the smallest, which together hold less than `sparsity` of each row's sum of magnitudes.

    >>> kept_bins(np.array([[5.0, 0.1, 4.0]]), 0.05).tolist()
    [[True, False, True]]
    """
    sizes = np.abs(spectra)
    ascending = np.sort(sizes, axis=1)
    held = np.cumsum(ascending / sizes.sum(axis=1, keepdims=True), axis=1)
    first = np.argmin(held < sparsity, axis=1)  # the first bin that is kept
    return sizes >= np.take_along_axis(ascending, first[:, None], axis=1)


# Wavelets in the middle of an FFT in float32, their spectra, and those sparsified, by the weights of the bins and the
# sparsity; all by what the wavelets were made from. An octave's wavelets at half the rate are those of the octave
# above, so that most octaves of a bank are made once.
Made = dict[tuple, tuple[np.ndarray, np.ndarray, dict[tuple, np.ndarray]]]


def wavelet_spectra(
    bank: WaveletBank, bins: range, part: float, n_fft: int, sparsity: float, made: Made | None = None
) -> np.ndarray:
    """Return the sparsified spectra of constant-Q wavelets in double precision.

    The wavelets lie in the middle of `n_fft` samples, and the spectra have bins 0..n_fft / 2. Only these bins count in
    librosa's transform, which multiplies them with real FFTs of frames: negative frequencies are discarded.

    Args:
        bins: of the bank.
        part: of the sample rate.
        made: what earlier calls made for banks of the same window and norm; this one adds its own.

    Returns:
        complex (bins, n_fft // 2 + 1).
    """
    made = {} if made is None else made
    key = (n_fft, *((bank.samples(bin_, part), bank.turns(bin_, part)) for bin_ in bins))
    if key not in made:
        centered = np.zeros((len(bins), n_fft), dtype=np.complex128)
        for row, bin_ in zip(centered, bins, strict=True):
            samples = bank.wavelet(bin_, part)
            left = (n_fft - len(samples)) // 2
            row[left : left + len(samples)] = samples
        made[key] = centered.astype(np.complex64), np.fft.fft(centered, axis=1)[:, : n_fft // 2 + 1], {}
    centered, spectra, sparse = made[key]
    if sparsity == 0.0:
        return spectra
    # librosa weighs the bins in float32, whose rounding tells nearly equal ones apart: to drop the same ones takes the
    # same FFT (NumPy's rounds otherwise, and in one bank of a hundred dropped another bin)
    scale = bank.lengths[bins.start : bins.stop, None] * part / n_fft
    weighed = (sparsity, scale.tobytes())
    if weighed not in sparse:
        import scipy.fft  # here: not to be imported with the package

        single = scipy.fft.fft((centered * scale).astype(np.complex64), axis=1)
        sparse[weighed] = np.where(kept_bins(single[:, : n_fft // 2 + 1], sparsity), spectra, 0.0)
    return sparse[weighed]


def spectral_weights(bank: WaveletBank, n_fft: int, sparsity: float, scale: bool) -> np.ndarray:
    """Return the float64 weight of each FFT bin's magnitude in each constant-Q wavelet.

    Shape: (bins, n_fft // 2 + 1).
    """
    weights = np.abs(wavelet_spectra(bank, range(bank.n_bins), 1.0, n_fft, sparsity))
    gains = bank.lengths if scale else bank.lengths**1.5
    return weights * (gains / n_fft**1.5)[:, None]


def least_power_of_two(length: float) -> int:
    """Return the smallest power of two that is not below a wavelet's length.

    >>> [least_power_of_two(length) for length in (0.5, 1.0, 100.2, 128.0)]
    [1, 1, 128, 128]
    """
    return max(1, 2 ** math.ceil(math.log2(length)))
