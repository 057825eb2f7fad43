"""Somebody's dataset, guarded: an item that fails is replaced by another one, the same whoever asks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from audiofeed.data.errors import AudioReadError
from audiofeed.data.example import AudioExample
from audiofeed.data.keys import ExampleKey, key_of
from audiofeed.data.seeds import draw_below, seed_of
from audiofeed.feed.bad_items import Replaced
from audiofeed.feed.items import read_items
from audiofeed.sampling.sources import takes_keys

# this many items in a row, drawn at random, are not bad by accident
_TRIES = 16
# samples of a waveform that stands in for one that is missing
_SOME = 4


class GuardedDataset(Dataset[Any]):
    """Guard around somebody's dataset: an item that raises, is None, empty, or has NaN or infinite samples is replaced.

    What comes in its place follows from (seed, epoch, index, try), so it is the same on every rank, with any number of
    workers and after a resume.

    Args:
        dataset: Has a length and items by index.
        seed: Any integer.
        to_example: As in the collate, for items of no known form.

    >>> guarded = GuardedDataset([None, torch.ones(4)])
    >>> replaced = guarded[0]
    >>> replaced.item, replaced.faults[0].cause
    (tensor([1., 1., 1., 1.]), 'it is None')
    """

    takes_keys = True

    def __init__(self, dataset: Any, seed: int = 0, to_example: Callable[[Any], AudioExample] | None = None) -> None:
        self.dataset = dataset
        self._seed = seed
        self._to_example = to_example
        self._gives_keys = takes_keys(dataset)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Any:
        key = _key_of(index)
        faults: tuple[AudioReadError, ...] = ()
        chosen = key
        while True:
            try:
                item = self.dataset[chosen if self._gives_keys else chosen.example]
                cause = self._fault_in(item)
            except AudioReadError as error:
                fault = error.with_traceback(None)
            except Exception as error:  # noqa: BLE001  # somebody's dataset fails in ways of its own
                fault = self._named(chosen, f"{type(error).__name__}: {error}")
            else:
                if cause is None:
                    return Replaced(item, faults) if faults else item
                fault = self._named(chosen, cause)
            faults += (fault,)
            if len(faults) > _TRIES:
                raise AudioReadError.of(
                    fault.path or "",
                    f"{fault.cause}; {_TRIES} items before it, each in place of the last, could not be read either",
                    fault.offset,
                )
            seed = seed_of(self._seed, key.epoch, key.example, len(faults) + _TRIES * key.repeat)
            chosen = key.at(draw_below(len(self.dataset), seed))

    def __getitems__(self, keys: Sequence[Any]) -> list[Any]:
        """Return a list of items of the guarded dataset, by its own `__getitems__` as long as none of them fails."""
        if isinstance(keys, ExampleKey):
            raise TypeError(
                f"{keys!r}, the key of one clip, is taken for a batch: a sampler of single keys goes to "
                "DataLoader(sampler=..., batch_size=...); for batch_sampler= there is ClipBatchSampler"
            )
        of_several = getattr(self.dataset, "__getitems__", None)
        if callable(of_several):
            try:
                items = of_several([key if self._gives_keys else key.example for key in map(_key_of, keys)])
            except Exception:  # noqa: BLE001  # which of them it was, and why, shows one by one
                items = []
            if len(items) == len(keys) and all(self._fault_in(item) is None for item in items):
                return list(items)
        return [self[key] for key in keys]

    def _named(self, key: ExampleKey, cause: str) -> AudioReadError:
        return AudioReadError.of(f"item {key.example} of {type(self.dataset).__name__}", cause)

    def _fault_in(self, item: Any) -> str | None:
        """Return what is wrong with an item of the guarded dataset, or None."""
        if item is None:
            return "it is None"
        if isinstance(item, AudioExample):
            return None  # a reader of ours has looked at its samples
        try:
            waveform = self._waveform_of(item)
            samples = np.asarray(waveform.float() if isinstance(waveform, torch.Tensor) else waveform)
        except Exception:  # noqa: BLE001  # a form that nobody knows is a mistake in the program: the collate says so
            return self._missing_in(item)
        if waveform is None:
            return "its waveform is None"
        if samples.size == 0:
            return "it has no samples"
        if samples.dtype.kind == "f" and not math.isfinite(float(samples.sum(dtype=np.float64))):
            wrong = int((~np.isfinite(samples)).sum())
            return f"{wrong} of its samples are NaN or infinite" if wrong else None
        return None

    def _waveform_of(self, item: Any) -> Any:
        return read_items([item], self._to_example, alone=True)[0].waveform

    def _missing_in(self, item: Any) -> str | None:
        """Return what an item of the guarded dataset lacks: a None that, were it a waveform, would make it readable."""
        for name, filled in _filled(item):
            try:
                self._waveform_of(filled)
            except Exception:  # noqa: BLE001  # then it is not that
                continue
            return f"its {name} is None"
        return None


def _filled(item: Any) -> Iterator[tuple[str, Any]]:
    """Yield a guarded dataset's item with a waveform in place of a None, for each None in it, and that one's name."""
    if isinstance(item, Mapping):
        for name, value in item.items():
            if value is None:
                yield f"entry {name!r}", {**item, name: torch.ones(_SOME)}
    elif isinstance(item, tuple | list):
        names = getattr(item, "_fields", range(len(item)))
        for index, (name, value) in enumerate(zip(names, item, strict=True)):
            if value is None:
                entries = [*item[:index], torch.ones(_SOME), *item[index + 1 :]]
                yield f"entry {name!r}", type(item)(*entries) if hasattr(item, "_fields") else type(item)(entries)


def _key_of(index: Any) -> ExampleKey:
    """Return the key of a guarded dataset's item; an index alone is of the first epoch."""
    return key_of(index) if isinstance(index, tuple) else ExampleKey(0, index)
