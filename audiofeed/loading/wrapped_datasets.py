"""Datasets of ours inside of somebody's wrapper in a loader: they are told the sampler's epoch, which no key tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch.utils.data import Dataset

from audiofeed.data.datasets import AudioFiles
from audiofeed.loading.loader_parts import stateful_sampler
from audiofeed.sampling.mixture import Mixture
from audiofeed.sampling.planned_sampler import PlannedSampler
from audiofeed.sampling.sources import takes_keys

# a longer list holds examples or names, not datasets
_MOST_HELD = 1000


def follow_epochs(loader: Any) -> None:
    """Let datasets of ours that a loader's wrappers ask by index alone draw by the epoch of the loader's sampler.

    Such a dataset counts how often an index was asked for, and a run that is resumed has not counted what was before.
    With the epoch set as each pass begins, the counts begin with it, and the crops of a pass follow from the epoch
    wherever it is resumed. Call it before the loader is iterated.

    Args:
        loader: Any loader; nothing is done where none of its samplers has a state and an epoch.

    >>> follow_epochs([1, 2])
    """
    found = stateful_sampler(loader)
    if found is None:
        return
    sampler, _ = found
    planned = isinstance(sampler, PlannedSampler)
    followers = tuple(_counting(getattr(loader, "dataset", None), planned and sampler._source.with_keys))
    if planned:
        # as it begins: workers of the last pass have read by then what they had fetched ahead
        sampler._followers = followers
    elif isinstance(epoch := getattr(sampler, "epoch", None), int):
        for follower in followers:
            follower.set_epoch(epoch)


def _counting(dataset: Any, keyed: bool) -> Iterator[AudioFiles | Mixture]:
    """Yield the datasets of ours in a loader's dataset that are asked by index alone, each once."""
    seen: set[int] = set()
    waiting = [(dataset, keyed and takes_keys(dataset))]
    while waiting:
        held, keyed = waiting.pop()
        if id(held) in seen:
            continue
        seen.add(id(held))
        if isinstance(held, AudioFiles | Mixture) and not keyed:
            yield held
        if not isinstance(held, AudioFiles):
            waiting += [(each, keyed and takes_keys(each)) for each in _datasets_in(held)]


def _datasets_in(holder: Any) -> Iterator[Any]:
    """Yield what may be datasets among the attributes of a loader's dataset, and in lists and dicts there."""
    # as they stand: asking for attributes could start a wrapper's __getattr__
    for value in list(getattr(holder, "__dict__", {}).values()):
        several = (
            value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else [value]
        )
        if len(several) <= _MOST_HELD:
            yield from (each for each in several if _may_be_dataset(each))


def _may_be_dataset(value: Any) -> bool:
    kind = type(value)
    return isinstance(value, Dataset) or (hasattr(kind, "__getitem__") and hasattr(kind, "__len__"))
