"""Leave items that cannot be collated out of their batch, each with an error that says which it was and why."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from audiofeed.data.errors import AudioReadError
from audiofeed.feed.items import Clip
from audiofeed.feed.padding import Padded

_FIRST = re.compile(r"\bclip 0\b")
_ANY = re.compile(r"\bclip \d+\b( \([^)]*\))?")
_MOST_NAMED = 8  # causes in the error of a batch without one good item


@dataclass(frozen=True)
class Replaced:
    """Item of a dataset in the place of others that failed; the collate puts their errors into `batch.faults`.

    Args:
        item: The item.
        faults: Why the others failed.
    """

    item: Any
    faults: tuple[AudioReadError, ...]


def whole_items(items: Any) -> tuple[Any, tuple[AudioReadError, ...]]:
    """Return a batch's items without their `Replaced`, and the errors of those whose place they take.

    >>> whole_items([1, Replaced(2, ())])
    ([1, 2], ())
    """
    if not isinstance(items, (list, tuple)) or not any(isinstance(item, Replaced) for item in items):
        return items, ()
    faults = tuple(fault for item in items if isinstance(item, Replaced) for fault in item.faults)
    return [item.item if isinstance(item, Replaced) else item for item in items], faults


class Pad(Protocol):
    """Protocol of what pads the items of a batch and raises an error for a bad one."""

    def __call__(self, items: Any, alone: bool = False) -> Padded:
        """Pad a batch's items; one that is tried alone says nothing about how the batch is to be read."""


def pad_good_items(items: Any, pad: Pad, read: Callable[[Any], Clip]) -> Padded:
    """Pad a batch of dataset items, without those that cannot be padded alone.

    What the items are only together, as of different numbers of channels, is an error as ever.

    Args:
        items: The list that DataLoader passes to a collate function.
        pad: Pads a list of items.
        read: Reads one item as a clip.

    Returns:
        The batch of the good items, with an `AudioReadError` for each of the others in its faults: its `path` is the
        clip's key, or "item 3 of the batch" if it has none.

    Raises:
        ValueError: No item can be padded; the message has the causes.

    >>> from audiofeed.feed.padding import pad_clips
    >>> import torch
    >>> def pad(items, alone=False):
    ...     return pad_clips([Clip(item) for item in items], None)
    >>> padded = pad_good_items([torch.ones(3), None], pad, Clip)
    >>> padded.lengths, padded.faults[0].path
    (tensor([3]), 'item 1 of the batch')
    """
    try:
        return pad(items)
    except Exception:
        # an item that is no list is the caller's mistake, as is an empty list
        if not isinstance(items, list | tuple) or not items:
            raise
        good, faults = [], []
        for index, item in enumerate(items):
            try:
                pad([item], alone=True)
            except Exception as error:  # noqa: BLE001  a function of the user's may raise any
                faults += _faults_of(index, item, error, read)
            else:
                good.append(item)
        if len(good) == len(items):
            raise
        if not good:
            raise ValueError(
                f"on_error='skip' leaves no item of a batch of {len(items)}: {_causes(faults)}. Mend these items or "
                "leave them out in the dataset; if every batch is like this, they have another form than the collate "
                "expects"
            ) from None
    padded = pad(good)
    return replace(padded, faults=(*padded.faults, *faults))


def _causes(faults: list[AudioReadError]) -> str:
    """Return what is wrong with a batch's items, each cause once, with the first of its items and their number."""
    places: dict[str, list[str]] = {}
    for fault in faults:
        places.setdefault(_ANY.sub("it", str(fault.cause), count=1), []).append(str(fault.path))
    texts = [
        f"{paths[0]!r}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}: {cause}"
        for cause, paths in places.items()
    ]
    more = len(texts) - _MOST_NAMED
    return "; ".join(texts[:_MOST_NAMED]) + (f"; and {more} causes more" if more > 0 else "")


def _faults_of(index: int, item: Any, error: Exception, read: Callable[[Any], Clip]) -> list[Any]:
    """Return the fault of a batch's bad item, after those of the files that it replaces itself."""
    try:
        clip: Clip | None = read(item)
    except Exception:  # noqa: BLE001  then it has no key
        clip = None
    key = None if clip is None else clip.key
    path = f"item {index} of the batch" if key is None else str(key)
    cause = _FIRST.sub(f"clip {index}", str(error)) or type(error).__name__
    return [*(() if clip is None else clip.faults), AudioReadError.of(path, cause)]
