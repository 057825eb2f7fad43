"""Check that the examples of a batch number their classes alike, where a mixture draws from several datasets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from audiofeed.arguments.checks import warn_caller
from audiofeed.data.example import AudioExample
from audiofeed.data.targets.classes import check_alike


def check_classes(items: Sequence[Any], seen: list[Sequence[str]]) -> None:
    """Check that no number stands for two classes among a batch's items, and warn if it does in two batches.

    Args:
        items: The items of the datasets.
        seen: The classes in earlier batches of a collate, of which each is kept here once; a batch of one example, or
            of one dataset's, never holds two.

    Raises:
        ValueError: Two examples come from datasets that number their classes differently.

    >>> check_classes([1, 2], [])
    """
    first: Sequence[str] | None = None
    for item in items:
        for example in _examples_in(item):
            if example.classes is None:
                continue
            if first is None:
                first = example.classes
            elif example.classes is not first:
                check_alike(first, example.classes)
    if first is None or any(first is classes for classes in seen):
        return
    if seen:
        try:
            check_alike(seen[0], first)
        except ValueError as error:
            warn_caller(f"in two batches of one collate {error}; or give each dataset a collate of its own")
    seen.append(first)


def _examples_in(item: Any) -> Iterator[AudioExample]:
    """Yield the examples in an item of a batch that is one, or a tuple or dict that holds one, as of a StackDataset."""
    if isinstance(item, AudioExample):
        yield item
    elif isinstance(item, tuple | list):
        yield from (entry for entry in item if isinstance(entry, AudioExample))
    elif isinstance(item, Mapping):
        yield from (entry for entry in item.values() if isinstance(entry, AudioExample))
