"""Keys of a dataset's examples: which epoch, which example, and the how-manieth time in that epoch."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any, SupportsIndex, TypeVar

import numpy as np
import torch
from torch.utils.data import ConcatDataset, Dataset, Subset

AnyDataset = TypeVar("AnyDataset")


class ExampleKey(tuple[int, ...]):
    """Key of an example in a dataset: `(epoch, index)`, or `(epoch, index, repeat)` where it is drawn again.

    All that is random in an example (its crop, its augmentation) follows from the dataset's seed and this key. A key is
    a tuple, equal to the plain one and with its hash, and at the same time an integer to whatever indexes with it: it
    has `__index__`, is ordered against integers by its index, and `key + n`, `key - n` and `key % n` are keys of
    another index in the same epoch. So torch's ConcatDataset, which bisects and subtracts, passes it on, and so does a
    dataset of one's own that shifts the index.

    Args:
        epoch: Number of the epoch, 0 or more.
        index: Index of the example in the dataset. `tuple.index` is a method, so the attribute is `example`.
        repeat: How often the example was drawn before in this epoch, 0 or more; each time it draws anew.

    Raises:
        ValueError: `epoch` or `repeat` is negative.
        TypeError: An argument is not an integer.

    >>> key = ExampleKey(2, 7)
    >>> key == (2, 7), key.epoch, key.example, key.repeat
    (True, 2, 7, 0)
    >>> key - 5, list("abcdefgh")[key], ExampleKey(2, 7, 1)
    (ExampleKey(2, 2), 'h', ExampleKey(2, 7, 1))
    """

    __slots__ = ()
    # a NumPy integer would take a key for an array of two
    __array_ufunc__ = None

    def __new__(cls, epoch: SupportsIndex, index: SupportsIndex, repeat: SupportsIndex = 0) -> ExampleKey:
        epoch, index, repeat = operator.index(epoch), operator.index(index), operator.index(repeat)
        if epoch < 0 or repeat < 0:
            name, value = ("epoch", epoch) if epoch < 0 else ("repeat", repeat)
            raise ValueError(f"{name}={value} of a key must be 0 or more")
        return super().__new__(cls, (epoch, index, repeat) if repeat else (epoch, index))

    def __getnewargs__(self) -> tuple[int, ...]:
        return tuple(self)

    def __repr__(self) -> str:
        return f"ExampleKey{tuple(self)!r}"

    @property
    def epoch(self) -> int:
        """Epoch of the example that a dataset's key names."""
        return self[0]

    @property
    def example(self) -> int:
        """Index in the dataset of the example that a key names."""
        return self[1]

    @property
    def repeat(self) -> int:
        """How often the example that a dataset's key names was drawn before in its epoch."""
        return self[2] if len(self) > 2 else 0

    def at(self, index: SupportsIndex) -> ExampleKey:
        """Return the key of another example of the dataset, or of the same one in another dataset.

        Args:
            index: Its index.

        Returns:
            A key with the same epoch and repeat.

        >>> ExampleKey(2, 7, 1).at(3)
        ExampleKey(2, 3, 1)
        """
        return ExampleKey(self.epoch, index, self.repeat)

    # as an integer

    def __index__(self) -> int:
        return self[1]

    __int__ = __index__

    def __neg__(self) -> int:
        return -self[1]

    def __add__(self, other: Any) -> Any:
        if isinstance(other, tuple):
            return super().__add__(other)
        return NotImplemented if (number := _integer(other)) is None else self.at(self[1] + number)

    def __radd__(self, other: Any) -> Any:
        return NotImplemented if (number := _integer(other)) is None else self.at(number + self[1])

    def __sub__(self, other: Any) -> Any:
        return NotImplemented if (number := _integer(other)) is None else self.at(self[1] - number)

    def __mod__(self, other: Any) -> Any:
        return NotImplemented if (number := _integer(other)) is None else self.at(self[1] % number)

    def __lt__(self, other: Any) -> bool:
        if isinstance(other, tuple):
            return super().__lt__(other)
        return NotImplemented if (number := _integer(other)) is None else self[1] < number

    def __le__(self, other: Any) -> bool:
        if isinstance(other, tuple):
            return super().__le__(other)
        return NotImplemented if (number := _integer(other)) is None else self[1] <= number

    def __gt__(self, other: Any) -> bool:
        if isinstance(other, tuple):
            return super().__gt__(other)
        return NotImplemented if (number := _integer(other)) is None else self[1] > number

    def __ge__(self, other: Any) -> bool:
        if isinstance(other, tuple):
            return super().__ge__(other)
        return NotImplemented if (number := _integer(other)) is None else self[1] >= number


def _integer(value: Any) -> int | None:
    """Return what is added to or compared with a dataset's key as an int; None for anything but an integer."""
    try:
        return operator.index(value)
    except TypeError:
        return None


def key_of(key: Any) -> ExampleKey:
    """Return the key of a dataset's example that a sampler gave as a tuple.

    Args:
        key: `(epoch, index)` or `(epoch, index, repeat)`, or an `ExampleKey`.

    Raises:
        TypeError: It has another length, or an entry is not an integer.
        ValueError: The epoch or the repeat is negative.

    >>> key_of((2, 7))
    ExampleKey(2, 7)
    """
    if isinstance(key, ExampleKey):
        return key
    if len(key) not in (2, 3):
        raise TypeError(f"key={key!r} must be an index, (epoch, index) or (epoch, index, repeat)")
    try:
        return ExampleKey(*key)
    except (TypeError, ValueError) as error:
        raise type(error)(f"key={key!r}: {error}; it must be (epoch, index) or (epoch, index, repeat)") from None


class _KeyedList(list[Any]):
    """List of a Subset's indices into its dataset that maps a key to the key of the dataset's example."""

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, tuple):
            key = key_of(index)
            return key.at(super().__getitem__(key.example))
        return super().__getitem__(index)


class _KeyedArray(np.ndarray[Any, Any]):
    """Array of a Subset's indices into its dataset that maps a key to the key of the dataset's example."""

    def __getitem__(self, index: Any) -> Any:
        # NumPy itself indexes with plain tuples, of an ellipsis for one
        if isinstance(index, ExampleKey):
            return index.at(super().__getitem__(index.example))
        return super().__getitem__(index)


class _Again(Dataset[Any]):
    """One of several places where a ConcatDataset holds the same examples of a dataset: draws there are repeats.

    Args:
        dataset: What stands there.
        place: Which of the places, from 0.
        places: How many there are.
    """

    def __init__(self, dataset: Any, place: int, places: int) -> None:
        self.dataset, self._place, self._places = dataset, place, places

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple):
            whole = key_of(key)
            key = ExampleKey(whole.epoch, whole.example, whole.repeat * self._places + self._place)
        return self.dataset[key]

    def __getattr__(self, name: str) -> Any:
        # a copy in the making has nothing yet
        if name.startswith("__") or "dataset" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.dataset, name)


def _tell_apart(joined: ConcatDataset[Any]) -> None:
    """Let a dataset's examples that stand several times in a ConcatDataset draw by keys as repeats do."""
    places: dict[int, list[tuple[int, np.ndarray]]] = {}
    for number, part in enumerate(joined.datasets):
        if isinstance(part, _Again):  # told apart before
            return
        indices = np.arange(len(part))  # type: ignore[arg-type]
        while isinstance(part, Subset):
            indices, part = np.asarray(part.indices)[indices], part.dataset
        places.setdefault(id(part), []).append((number, indices))
    for found in places.values():
        together = np.concatenate([indices for _, indices in found])
        # a split of a dataset put together again holds nothing twice
        if len(found) > 1 and len(np.unique(together)) < len(together):
            for place, (number, _) in enumerate(found):
                joined.datasets[number] = _Again(joined.datasets[number], place, len(found))


def carry_keys(dataset: AnyDataset) -> AnyDataset:
    """Let a dataset's keys through torch's Subset, which would take a key for its index alone and lose the epoch.

    Every Subset is changed in place, whatever lies around it or in it: ConcatDataset, StackDataset, the parts of
    random_split, any wrapper that holds what it wraps as `dataset` or `datasets`. Its `indices` become a list (or an
    array, if they were an array or a tensor) of the same integers, equal to what was there, and `indices[key]` is the
    key of the example in the Subset's own dataset. Where a ConcatDataset holds the same examples of a dataset several
    times, a key draws anew at each of the places, as a repeat does. The library's samplers call this for the dataset
    they are given; call it where you make a sampler of your own.

    Args:
        dataset: Any dataset.

    Returns:
        The same dataset.

    >>> from torch.utils.data import ConcatDataset, Dataset, Subset
    >>> subset = carry_keys(Subset(range(100), [7, 50]))
    >>> subset.indices, subset.indices[ExampleKey(2, 1)]
    ([7, 50], ExampleKey(2, 50))
    """
    seen: set[int] = set()
    waiting: list[Any] = [dataset]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Subset) and not isinstance(item.indices, (_KeyedList, _KeyedArray)):
            if isinstance(item.indices, (np.ndarray, torch.Tensor)):
                item.indices = np.asarray(item.indices).view(_KeyedArray)
            else:
                item.indices = _KeyedList(item.indices)
        if isinstance(item, ConcatDataset):
            _tell_apart(item)
        # what a wrapper holds stands in its own attributes; asking for others could start a wrapper's __getattr__
        held = getattr(item, "__dict__", {})
        waiting.append(held.get("dataset"))
        parts = held.get("datasets")
        if isinstance(parts, Mapping):
            waiting += parts.values()
        elif isinstance(parts, Iterable) and not isinstance(parts, (str, bytes)):
            waiting += parts
    return dataset
