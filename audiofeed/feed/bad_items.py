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
    """Item of a dataset in the place of others that failed, or with a seed that the dataset does not give.

    The collate puts the errors into `batch.faults`, and augments the clip by the seed if it has none of its own.

    Args:
        item: The item.
        faults: Why the others failed.
        seed: Seed of the item's augmentation, 0 to 2**63 - 1; None: none.
    """

    item: Any
    faults: tuple[AudioReadError, ...]
    seed: int | None = None


def whole_items(items: Any) -> tuple[Any, tuple[AudioReadError, ...], list[int | None]]:
    """Return a batch's items without their `Replaced`, the errors of those whose place they take, and their seeds.

    >>> whole_items([1, Replaced(2, (), 7)])
    ([1, 2], (), [None, 7])
    """
    if not isinstance(items, (list, tuple)) or not any(isinstance(item, Replaced) for item in items):
        return items, (), []
    own = [item if isinstance(item, Replaced) else Replaced(item, ()) for item in items]
    faults = tuple(fault for item in own for fault in item.faults)
    return [item.item for item in own], faults, [item.seed for item in own]


class Pad(Protocol):
    """Protocol of what pads the items of a batch and raises an error for a bad one."""

    def __call__(self, items: Any, alone: bool = False) -> Padded:
        """Pad a batch's items; one that is tried alone says nothing about how the batch is to be read."""


def pad_good_items(items: Any, pad: Pad, read: Callable[[Any], Clip]) -> tuple[Padded, list[int]]:
    """Pad a batch of dataset items, without those that cannot be padded alone.

    What the items are only together, as of different numbers of channels, is an error as ever.

    Args:
        items: The list that DataLoader passes to a collate function.
        pad: Pads a list of items.
        read: Reads one item as a clip.

    Returns:
        The batch of the good items, with an `AudioReadError` for each of the others in its faults: its `path` is the
        clip's key, or "item 3 of the batch" if it has none. And the places of the good items among all.

    Raises:
        ValueError: No item can be padded; the message has the causes.

    >>> from audiofeed.feed.padding import pad_clips
    >>> import torch
    >>> def pad(items, alone=False):
    ...     return pad_clips([Clip(item) for item in items], None)
    >>> padded, places = pad_good_items([torch.ones(3), None], pad, Clip)
    >>> padded.lengths, padded.faults[0].path, places
    (tensor([3]), 'item 1 of the batch', [0])
    """
    try:
        return pad(items), list(range(len(items)))
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
                good.append(index)
        if len(good) == len(items):
            raise
        if not good:
            raise ValueError(
                f"on_error='skip' leaves no item of a batch of {len(items)}: {_causes(faults)}. Mend these items or "
                "leave them out in the dataset; if every batch is like this, they have another form than the collate "
                "expects"
            ) from None
    padded = pad([items[index] for index in good])
    return replace(padded, faults=(*padded.faults, *faults)), good


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
