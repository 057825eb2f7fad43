"""Any frequencies from an oversampled FFT: its length, the weights of its bins, and the tiles they lie in."""

from __future__ import annotations

import numpy as np

from audiofeed.plans.sizes import smooth_length

# Taps of the interpolation between the bins of an FFT at least twice as long as the frame: 14 leave an error of
# 2e-12, each one less about seven times as much.
_TAPS = 14

# The transform of frame x at t cycles per sample is wanted, of an FFT of M >= 2 n_fft points. With time counted from
# the middle of the frame, |m| <= n_fft / 2, and a kernel p(u) that is 0 for |u| > taps / 2, whose transform is P(s),
# Poisson's sum formula gives
#
#     sum_j p(M t - j) exp(-2 pi i j m / M) = exp(-2 pi i t m) sum_q exp(...) P(m / M + q).
#
# |m / M| <= 1/4, so of the terms on the right only q = 0 matters if P is small beyond 3/4: interpolating the FFT of
# x_m / P(m / M) by p gives the transform of x at t. Kaiser and Bessel's kernel has P small beyond 3/4 for the beta
# below (Jackson et al. 1991; Fessler and Sutton 2003).
_BETA = 0.75 * np.pi * _TAPS


def oversampled_length(n_fft: int) -> int:
    """Plan the length of the oversampled FFT between whose bins a short-time spectrum is interpolated.

    The smallest even length without large prime factors that holds `n_fft` twice.

    >>> oversampled_length(400), oversampled_length(401)
    (800, 810)
    """
    return smooth_length(2 * n_fft)


def compensation(n_fft: int) -> np.ndarray:
    """Return the weights of a frame before the oversampled FFT, which compensate for the planned interpolation.

    They are 1 / P, and the FFT is the one that `interpolation` reads.  Shape: (n_fft,).
    """
    s = (np.arange(n_fft) - n_fft // 2) / oversampled_length(n_fft)
    root = np.sqrt(_BETA**2 - (np.pi * _TAPS * s) ** 2)
    return np.i0(_BETA) * root / (_TAPS * np.sinh(root))


def _kernel(u: np.ndarray) -> np.ndarray:
    inside = np.clip(1.0 - (2.0 * u / _TAPS) ** 2, 0.0, None)
    return np.where(np.abs(u) <= _TAPS / 2, np.i0(_BETA * np.sqrt(inside)), 0.0) / np.i0(_BETA)


# (first row, end row, first column, end column) of a part of a matrix, and where it starts in an array of parts
Tile = tuple[int, int, int, int]


def interpolation_tiles(turns: np.ndarray, n_fft: int, *, group: int = 16) -> tuple[Tile, ...]:
    """Plan the non-zero tiles of the matrix that interpolates a short-time FFT to any frequencies.

    The matrix is that of `interpolation`; a tile holds `group` neighboring frequencies.

    >>> interpolation_tiles(np.array([0.1, 0.4]), 64, group=1)
    ((0, 2, 12, 40), (2, 4, 90, 118))
    """
    tiles = []
    for first in range(0, len(turns), group):
        run = turns[first : first + group]
        _, bins, _ = _taps(run, n_fft)
        tiles.append((2 * first, 2 * (first + len(run)), 2 * int(bins.min()), 2 * int(bins.max()) + 2))
    return tuple(tiles)


def interpolation(turns: np.ndarray, n_fft: int, *, group: int = 16) -> np.ndarray:
    """Return the planned interpolation matrix from the bins of a short-time FFT to any frequencies, in float64.

    The FFT has `oversampled_length(n_fft)` points. The matrix takes (real, imaginary) of each bin in turn and gives
    (real, imaginary) of each frequency in turn. The frame was multiplied by `compensation`. Only the tiles that are not
    zero are kept, one after another.

    Args:
        turns: (n,) frequencies in cycles per sample, 0 to 1/2, rising.
        n_fft: samples of a frame.

    Returns:
        float64 array, one-dimensional: each of `interpolation_tiles`, row by row.

    >>> interpolation(np.array([0.1, 0.4]), 64, group=1).shape
    (112,)
    """
    parts = []
    for first, end, low, high in interpolation_tiles(turns, n_fft, group=group):
        weights, bins, mirrored = _taps(turns[first // 2 : end // 2], n_fft)
        tile = np.zeros((end - first, high - low))
        rows = np.broadcast_to(2 * np.arange(len(weights))[:, None], bins.shape)
        columns = 2 * bins - low
        # w z = (a + ib)(x + iy), and below bin 0 or above half the rate the FFT's bin is the conjugate, x - iy
        sign = np.where(mirrored, -1.0, 1.0)
        np.add.at(tile, (rows, columns), weights.real)
        np.add.at(tile, (rows, columns + 1), -sign * weights.imag)
        np.add.at(tile, (rows + 1, columns), weights.imag)
        np.add.at(tile, (rows + 1, columns + 1), sign * weights.real)
        parts.append(tile.ravel())
    return np.concatenate(parts)


def _taps(turns: np.ndarray, n_fft: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the taps of the planned interpolation between short-time FFT bins, one row for each frequency.

    Complex weights, bins of a real FFT, and True for each bin whose conjugate counts.  Shape: each (n, taps).
    """
    length = oversampled_length(n_fft)
    place = turns[:, None] * length
    bins = np.ceil(place - _TAPS / 2).astype(int) + np.arange(_TAPS)
    # the FFT counts time from the start of the frame, the kernel from its middle, the result from its start again
    middle = n_fft // 2
    turn = (bins / length - turns[:, None]) * middle
    weights = _kernel(place - bins) * np.exp(2j * np.pi * turn)
    folded = bins % length
    mirrored = folded > length // 2
    return weights, np.where(mirrored, length - folded, folded), mirrored
