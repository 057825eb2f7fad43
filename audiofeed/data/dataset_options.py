"""Options that all datasets of audio files share, checked before any file is opened."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import numpy as np
import torch

from audiofeed.arguments.checks import HIGHEST_RATE, shortened
from audiofeed.data.crops import Crop

OnError = Literal["raise", "skip"]
Keep = Literal["memory"]
Column = TypeVar("Column")


def checked_seed(seed: int | None) -> int:
    """Return a dataset's seed as an int, drawn if it is None.

    Args:
        seed: Any integer, or None.

    Raises:
        TypeError: `seed` is something else.

    >>> checked_seed(3)
    3
    """
    if seed is None:
        return int(torch.empty((), dtype=torch.int64, device="cpu").random_())
    try:
        return operator.index(seed)
    except TypeError as error:
        raise TypeError(f"seed={seed!r} must be an integer, or None to draw one") from error


def _is_rate(sample_rate: Any) -> bool:
    """Return True for an integer number of Hz, of any integer type, that a dataset resamples to."""
    if isinstance(sample_rate, (bool, np.bool_)):
        return False
    try:
        return 1 <= operator.index(sample_rate) <= HIGHEST_RATE
    except TypeError:
        return False


def check_options(
    sample_rate: int | None,
    crop: Crop | None,
    on_error: str,
    keep: str | None = None,
    keep_gb: float | None = None,
) -> None:
    """Check the options that all datasets of audio files share, before any file is opened.

    Args:
        sample_rate: As in `AudioFolder`.
        crop: As in `AudioFolder`.
        on_error: As in `AudioFolder`.
        keep: As in `AudioFolder`.
        keep_gb: As in `AudioFolder`.

    Raises:
        ValueError: `sample_rate` is not an integer from 1 to 10,000,000, `on_error` is not "raise" or "skip", `keep`
            is not "memory" or None, or `keep_gb` is not above 0 or stands without `keep`.
        TypeError: `crop` has no `count` or `place`, or is a class.

    >>> check_options(16_000, None, "skip")
    """
    if sample_rate is not None and not _is_rate(sample_rate):
        raise ValueError(
            f"sample_rate={sample_rate!r} must be an integer number of Hz, 1 to {HIGHEST_RATE}, or None to keep the "
            "files' own"
        )
    if isinstance(crop, type):
        raise TypeError(f"crop={crop.__name__} is a class; give it its settings: {crop.__name__}(...)")
    if crop is not None and not (hasattr(crop, "count") and hasattr(crop, "place")):
        raise TypeError(f"crop={crop!r} must be RandomCrop, CenterCrop, Windows or None")
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error={on_error!r} must be 'raise' or 'skip'")
    if keep not in (None, "memory"):
        raise ValueError(f"keep={keep!r} must be 'memory' or None")
    if keep_gb is not None and not (isinstance(keep_gb, (int, float)) and 0 < keep_gb < math.inf):
        raise ValueError(f"keep_gb={keep_gb!r} must be a number of GB above 0, or None for half of the free memory")
    if keep_gb is not None and keep is None:
        raise ValueError(f"keep_gb={keep_gb!r} limits keep='memory', which is not set; pass both or neither")


def chosen_fields(columns: Mapping[str, Column], fields: Sequence[str] | None) -> dict[str, Column]:
    """Return the columns of a dataset that its examples carry as fields.

    Args:
        columns: All columns that are neither path, part nor target.
        fields: The names of those to take; None takes all.

    Raises:
        ValueError: `fields` names a column that is not there.
        TypeError: `fields` is no list.

    >>> chosen_fields({"speaker": ["ann"], "take": [1]}, ["take"])
    {'take': [1]}
    """
    if fields is None:
        return dict(columns)
    if isinstance(fields, str):
        raise ValueError(f"fields={fields!r} must be a list of names, such as [{fields!r}]")
    if not isinstance(fields, Iterable):
        raise TypeError(f"fields={shortened(fields)} must be a list of names of columns, or None for all")
    missing = [name for name in fields if name not in columns]
    if missing:
        raise ValueError(f"fields={list(fields)!r} names {missing[0]!r}, which is none of {list(columns)}")
    return {name: columns[name] for name in fields}
