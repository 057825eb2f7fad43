"""The cepstrum of a frame: cosine transforms, lifters, and the slopes of coefficients over time, in float64."""

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
    """The first `n_out` rows of a discrete cosine transform of `n` values, as `scipy.fft.dct` scales it.

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
    """The inverse of `dct_matrix(n, n)`, as `scipy.fft.idct`.

    Type 1 is its own inverse and types 2 and 3 are each other's, but for the factor that norm=None leaves out.

    Returns:
        float64 array of shape (n, n).

    >>> (idct_matrix(5, dct_type=3) @ dct_matrix(5, 5, dct_type=3)).round(12).diagonal().tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    _check_dct(dct_type, norm, n)
    matrix = dct_matrix(n, n, dct_type={1: 1, 2: 3, 3: 2}[dct_type], norm=norm)
    return matrix if norm == "ortho" else matrix / (2.0 * (n - 1 if dct_type == 1 else n))


def lifter_weights(n: int, lifter: float) -> np.ndarray:
    """Liftering weights of coefficients 0..n-1: 1 + lifter / 2 sin(pi (k + 1) / lifter), and 1 for lifter 0.

    As in `librosa.feature.mfcc`. HTK numbers its coefficients from 0, and lifts coefficient k by sin(pi k / lifter).

    >>> lifter_weights(3, 2.0).round(6).tolist()
    [2.0, 1.0, 0.0]
    """
    if lifter == 0:
        return np.ones(n)
    return 1.0 + lifter / 2.0 * np.sin(np.pi * np.arange(1, n + 1) / lifter)


def cepstral_matrix(
    n_out: int, n: int, *, dct_type: int = 2, norm: str | None = "ortho", lifter: float = 0.0
) -> np.ndarray:
    """From `n` logarithms of bands to `n_out` liftered coefficients.  Returns float64 (n_out, n).

    >>> cepstral_matrix(13, 40, lifter=22).shape
    (13, 40)
    """
    return lifter_weights(n_out, lifter)[:, None] * dct_matrix(n_out, n, dct_type=dct_type, norm=norm)


def inverse_cepstral_matrix(
    n: int, *, dct_type: int = 2, norm: str | None = "ortho", lifter: float = 0.0
) -> np.ndarray:
    """From `n` liftered coefficients back to `n` logarithms of bands; fewer coefficients take the first columns.

    Returns:
        float64 array of shape (n, n). A column whose lifter is 0, where nothing is left to undo, is 0.

    >>> (inverse_cepstral_matrix(4, lifter=9.0) @ cepstral_matrix(4, 4, lifter=9.0)).round(12).diagonal().tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    weights = lifter_weights(n, lifter)
    lost = np.abs(weights) < 1e-12 * max(1.0, lifter)
    undo = np.where(lost, 0.0, 1.0 / np.where(lost, 1.0, weights))
    return idct_matrix(n, dct_type=dct_type, norm=norm) * undo


def slope_filter(width: int, order: int) -> np.ndarray:
    """Weights of `width` equally spaced values that give the `order`-th derivative of the polynomial of that degree
    fitted to them by least squares: the Savitzky-Golay filter of `librosa.feature.delta`.

    That derivative is the same at every point of the fit. For order 1 it is the slope that HTK, Kaldi and torchaudio
    call delta: sum n (x[t + n] - x[t - n]) / (2 sum n^2).

    Args:
        width: values, any integer >= 1. Of `order` or fewer values no such derivative is known: the weights are 0.
        order: 1 or more.

    Returns:
        float64 array of shape (width,), to be correlated with the values.

    >>> slope_filter(5, 1).tolist()
    [-0.2, -0.1, 0.0, 0.1, 0.2]
    """
    if width <= order:
        return np.zeros(width)
    # The leading coefficient of the fit is the projection on the discrete orthogonal polynomial of that degree, which
    # Gram-Schmidt makes of 1, t, t^2, ... over points scaled to -1..1. Its own leading coefficient is kept monic.
    # (2 t - width + 1) keeps the points whole, and so the filter exactly symmetric.
    half = max(width - 1, 1) / 2.0
    points = (2.0 * np.arange(width) - (width - 1)) / 2.0 / half
    previous, current = np.zeros(width), np.ones(width)
    for _ in range(order):
        # three-term recurrence; the points are symmetric, so that the middle term is 0
        below = previous @ previous
        following = points * current - ((points * current) @ previous / below if below else 0.0) * previous
        previous, current = current, following
    return current / (current @ current) * math.factorial(order) / half**order


def slope_filters(width: int, order: int) -> np.ndarray:
    """`slope_filter` of 0 to `width` values, one in each row, followed by zeros.  Returns float64 (width + 1, width).

    >>> slope_filters(3, 1).tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [-1.0, 1.0, 0.0], [-0.5, 0.0, 0.5]]
    """
    rows = [slope_filter(n, order) for n in range(1, width + 1)]
    return np.stack([np.zeros(width), *[np.pad(row, (0, width - len(row))) for row in rows]])
