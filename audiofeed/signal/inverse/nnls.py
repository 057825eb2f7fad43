"""Tables that non-negative least squares with the filters of a mel bank needs, in float64."""

from __future__ import annotations

import numpy as np


def overlap_ratios(filters: np.ndarray) -> np.ndarray:
    """Return the float64 ratios of neighboring mel filters for the least-squares inverse of a mel bank.

    The ratios of `overlapping_pairs`.
    """
    return overlapping_pairs(filters)[0]


def overlap_sums(filters: np.ndarray) -> np.ndarray:
    """Return the float64 sums over neighboring mel filters for the least-squares inverse of a mel bank.

    The sums of `overlapping_pairs`.
    """
    return overlapping_pairs(filters)[1]


def overlapping_pairs(filters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return float64 tables of overlapping neighboring filters for the least-squares inverse of a mel bank.

    The tables are of a bank in which a bin lies in at most two filters, and those are neighbors, as in a mel bank.

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
