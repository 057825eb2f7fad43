"""The cepstrum of a frame: cosine transforms and lifters, in float64."""

from __future__ import annotations

import math

import numpy as np

DCT_TYPES = (1, 2, 3)
DCT_NORMS = ("ortho", None)


def _check_dct(dct_type: int, norm: str | None, n: int) -> None:
    if isinstance(dct_type, bool) or dct_type not in DCT_TYPES:
        raise ValueError(f"dct_type={dct_type!r} must be 1, 2 or 3")
    if norm not in DCT_NORMS:
        raise ValueError(f"norm={norm!r} must be 'ortho' or None")
    if dct_type == 1 and n < 2:
        raise ValueError(f"dct_type=1 needs at least 2 bands, and there is {n}; use dct_type=2")


def dct_matrix(n_out: int, n: int, *, dct_type: int = 2, norm: str | None = "ortho") -> np.ndarray:
    """Return the matrix of the discrete cosine transform of a cepstrum, in float64, as `scipy.fft.dct` scales it.

    The first `n_out` rows of the transform of `n` values.

    Args:
        n_out: rows, 1 to n.
        n: values; 2 or more for type 1.
        dct_type: 1, 2 or 3.
        norm: "ortho" (the n rows are orthonormal) or None (twice the cosines; types 1 and 3 weigh the end values once).

    Returns:
        float64 array of shape (n_out, n).

    Raises:
        ValueError: for an unknown type or norm, or n = 1 with type 1.

    >>> dct_matrix(2, 4, norm=None).round(3).tolist()
    [[2.0, 2.0, 2.0, 2.0], [1.848, 0.765, -0.765, -1.848]]
    """
    _check_dct(dct_type, norm, n)
    k, i = np.arange(n)[:, None], np.arange(n)[None, :]
    # row k holds cos(pi a / b) for whole a; a mod 2 b before the division keeps the angle below one turn
    steps, turn = {
        1: (k * i, n - 1),
        2: (k * (2 * i + 1), 2 * n),
        3: ((2 * k + 1) * i, 2 * n),
    }[dct_type]
    matrix = 2.0 * np.cos(np.pi * (steps % (2 * turn)) / turn)
    if dct_type != 2:
        # the cosine series counts its end value once, every other one for both of its signs
        matrix[:, 0] /= 2.0
    if dct_type == 1:
        matrix[:, -1] /= 2.0
    if norm == "ortho":
        # sum over i of cos^2 is n / 2 (n - 1 halved ends included, for type 1), and twice that where the cosine is +-1
        root = math.sqrt(2.0)
        ends = [0, n - 1] if dct_type == 1 else [0]
        matrix /= math.sqrt(2.0 * (n - 1 if dct_type == 1 else n))
        if dct_type in (1, 2):
            matrix[ends] /= root
        if dct_type in (1, 3):
            matrix[:, ends] *= root
    return matrix[:n_out]


def idct_matrix(n: int, *, dct_type: int = 2, norm: str | None = "ortho") -> np.ndarray:
    """Return the matrix of the inverse discrete cosine transform of a cepstrum, in float64, as `scipy.fft.idct`.

    The inverse of `dct_matrix(n, n)`. Type 1 is its own inverse and types 2 and 3 are each other's, but for the factor
    that norm=None leaves out.

    Returns:
        float64 array of shape (n, n).

    >>> (idct_matrix(5, dct_type=3) @ dct_matrix(5, 5, dct_type=3)).round(12).diagonal().tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    _check_dct(dct_type, norm, n)
    matrix = dct_matrix(n, n, dct_type={1: 1, 2: 3, 3: 2}[dct_type], norm=norm)
    return matrix if norm == "ortho" else matrix / (2.0 * (n - 1 if dct_type == 1 else n))


def lifter_weights(n: int, lifter: float) -> np.ndarray:
    """Return the liftering weights of the coefficients of a cepstrum, in float64.

    For coefficients 0..n-1: 1 + lifter / 2 sin(pi (k + 1) / lifter), and 1 for lifter 0. As in `librosa.feature.mfcc`.
    HTK numbers its coefficients from 0, and lifts coefficient k by sin(pi k / lifter).

    >>> lifter_weights(3, 2.0).round(6).tolist()
    [2.0, 1.0, 0.0]
    """
    if lifter == 0:
        return np.ones(n)
    return 1.0 + lifter / 2.0 * np.sin(np.pi * np.arange(1, n + 1) / lifter)


def cepstral_matrix(
    n_out: int, n: int, *, dct_type: int = 2, norm: str | None = "ortho", lifter: float = 0.0
) -> np.ndarray:
    """Return the float64 matrix from logarithms of bands to the liftered coefficients of a cepstrum.

    From `n` logarithms to `n_out` coefficients: an array of shape (n_out, n).

    >>> cepstral_matrix(13, 40, lifter=22).shape
    (13, 40)
    """
    return lifter_weights(n_out, lifter)[:, None] * dct_matrix(n_out, n, dct_type=dct_type, norm=norm)


def inverse_cepstral_matrix(
    n: int, *, dct_type: int = 2, norm: str | None = "ortho", lifter: float = 0.0
) -> np.ndarray:
    """Return the float64 matrix from the liftered coefficients of a cepstrum back to logarithms of bands.

    From `n` coefficients to `n` logarithms; fewer coefficients take the first columns.

    Returns:
        float64 array of shape (n, n). A column whose lifter is 0, where nothing is left to undo, is 0.

    >>> (inverse_cepstral_matrix(4, lifter=9.0) @ cepstral_matrix(4, 4, lifter=9.0)).round(12).diagonal().tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    weights = lifter_weights(n, lifter)
    lost = np.abs(weights) < 1e-12 * max(1.0, lifter)
    undo = np.where(lost, 0.0, 1.0 / np.where(lost, 1.0, weights))
    return idct_matrix(n, dct_type=dct_type, norm=norm) * undo
