"""Check that the examples of a batch number their classes alike, where a mixture draws from several datasets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch.utils.data import get_worker_info

from audiofeed.arguments.checks import warn_caller
from audiofeed.data.example import AudioExample
from audiofeed.data.targets.classes import check_alike, member_datasets


def check_classes(items: Sequence[Any], seen: list[Sequence[str]]) -> None:
    """Check that no number stands for two classes among a batch's items, and warn if it does in two batches.

    Args:
        items: The items of the datasets.
        seen: The classes in earlier batches of a collate, of which each is kept here once; a batch of one example, or
            of one dataset's, never holds two. In a DataLoader's worker, which sees some of the batches only, all
            classes of the loader's dataset are looked at with the first batch, and the first worker warns.

    Raises:
        ValueError: Two examples come from datasets that number their classes differently.

    >>> check_classes([1, 2], [])
    """
    found = _longest(example.classes for item in items for example in _examples_in(item))
    if found is None or any(found is classes for classes in seen):
        return
    worker = get_worker_info()
    if worker is not None and not seen:
        members = [getattr(member, "classes", None) for member in member_datasets(worker.dataset)]
        seen.extend(classes for classes in members if classes)
        if worker.id == 0:
            any(_warns_of(classes, seen[:number]) for number, classes in enumerate(seen))  # of the first alone
        if any(found is classes for classes in seen):
            return
    _warns_of(found, seen)
    seen.append(found)


def _warns_of(found: Sequence[str], seen: Sequence[Sequence[str]]) -> bool:
    """Warn if a number stands for two classes in batches of one collate, and return True then.

    All that were seen are asked: two that go on differently after a third, which is shorter, are each alike with that.
    """
    try:
        for classes in seen:
            check_alike(classes, found)
    except ValueError as error:
        warn_caller(f"in two batches of one collate {error}; or give each dataset a collate of its own")
        return True
    return False


def _longest(several: Iterable[Sequence[str] | None]) -> Sequence[str] | None:
    """Return the longest of several datasets' classes; raise if a number stands for two classes.

    Each is compared with the longest before it, which begins as all others do.
    """
    longest: Sequence[str] | None = None
    for classes in several:
        if classes is None or classes is longest:
            continue
        if longest is not None:
            check_alike(longest, classes)
        if longest is None or len(classes) > len(longest):
            longest = classes
    return longest


def _examples_in(item: Any) -> Iterator[AudioExample]:
    """Yield the examples in an item of a batch that is one, or a tuple or dict that holds one, as of a StackDataset."""
    if isinstance(item, AudioExample):
        yield item
    elif isinstance(item, tuple | list):
        yield from (entry for entry in item if isinstance(entry, AudioExample))
    elif isinstance(item, Mapping):
        yield from (entry for entry in item.values() if isinstance(entry, AudioExample))
