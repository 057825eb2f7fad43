"""Window functions in float64, by the names that `scipy.signal.get_window` knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

Window: TypeAlias = "str | float | tuple | Sequence[float] | np.ndarray"

# A cosine-family window is sum_k (-1)^k a_k cos(2 pi k n / (M - 1)). Facts from Harris (1978), Nuttall (1981) and
# D'Antona & Ferrero (2006), as scipy has them; kept here so that the usual windows need no scipy.
_COSINE_TERMS: dict[str, tuple[float, ...]] = {
    "boxcar": (1.0,),
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.50, 0.08),
    "nuttall": (0.3635819, 0.4891775, 0.1365995, 0.0106411),
    "blackmanharris": (0.35875, 0.48829, 0.14128, 0.01168),
    "flattop": (0.21557895, 0.41663158, 0.277263158, 0.083578947, 0.006947368),
}


# Kaldi's window, (0.5 - 0.5 cos)^0.85: like a Hamming window, and 0 at its ends
_POVEY = 0.85


def _cosine_window(terms: tuple[float, ...], length: int) -> np.ndarray:
    angle = np.linspace(-np.pi, np.pi, length)
    window = np.full(length, terms[0])
    for k, term in enumerate(terms[1:], 1):
        window += term * np.cos(k * angle)
    return window


def get_window(window: Window, length: int, *, periodic: bool = True) -> np.ndarray:
    """Return the `length` samples of a window function, in float64.

    Follows `scipy.signal.get_window`; every name and `(name, parameter, ...)` tuple that scipy takes is taken, and
    "povey", Kaldi's: a Hann window to the power of 0.85, there the symmetric one.

    Args:
        window: a name ("hann"), a tuple ("kaiser", 8.6), a number (the beta of a Kaiser window), or the samples
            themselves, `length` of them.
        length: samples, 1 or more.
        periodic: True for spectral analysis (the window's period is `length`); False for the symmetric window.

    Returns:
        float64 array of shape (length,).

    Raises:
        ValueError: for a name that scipy does not know, or samples that are not `length` finite numbers.

    >>> get_window("hann", 4).round(3).tolist()
    [0.0, 0.5, 1.0, 0.5]
    >>> get_window("hann", 5, periodic=False).round(3).tolist()
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if length < 1:
        raise ValueError(f"length={length!r} must be at least 1 sample")
    if callable(window):
        raise ValueError(
            f"window={window!r} must be a name such as 'hann', a tuple such as ('kaiser', 8.6), or the samples; "
            f"those of a function are {getattr(window, '__name__', 'function')}({length})"
        )
    if isinstance(window, str) and window == "povey":
        return get_window("hann", length, periodic=periodic) ** _POVEY
    if isinstance(window, str) or np.isscalar(window) or isinstance(window, tuple):
        if isinstance(window, str) and window in _COSINE_TERMS:
            if length == 1:
                return np.ones(1)
            # a periodic window is the symmetric one a sample longer, without its last sample
            return _cosine_window(_COSINE_TERMS[window], length + periodic)[:length]
        import scipy.signal  # here: half the import time of the package, for a window that few ask for

        try:
            return np.asarray(scipy.signal.get_window(window, length, fftbins=periodic), dtype=np.float64)
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"window={window!r} is not a window that scipy.signal.get_window can make of {length} samples "
                f"({error}); use a name such as 'hann', a tuple such as ('kaiser', 8.6), or the samples"
            ) from error
    samples = np.asarray(window, dtype=np.float64)
    if samples.shape != (length,):
        raise ValueError(f"window has shape {samples.shape}; given as samples it must have win_length={length} of them")
    if not np.isfinite(samples).all():
        raise ValueError("window holds a NaN or an infinity; every sample must be finite")
    return samples


def pad_window(window: np.ndarray, n_fft: int, left: int | None = None) -> np.ndarray:
    """Return a window function set among `n_fft` zeros, in float64: in the middle, as librosa and torch.stft place it.

    Args:
        window: (win_length,) the window.
        n_fft: samples of the result.
        left: zeros before the window; None: as many as after it, or one less.

    >>> pad_window(np.ones(2), 5).tolist(), pad_window(np.ones(2), 5, 0).tolist()
    ([0.0, 1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0, 0.0])
    """
    left = (n_fft - window.shape[0]) // 2 if left is None else left
    return np.pad(window, (left, n_fft - window.shape[0] - left))
