"""The low-pass filters in front of a lower sample rate, as soxr's "HQ" quality has them, in float64.

librosa's constant-Q transform halves its signal with soxr HQ, so a transform equal to librosa's must filter alike.
soxr's answers to impulses, of which its float32 arithmetic leaves seven digits, are Kaiser-windowed sinc functions:
with the constants below they are met to 1.1e-7 of their norm (2.3e-7 for an eighth of the rate), which is that
rounding.
"""

from __future__ import annotations

import math

import numpy as np

# the cutoff, as a part of the lower rate's Nyquist frequency
_CUTOFF = 0.95687182

# From the factor between the rates to the shape (beta) of the Kaiser window, and half its length in samples of the
# higher rate. soxr takes one long filter for any power of two, not a cascade of halvings.
_KAISER = {
    2: (13.0400, 194.5),
    4: (13.7112, 409.0),
    8: (14.1042, 842.0),
    16: (14.3832, 1716.0),
    32: (14.5997, 3464.0),
    64: (14.7766, 7056.0),
    128: (14.9263, 14240.0),
    256: (15.0560, 28736.0),
}
FACTORS = tuple(_KAISER)


def decimation_filter(factor: int) -> np.ndarray:
    """Return soxr HQ's half-band (or narrower) low-pass filter for constant-Q decimation, in float64.

    The symmetric impulse response in front of 1 / `factor` of the rate; its sum is 1.

    >>> decimation_filter(2).shape
    (389,)
    """
    beta, half = _KAISER[factor]
    reach = decimation_taps(factor) // 2
    k = np.arange(-reach, reach + 1)
    window = np.i0(beta * np.sqrt(1.0 - (k / half) ** 2)) / np.i0(beta)
    return _CUTOFF / factor * np.sinc(_CUTOFF / factor * k) * window


def decimation_taps(factor: int) -> int:
    """Return the number of taps of soxr HQ's half-band (or narrower) low-pass filter, without making it.

    >>> [decimation_taps(factor) for factor in (2, 4)]
    [389, 817]
    """
    return 2 * math.ceil(_KAISER[factor][1]) - 1


def decimation_reach(factor: int) -> int:
    """Return the reach to either side of soxr HQ's half-band (or narrower) low-pass filter.

    In samples that the filter sees, as a multiple of the factor.

    >>> [decimation_reach(factor) for factor in (2, 4)]
    [194, 408]
    """
    return math.ceil(decimation_taps(factor) // 2 / factor) * factor
