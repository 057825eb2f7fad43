"""Settings that augmentations of features share: numbers, and shares of a clip."""

from __future__ import annotations


def check_number(name: str, value: int, unit: str, least: int = 0) -> int:
    """Check that an augmentation's argument is an integer number of something; raise a ValueError that names it.

    >>> check_number("freq_masks", 2, "masks")
    2
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name}={value!r} must be an integer number of {unit}, {least} or more")
    return value


def count_or_share(name: str, value: float, unit: str) -> float:
    """Check that an augmentation's argument is a number of something, an integer, or a share, a float of at most 1.

    Raises:
        ValueError: It is neither.

    >>> count_or_share("time_width", 100, "frames"), count_or_share("time_width", 0.05, "frames")
    (100, 0.05)
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and value >= 0 and (isinstance(value, int) or value <= 1):
        return value
    raise ValueError(
        f"{name}={value!r} must be an integer number of {unit}, 0 or more, or a float from 0 to 1, a share: "
        f"{name}=10 or {name}=0.05"
    )
