"""The inverse of a short-time Fourier transform, in float64: its synthesis basis, and the hops that allow one."""

from __future__ import annotations

import numpy as np

from audiofeed.signal.short_time.fourier import fourier_basis

# The least-squares inverse divides by the overlapped squared window, so that the rounding of a sample grows by the
# square root of (peak of the squared window / overlapped squared window). A factor of 300 leaves nearly 5 of float32's
# 7 digits of that sample; a window and a hop with less count as leaving gaps.
LEAST_COVER = 1e-5


def synthesis_basis(window: np.ndarray) -> np.ndarray:
    """The windowed inverse of a real DFT as a matrix: (real parts, imaginary parts) @ basis are windowed frames.

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
    """The least value of the squared window overlapped at a hop, where all frames are there, over its own peak.

    0 means samples that no frame sees. (scipy.signal.check_NOLA asks the same of the window.)

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
    """The largest hop at which the window covers every sample; 0 if there is none.

    >>> largest_hop(np.array([0.0, 1.0, 1.0, 0.0]))
    2
    """
    # where a hop covers, a smaller one need not (the window may have holes), so every hop is looked at, longest first
    hops = range(len(window), 0, -1)
    return next((hop for hop in hops if least_cover(window, hop) >= LEAST_COVER), 0)


def overlap_ratios(filters: np.ndarray) -> np.ndarray:
    """The ratios of `overlapping_pairs`."""
    return overlapping_pairs(filters)[0]


def overlap_sums(filters: np.ndarray) -> np.ndarray:
    """The sums of `overlapping_pairs`."""
    return overlapping_pairs(filters)[1]


def overlapping_pairs(filters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tables of a bank in which a bin lies in at most two filters, and those are neighbors, as in a mel bank.

    A bin whose first filter is m, with weight a there and b in filter m + 1, is positive in filters' @ y where
    a y_m + b y_(m+1) > 0: that depends on the ratio b / a alone. In the order of the ratios the positive bins of m are
    therefore the first or the last few, and sums over them are read off a table.

    Args:
        filters: (n, bins), 0 or more.

    Returns:
        ratios (n, most bins of a filter), rising, then infinite; and sums (3, n, 2 * (most bins + 1)) of a^2, a b and
        b^2: column c of the first half over the first c bins, column c of the second half over all but the first c.

    Raises:
        ValueError: for a bank with other overlaps.

    >>> ratios, sums = overlapping_pairs(np.array([[1.0, 1.0, 0.0], [0.0, 2.0, 3.0]]))
    >>> ratios.tolist(), sums[0, 0].tolist()
    ([[0.0, 2.0], [0.0, inf]], [0.0, 1.0, 2.0, 2.0, 1.0, 0.0])
    """
    n = filters.shape[0]
    first = (filters > 0).argmax(axis=0)
    neighbors = np.concatenate([filters, np.zeros((1, filters.shape[1]))])
    columns = np.arange(filters.shape[1])
    lower, upper = filters[first, columns], neighbors[first + 1, columns]
    if not np.array_equal(lower + upper, filters.sum(axis=0)) or (filters < 0).any():
        raise ValueError("filters must be 0 or more, and no bin in more than two of them, which must be neighbors")
    own = [np.flatnonzero((first == m) & (lower > 0)) for m in range(n)]
    most = max(len(bins) for bins in own)
    ratios = np.full((n, most), np.inf)
    sums = np.zeros((3, n, 2 * (most + 1)))
    for m, bins in enumerate(own):
        bins = bins[np.argsort(upper[bins] / lower[bins], kind="stable")]
        a, b, count = lower[bins], upper[bins], len(bins)
        ratios[m, :count] = b / a
        for table, products in zip(sums, (a * a, a * b, b * b), strict=True):
            table[m, 1 : count + 1] = products.cumsum()
            table[m, count + 1 : most + 1] = products.sum()
            table[m, most + 1 : most + 1 + count] = products[::-1].cumsum()[::-1]
    return ratios, sums
