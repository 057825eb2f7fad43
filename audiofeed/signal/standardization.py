"""Mean and standard deviation taken out of values, in float64: of a clip's features or of its samples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def standardized(
    values: npt.ArrayLike,
    *,
    axis: int | tuple[int, ...] = -1,
    unbiased: bool = False,
    eps: float = 0.0,
    eps_to: str = "std",
) -> np.ndarray:
    """Return values less their mean and over their standard deviation, in float64, for normalization of a clip.

    Args:
        values: of any shape.
        axis: the axes that count together.
        unbiased: the variance is the sum of squares over n - 1, not over n; of one value it is 0.
        eps: added to the divisor, >= 0.
        eps_to: "std" (the divisor is the deviation plus `eps`) or "variance" (the root of the variance plus `eps`).

    Returns:
        float64 of the same shape; values that do not change are 0.

    >>> standardized([1.0, 3.0]).tolist(), standardized([5.0, 5.0]).tolist()
    ([-1.0, 1.0], [0.0, 0.0])
    """
    exact = np.asarray(values, dtype=np.float64)
    centered = exact - exact.mean(axis=axis, keepdims=True)
    variance = centered.var(axis=axis, keepdims=True)
    count = exact.size // variance.size
    if unbiased:
        variance = variance * (count / max(count - 1, 1))
    divisor = np.sqrt(variance + eps) if eps_to == "variance" else np.sqrt(variance) + eps
    still = np.ptp(exact, axis=axis, keepdims=True) == 0
    return np.where(still, 0.0, centered / np.where(still, 1.0, divisor))
