"""Check that the examples of a batch number their classes alike, where a mixture draws from several datasets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from audiofeed.data.example import AudioExample
from audiofeed.data.targets.classes import check_alike


def check_classes(items: Sequence[Any]) -> None:
    """Check that no number stands for two classes among a batch's items.

    Args:
        items: The items of the datasets.

    Raises:
        ValueError: Two examples come from datasets that number their classes differently.

    >>> check_classes([1, 2])
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


def _examples_in(item: Any) -> Iterator[AudioExample]:
    """Yield the examples in an item of a batch that is one, or a tuple or dict that holds one, as of a StackDataset."""
    if isinstance(item, AudioExample):
        yield item
    elif isinstance(item, tuple | list):
        yield from (entry for entry in item if isinstance(entry, AudioExample))
    elif isinstance(item, Mapping):
        yield from (entry for entry in item.values() if isinstance(entry, AudioExample))
