"""The whole of a clip and parts of it as features of one size, in float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def fused(features: npt.ArrayLike, *, size: int, at: float = 0.5) -> np.ndarray:
    """Return the frames of a clip shrunk to a number, and three crops of as many, in float64.

    Args:
        features: (bins, frames).
        size: frames of each; a clip that has fewer is stretched, and its crops are filled up with zeros.
        at: where in the first, second and last third of all places for it a crop begins, 0 (their first) to 1 (last).

    Returns:
        (4, bins, size): the whole by linear interpolation between the centers of frames, then the crops.

    >>> fused([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]], size=2)[:, 0].tolist()
    [[1.0, 4.0], [0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    """
    values = np.asarray(features, dtype=np.float64)
    n = values.shape[1]
    place = np.maximum((np.arange(size) + 0.5) * n / size - 0.5, 0.0)
    low = np.floor(place).astype(int)
    high, weight = np.minimum(low + 1, n - 1), place - low
    parts = [values[:, low] * (1 - weight) + values[:, high] * weight]
    longer = np.pad(values, [(0, 0), (0, max(0, size - n))])
    for third in np.array_split(np.arange(max(n - size, 0) + 1), 3):
        begin = int(third[int(at * (len(third) - 1))]) if len(third) else 0
        parts.append(longer[:, begin : begin + size])
    return np.stack(parts)
