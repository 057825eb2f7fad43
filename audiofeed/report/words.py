"""How a report writes numbers: counts with their noun, lengths of time, shares, sizes."""

from __future__ import annotations


def count(number: int, noun: str) -> str:
    """Write a count of a report with its noun.

    >>> count(1, "file"), count(2000, "file")
    ('1 file', '2,000 files')
    """
    return f"{number:,} {noun}{'s' * (number != 1)}"


def duration(seconds: float) -> str:
    """Write a length of time of a report in the unit that suits it.

    >>> duration(0.25), duration(90.0), duration(900.0), duration(7200.0), duration(0.000125)
    ('0.25 s', '90.0 s', '15.0 min', '2.00 h', '0.125 ms')
    """
    if 0 < seconds < 0.01:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:,.1f} min" if seconds < 6000 else f"{seconds / 3600:,.2f} h"


def percent(share: float) -> str:
    """Write a share of a report, 0 to 1, in percent.

    >>> percent(0.125), percent(0.0)
    ('12.5 %', '0.0 %')
    """
    return f"{100 * share:.1f} %"


def megabytes(value: float | None) -> str:
    """Write a size of a report in MB (10**6 bytes); a hyphen where it is not known.

    >>> megabytes(20.48), megabytes(2048.0), megabytes(None)
    ('20.5 MB', '2,048 MB', '-')
    """
    if value is None:
        return "-"
    return f"{value:,.1f} MB" if value < 100 else f"{value:,.0f} MB"
