"""Mean and variance of many values a part at a time, in float64, whatever the parts: for the statistics of a set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Moments:
    """Count, mean and sum of squares about the mean of the values seen so far in each bin, float64.

    Parts are merged as Chan, Golub and LeVeque (1979) do it: no sum of squares less a square, which would cancel.

    Args:
        count: values in each bin.
        mean: (bins,).
        squares: (bins,) sums of squares of the values less their mean.

    >>> whole = Moments.of(np.array([[1.0, 2.0]])).merged(Moments.of(np.array([[6.0]])))
    >>> whole.mean.tolist(), whole.deviation.round(6).tolist()
    ([3.0], [2.160247])
    """

    count: int
    mean: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Moments:
        """Return the moments of values (bins, n).

        >>> Moments.of(np.array([[1.0, 3.0]])).squares.tolist()
        [2.0]
        """
        exact = np.asarray(values, dtype=np.float64)
        mean = exact.mean(axis=1)
        return cls(exact.shape[1], mean, ((exact - mean[:, None]) ** 2).sum(axis=1))

    def merged(self, other: Moments) -> Moments:
        """Return the moments of these values and others together."""
        count = self.count + other.count
        step = other.mean - self.mean
        share = other.count / count
        squares = self.squares + other.squares + step**2 * (self.count * share)
        return Moments(count, self.mean + step * share, squares)

    def pooled(self) -> Moments:
        """Return the moments of the values of all bins together, as those of one bin."""
        mean = self.mean.mean()
        squares = self.squares.sum() + self.count * ((self.mean - mean) ** 2).sum()
        return Moments(self.count * len(self.mean), np.array([mean]), np.array([squares]))

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviation of the values in each bin by their moments, over n (not n - 1).  Shape: (bins,)."""
        return np.sqrt(self.squares / self.count)
