"""The inverse of a short-time Fourier transform, in float64: its synthesis basis, and the hops that allow one."""

from __future__ import annotations

import numpy as np

from audiofeed.signal.short_time.fourier import fourier_basis

# The least-squares inverse divides by the overlapped squared window, so that the rounding of a sample grows by the
# square root of (peak of the squared window / overlapped squared window). A factor of 300 leaves nearly 5 of float32's
# 7 digits of that sample; a window and a hop with less count as leaving gaps.
LEAST_COVER = 1e-5


def synthesis_basis(window: np.ndarray) -> np.ndarray:
    """Return the synthesis basis of an inverse short-time Fourier transform, in float64.

    The windowed inverse of a real DFT as a matrix: (real parts, imaginary parts) @ basis are windowed frames.

    A real frame is x[n] = 1 / N sum_k c_k (Re X_k cos(2 pi k n / N) - Im X_k sin(2 pi k n / N)) over the bins
    0..N // 2, where c_k is 2 because bin N - k is the conjugate of bin k, and 1 for the bins without such a partner: 0,
    and N / 2 for even N.

    Args:
        window: (n_fft,) synthesis window.

    Returns:
        float64 array of shape (2 * (n_fft // 2 + 1), n_fft): rows 0..bins-1 for real parts, the rest for imaginary.

    >>> (np.array([4.0, 0, 0, 0, 0, 0]) @ synthesis_basis(np.ones(4))).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    n_fft = window.shape[0]
    partners = np.full(n_fft // 2 + 1, 2.0)
    partners[0] = 1.0
    if n_fft % 2 == 0:
        partners[-1] = 1.0
    return fourier_basis(window) * (np.tile(partners, 2) / n_fft)[:, None]


def least_cover(window: np.ndarray, hop_length: int) -> float:
    """Return the least cover of a sample by overlapped synthesis windows, as defined for an inverse STFT.

    The least value of the squared window overlapped at a hop, where all frames are there, over its own peak. 0 means
    samples that no frame sees. (scipy.signal.check_NOLA asks the same of the window.)

    >>> least_cover(np.ones(4), 4), least_cover(np.ones(4), 5)
    (1.0, 0.0)
    """
    squares = window**2
    if not squares.any():
        return 0.0
    blocks = -(-len(squares) // hop_length)
    overlapped = np.pad(squares, (0, blocks * hop_length - len(squares))).reshape(blocks, hop_length).sum(axis=0)
    return float(overlapped.min() / squares.max())


def largest_hop(window: np.ndarray) -> int:
    """Return the largest hop at which the window of an inverse STFT covers every sample in the synthesis.

    0 if there is none.

    >>> largest_hop(np.array([0.0, 1.0, 1.0, 0.0]))
    2
    """
    # where a hop covers, a smaller one need not (the window may have holes), so every hop is looked at, longest first
    hops = range(len(window), 0, -1)
    return next((hop for hop in hops if least_cover(window, hop) >= LEAST_COVER), 0)
