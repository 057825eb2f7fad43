"""Seeds for every random draw of the data path: a hash of the dataset's seed, the epoch and the index."""

from __future__ import annotations

import functools

_MASK = (1 << 64) - 1


def _scramble(value: int) -> int:
    """Scramble a seed by splitmix64's output function.

    It is a bijection of 64 bits in which each input bit moves half of the output.
    """
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def seed_of(*parts: int) -> int:
    """Hash integers to a 63-bit seed for a dataset's random draws.

    The seed is the same in every process, on every machine, in every version.

    Follows splitmix64 (Steele, Lea, Flood 2014), absorbing one part at a time, so the order of the parts matters.

    Args:
        parts: Integers; each counts modulo 2**64.

    Returns:
        0 to 2**63 - 1.

    >>> seed_of(0, 0, 1) == seed_of(0, 0, 1), seed_of(0, 1, 0) == seed_of(0, 0, 1)
    (True, False)
    """
    # what the examples of an epoch have in common is hashed once
    common, own = (parts[:-2], parts[-2:]) if len(parts) > 2 else ((), parts)
    # 63 bits: torch and numpy both take such a seed as a signed integer
    return _absorb(_state_of(common), own) >> 1


def _absorb(state: int, parts: tuple[int, ...]) -> int:
    for part in parts:
        # the odd increment keeps zeros from mapping to zero
        state = _scramble((state + 0x9E3779B97F4A7C15 + part) & _MASK)
    return state


@functools.lru_cache(maxsize=64)
def _state_of(parts: tuple[int, ...]) -> int:
    return _absorb(0, parts)


def draw_below(limit: int, seed: int) -> int:
    """Map a 63-bit seed to an integer for a dataset's random draw, all values equally likely.

    They are so to within limit / 2**63.

    Args:
        limit: Number of values, 1 or more.
        seed: 0 to 2**63 - 1.

    Returns:
        0 to limit - 1.

    >>> draw_below(10, 0), draw_below(10, 2**62), draw_below(10, 2**63 - 1)
    (0, 5, 9)
    """
    return (seed * limit) >> 63
