"""Random numbers of sampling/: a hash for each clip or batch, so that every rank and version draws the same."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from audiofeed.data.seeds import seed_of

_STEP = np.uint64(0x9E3779B97F4A7C15)


def check_epoch(epoch: Any) -> int:
    """Check a sampler's argument `epoch`.

    Args:
        epoch: Number of an epoch.

    Returns:
        The same as an int.

    Raises:
        ValueError: It is negative, or 2**63 or more, which no worker could be told.
        TypeError: It is not an integer.

    >>> check_epoch(np.int64(3))
    3
    """
    try:
        number = operator.index(epoch)
    except TypeError as error:
        raise TypeError(f"epoch={epoch!r} must be an integer, 0 or more") from error
    if not 0 <= number < 2**63:
        raise ValueError(f"epoch={epoch} must be 0 or more, and below 2**63")
    return number


def hashes(count: int, *parts: int) -> np.ndarray:
    """Hash 0 to count - 1 for a sampler's random choices: the sequence of splitmix64 from a hashed seed.

    NumPy's own generators may change their numbers from version to version, and a plan must not.

    Args:
        count: How many numbers, 0 or more.
        parts: Integers that name the stream, such as seed, purpose and epoch.

    Returns:
        (count,) uint64.

    >>> hashes(2, 0, 1).tolist() == hashes(3, 0, 1)[:2].tolist(), hashes(1, 0, 2)[0] == hashes(1, 0, 1)[0]
    (True, np.False_)
    """
    value = np.arange(1, count + 1, dtype=np.uint64)
    value *= _STEP
    value += np.uint64(seed_of(*parts))
    value ^= value >> np.uint64(30)
    value *= np.uint64(0xBF58476D1CE4E5B9)
    value ^= value >> np.uint64(27)
    value *= np.uint64(0x94D049BB133111EB)
    value ^= value >> np.uint64(31)
    return value


def uniform(count: int, *parts: int) -> np.ndarray:
    """Draw numbers for a sampler, uniform from 0 to 1.

    Args:
        count: How many, 0 or more.
        parts: Integers that name the stream.

    Returns:
        (count,) float64, 1 excluded.

    >>> 0.49 < uniform(10_000, 3).mean() < 0.51
    np.True_
    """
    return (hashes(count, *parts) >> np.uint64(11)) * 2.0**-53


def permutation(count: int, *parts: int) -> np.ndarray:
    """Draw an order of 0 to count - 1 for a sampler, all orders equally likely.

    Args:
        count: How many, 0 or more.
        parts: Integers that name the stream.

    Returns:
        (count,) int64.

    >>> sorted(permutation(5, 3).tolist())
    [0, 1, 2, 3, 4]
    """
    return np.argsort(hashes(count, *parts), kind="stable")
