"""Arguments that augmentations share: a probability, and a range that is drawn from."""

from __future__ import annotations

import math

Range = tuple[float, float]


def check_probability(name: str, value: float) -> float:
    """Check that an augmentation's argument is a probability; raise a ValueError that names it otherwise.

    >>> check_probability("p", 1)
    1.0
    """
    if isinstance(value, bool) or not hasattr(type(value), "__float__") or not 0 <= float(value) <= 1:
        raise ValueError(f"{name}={value!r} must be a probability, 0 to 1")
    return float(value)


def check_range(
    name: str,
    value: float | Range,
    unit: str,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    open_low: bool = False,
) -> Range:
    """Check the range that an augmentation draws from, and return its two limits.

    Args:
        name: The argument's name.
        value: (lowest, highest), or one number, which is always taken.
        unit: Its unit, for the error.
        low: The lowest limit that makes sense.
        high: The highest.
        open_low: Whether `low` itself makes none.

    Raises:
        ValueError: It is no such range.

    >>> check_range("snr_db", 10, "dB"), check_range("snr_db", (0, 20), "dB")
    ((10.0, 10.0), (0.0, 20.0))
    """
    pair = value if isinstance(value, tuple | list) else (value, value)
    numbers = len(pair) == 2 and all(hasattr(type(v), "__float__") and not isinstance(v, bool) for v in pair)
    first, last = (float(pair[0]), float(pair[1])) if numbers else (math.nan, math.nan)
    above = first > low if open_low else first >= low
    if not (math.isfinite(first) and math.isfinite(last) and above and first <= last <= high):
        limits = _limits(low, high, open_low)
        raise ValueError(
            f"{name}={value!r} must be a number of {unit}, or a range (lowest, highest) to draw from{limits}"
        )
    return first, last


def check_integers(name: str, value: int | tuple[int, int], unit: str, low: int, high: int) -> tuple[int, int]:
    """Check the range of integers that an augmentation draws from, and return its two limits, both of them drawn.

    Args:
        name: The argument's name.
        value: (lowest, highest), or one integer, which is always taken.
        unit: Its unit, for the error.
        low: The lowest that makes sense.
        high: The highest.

    Raises:
        ValueError: It is no such range.

    >>> check_integers("bits", (6, 12), "bits", 1, 24)
    (6, 12)
    """
    pair = value if isinstance(value, tuple | list) else (value, value)
    integers = len(pair) == 2 and all(isinstance(v, int) and not isinstance(v, bool) for v in pair)
    if not (integers and low <= pair[0] <= pair[1] <= high):
        raise ValueError(
            f"{name}={value!r} must be an integer number of {unit}, or a range (lowest, highest) to draw from, {low} "
            f"to {high}"
        )
    return int(pair[0]), int(pair[1])


def check_share(name: str, value: float) -> float:
    """Check that an augmentation's argument is a share, above 0 and up to 1; raise a ValueError otherwise.

    >>> check_share("most", 0.5)
    0.5
    """
    if isinstance(value, bool) or not hasattr(type(value), "__float__") or not 0 < float(value) <= 1:
        raise ValueError(f"{name}={value!r} must be a share, above 0 and up to 1")
    return float(value)


def shown(name: str, limits: tuple[float, float]) -> str:
    """Show the range of an augmentation's argument as it could be given.

    >>> shown("snr_db", (10.0, 10.0)), shown("snr_db", (0.0, 20.0))
    ('snr_db=10', 'snr_db=(0, 20)')
    """
    low, high = limits
    return f"{name}={low:g}" if low == high else f"{name}=({low:g}, {high:g})"


def _limits(low: float, high: float, open_low: bool) -> str:
    below = "" if math.isinf(low) else f"{'above' if open_low else 'from'} {low:g}"
    above = "" if math.isinf(high) else f"up to {high:g}"
    both = " ".join(part for part in (below, above) if part)
    return f", {both}" if both else ""
