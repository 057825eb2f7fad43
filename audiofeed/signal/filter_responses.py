"""How strongly filters answer each frequency: banks over FFT bins as they are, kernels by their Fourier transform."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

_EVEN = 513
_FINENESS = 16
_LOGARITHMIC = 1024


@dataclass(frozen=True, kw_only=True, eq=False)
class FilterResponses:
    """Responses of a transform's filters at frequencies, as they are now.

    Args:
        frequencies: Hz, rising, (n,).
        values: (filters, n), >= 0 but for trained or given banks, which may have any sign.
        quantity: What the values are: "weight of |X|^2" (the filters of a bank over FFT bins, which sum magnitudes or
            powers) or "gain" (of a sine: the amplitude that leaves a real filter, the magnitude that a complex one
            gives).
        logarithmic: Whether the filters are as wide as their frequency is high, so that a logarithmic axis fits.
    """

    frequencies: np.ndarray
    values: np.ndarray
    quantity: str
    logarithmic: bool = False

    def __repr__(self) -> str:
        low, high = self.frequencies[[0, -1]]
        return (
            f"FilterResponses({len(self.values)} filters at {len(self.frequencies)} frequencies, "
            f"{low:g} to {high:g} Hz, {self.quantity!r})"
        )


def kernel_gains(kernels: np.ndarray, cycles: np.ndarray) -> np.ndarray:
    """Return the gain of filter kernels for a sine of amplitude 1, as `FilterResponses` has it.

    What leaves a real kernel K is a sine of the amplitude |K(f)|. A complex one sees the two halves of a real sine, at
    f and -f, and its magnitude is |K(f)| / 2 where it passes one of them alone; the root of the mean square over time
    is returned, sqrt(|K(f)|^2 + |K(-f)|^2) / 2.

    Args:
        kernels: (filters, taps), real or complex; tap t meets sample t of what is before it.
        cycles: Frequencies in cycles per sample, (n,).

    Returns:
        (filters, n).

    >>> kernel_gains(np.array([[0.5, 0.5]]), np.array([0.0, 0.5])).round(6).tolist()
    [[1.0, 0.0]]
    """
    fine = 2 ** math.ceil(math.log2(_FINENESS * kernels.shape[1]))
    # |K(f)|^2 is smooth enough to be interpolated between so many frequencies: to 1e-4 of its peak, or better
    if np.iscomplexobj(kernels):
        powers = np.abs(np.fft.fft(kernels, n=fine)) ** 2
        powers = (powers + np.roll(powers[:, ::-1], 1, axis=1)) / 4
    else:
        powers = np.abs(np.fft.fft(kernels, n=fine)) ** 2
    return np.sqrt(np.maximum(_interpolated(powers, cycles * fine), 0.0))


def _interpolated(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Interpolate periodic gains of filters between their samples, by cubic polynomials through four of them."""
    first = np.floor(places).astype(np.int64)
    t = places - first
    near = [values[:, (first + step) % values.shape[1]] for step in (-1, 0, 1, 2)]
    weights = (
        -t * (t - 1) * (t - 2) / 6,
        (t + 1) * (t - 1) * (t - 2) / 2,
        -(t + 1) * t * (t - 2) / 2,
        (t + 1) * t * (t - 1) / 6,
    )
    return sum(weight * value for weight, value in zip(weights, near, strict=True))


def even_frequencies(sample_rate: float, centers: Iterable[float]) -> np.ndarray:
    """Return evenly spaced frequencies in Hz from 0 to half the sample rate for responses of filters, and the centers.

    >>> len(even_frequencies(16000, [1000.5]))
    514
    """
    return np.unique([*np.linspace(0, sample_rate / 2, _EVEN), *centers])


def logarithmic_frequencies(sample_rate: float, centers: np.ndarray) -> np.ndarray:
    """Return frequencies in Hz for responses of filters, evenly spaced in octaves around the centers, and these.

    They begin half an octave below the lowest center and end at half the sample rate.

    >>> logarithmic_frequencies(16000, np.array([100.0, 200.0]))[[0, -1]].round(2).tolist()
    [70.71, 8000.0]
    """
    lowest = float(centers.min()) / 2**0.5
    return np.unique([*np.geomspace(lowest, sample_rate / 2, _LOGARITHMIC), *centers])
