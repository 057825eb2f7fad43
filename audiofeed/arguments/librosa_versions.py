"""The versions of librosa whose values a transform can have, where they differ: the argument `compat`."""

from __future__ import annotations

from typing import Any

from audiofeed.arguments.checks import check_choice

# the first is the default
NEWEST, OLDER = "librosa-1.0", "librosa-0.11"


def check_compat(value: object) -> Any:
    """Check the argument `compat`, a version of librosa whose values are wanted; a ValueError lists those known.

    >>> check_compat("librosa-0.11")
    'librosa-0.11'
    """
    return check_choice(
        "compat",
        value,
        (NEWEST, OLDER),
        called={"1.0": NEWEST, "1.0.0": NEWEST, "librosa": NEWEST, "0.11": OLDER, "0.11.0": OLDER},
    )
