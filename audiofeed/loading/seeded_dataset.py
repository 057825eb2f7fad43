"""Somebody's dataset whose items get a seed from the sampler's key, for the augmentation of a feed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch.utils.data import Dataset

from audiofeed.data.keys import ExampleKey, key_of
from audiofeed.data.seeds import seed_of
from audiofeed.feed.bad_items import Replaced
from audiofeed.sampling.sources import takes_keys

# sets the seeds of augmentation apart from what is drawn in the place of a failed item
_AUGMENT = 0x6175676D656E74


class SeededDataset(Dataset[Any]):
    """Dataset of a feed whose items have no seed of their own: each gets one from the feed's seed and its key.

    So an item is augmented alike whoever reads it, and anew in each epoch. Items that bring a seed keep it.

    Args:
        dataset: Has a length and items by index, or by keys if it takes them.
        seed: Any integer.

    >>> seeded = SeededDataset(["a", "b"])
    >>> seeded[0, 1].item, seeded[0, 1].seed == seeded[1, 1].seed
    ('b', False)
    """

    takes_keys = True

    def __init__(self, dataset: Any, seed: int = 0) -> None:
        self.dataset = dataset
        self._seed = seed
        self._gives_keys = takes_keys(dataset)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Replaced:
        key = key_of(index) if isinstance(index, tuple) else ExampleKey(0, index)
        return self._with_seed(key, self.dataset[key if self._gives_keys else key.example])

    def __getitems__(self, keys: Sequence[Any]) -> list[Replaced]:
        """Return a list of items of the seeded dataset, by its own `__getitems__` where it has one."""
        of_several = getattr(self.dataset, "__getitems__", None)
        if isinstance(keys, ExampleKey) or not callable(of_several):
            return [self[key] for key in keys]
        own = [key_of(key) if isinstance(key, tuple) else ExampleKey(0, key) for key in keys]
        items = of_several([key if self._gives_keys else key.example for key in own])
        return [self._with_seed(key, item) for key, item in zip(own, items, strict=True)]

    def _with_seed(self, key: ExampleKey, item: Any) -> Replaced:
        seed = seed_of(self._seed, _AUGMENT, key.epoch, key.example, key.repeat)
        return replace(item, seed=seed) if isinstance(item, Replaced) else Replaced(item, (), seed)
