"""Band-pass filters of two cutoff frequencies, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audiofeed.signal.bounded_parameters import angle_of, drawn_in
from audiofeed.signal.scales import mel_frequencies
from audiofeed.signal.windows import Window, get_window

NORMS = ("peak", None)


def sinc_cutoffs(
    n_filters: int,
    *,
    sample_rate: float,
    f_min: float,
    f_max: float,
    min_low_hz: float,
    min_band_hz: float,
) -> np.ndarray:
    """Return the cutoff frequencies in Hz with which SincNet's sinc filters start, in float64.

    Lower cutoffs, then upper ones. Edges e[0..n_filters] evenly spaced in mel (HTK) from f_min to f_max give the bands
    from min_low_hz + e[i] to min_low_hz + e[i + 1] + min_band_hz. What would begin at a bound (the top of the last band
    at half the sample rate) begins a ten-thousandth of its span inside, so that it can be trained.

    Returns:
        float64 array of shape (2, n_filters).

    >>> sinc_cutoffs(2, sample_rate=8000, f_min=30, f_max=3000, min_low_hz=50, min_band_hz=50).round().tolist()
    [[80.0, 993.0], [1043.0, 3100.0]]
    """
    top = sample_rate / 2.0
    edges = mel_frequencies(n_filters + 1, f_min=f_min, f_max=f_max, mel_scale="htk")
    low = drawn_in(min_low_hz + edges[:-1], min_low_hz, top - min_band_hz)
    high = drawn_in(low + min_band_hz + np.diff(edges), low + min_band_hz, top)
    return np.stack([low, high])


def sinc_filters(
    cutoffs: np.ndarray, *, sample_rate: float, win_length: int, window: Window = "hamming", norm: str | None = "peak"
) -> np.ndarray:
    """Return windowed sinc band-pass filters in float64, from their lower and upper cutoffs.

    Ideal band-passes: what passes up to the upper cutoff less what passes up to the lower.

    Args:
        cutoffs: lower and upper in Hz, (2, n).
        sample_rate: Hz.
        win_length: taps, odd.
        window: symmetric; see `get_window`.
        norm: "peak" (the middle tap is 1, as in SincNet), or None (about 1 within the band, as
            `scipy.signal.firwin(scale=False)`).

    Returns:
        float64 array of shape (n, win_length).

    >>> sinc_filters(np.array([[100.0], [900.0]]), sample_rate=8000, win_length=31).shape
    (1, 31)
    """
    low, high = np.asarray(cutoffs, dtype=np.float64)[..., None] / sample_rate
    tap = np.arange(win_length) - (win_length - 1) / 2.0
    filters = 2.0 * high * np.sinc(2.0 * high * tap) - 2.0 * low * np.sinc(2.0 * low * tap)
    filters = filters * get_window(window, win_length, periodic=False)
    return filters / (2.0 * (high - low)) if norm == "peak" else filters


@dataclass(frozen=True, kw_only=True)
class SincStart:
    """Definition of the cutoffs with which sinc filters start, and of the parameters behind them, in float64.

    See `sinc_cutoffs`.

    >>> start = SincStart(n_filters=2, sample_rate=8000.0, f_min=30.0, f_max=3000.0, min_low_hz=50.0, min_band_hz=50.0)
    >>> start.raw_low().shape, start.filters(win_length=31).shape
    ((2,), (2, 31))
    """

    n_filters: int
    sample_rate: float
    f_min: float
    f_max: float
    min_low_hz: float
    min_band_hz: float

    def cutoffs(self) -> np.ndarray:
        """Return the float64 lower and upper cutoffs in Hz with which sinc filters start.

        Shape: (2, n_filters).
        """
        return sinc_cutoffs(**vars(self))

    def raw_low(self) -> np.ndarray:
        """Return the float64 angles behind the lower cutoffs with which sinc filters start.

        Shape: (n_filters,).
        """
        return angle_of(self.cutoffs()[0], self.min_low_hz, self.sample_rate / 2 - self.min_band_hz)

    def raw_high(self) -> np.ndarray:
        """Return the float64 angles behind the upper cutoffs with which sinc filters start.

        Shape: (n_filters,).
        """
        low, high = self.cutoffs()
        return angle_of(high, low + self.min_band_hz, self.sample_rate / 2)

    def filters(self, *, win_length: int, window: Window = "hamming", norm: str | None = "peak") -> np.ndarray:
        """Return the float64 sinc filters of the cutoffs that they start with.

        See `sinc_filters`.  Shape: (n_filters, win_length).
        """
        cutoffs = self.cutoffs()
        return sinc_filters(cutoffs, sample_rate=self.sample_rate, win_length=win_length, window=window, norm=norm)
