"""Values between bounds, as a parameter of a circle describes them, in float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Started from a bound, a value would have no gradient to leave it by: it starts this part of the span inside.
MARGIN = 1e-4


def drawn_in(values: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike) -> np.ndarray:
    """Move values inside their bounds, in float64.

    A value nearer to a bound than `MARGIN` of the span is moved that far from it.

    >>> drawn_in([0.0, 0.5, 2.0], 0.0, 1.0).tolist()
    [0.0001, 0.5, 0.9999]
    """
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    return np.clip(np.asarray(values, dtype=np.float64), low + MARGIN * (high - low), high - MARGIN * (high - low))


def angle_of(values: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike) -> np.ndarray:
    """Return the angle that stands for a value between its bounds, in float64.

    The angle a with low + (high - low) sin(a)^2 = value.

    >>> angle_of([2.0], 1.0, 3.0).round(3).tolist()
    [0.785]
    """
    low = np.asarray(low, dtype=np.float64)
    return np.arcsin(np.sqrt((np.asarray(values, dtype=np.float64) - low) / (np.asarray(high) - low)))
