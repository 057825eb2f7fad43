"""Keys of a dataset's examples: which epoch, which example, and the how-manieth time in that epoch."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
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
            return _places_of(self).key(key, super().__getitem__(key.example))
        return super().__getitem__(index)


class _KeyedArray(np.ndarray[Any, Any]):
    """Array of a Subset's indices into its dataset that maps a key to the key of the dataset's example."""

    def __getitem__(self, index: Any) -> Any:
        # NumPy itself indexes with plain tuples, of an ellipsis for one
        if isinstance(index, ExampleKey):
            return _places_of(self).key(index, super().__getitem__(index.example))
        return super().__getitem__(index)


class _Places:
    """How often each of a Subset's indices stands before it there, so that its keys name further repeats.

    Args:
        indices: The indices, (n,).
    """

    def __init__(self, indices: np.ndarray) -> None:
        self.length, self.radix = len(indices), 1
        self._before: np.ndarray | None = None
        order = np.argsort(indices, kind="stable")
        begins = np.flatnonzero(np.diff(indices[order], prepend=indices[order[:1]] - 1))
        counts = np.diff(np.append(begins, len(indices)))
        if len(begins) < len(indices):
            self.radix = int(counts.max())
            self._before = np.empty(len(indices), dtype=np.int64)
            self._before[order] = np.arange(len(indices)) - np.repeat(begins, counts)

    def key(self, key: ExampleKey, index: Any) -> ExampleKey:
        """Return the key in the Subset's dataset, of the example of that index."""
        if self._before is None:
            return key.at(index)
        return ExampleKey(key.epoch, index, key.repeat * self.radix + int(self._before[key.example]))


def _places_of(indices: _KeyedList | _KeyedArray) -> _Places:
    """Return the places of a Subset's indices, as the dataset's keys need them; counted once."""
    places: _Places | None = indices.__dict__.get("_places")
    if places is None or places.length != len(indices):
        places = indices.__dict__["_places"] = _Places(np.array(indices, dtype=np.int64))
    return places


class Again(Dataset[Any]):
    """Part of a dataset whose examples stand elsewhere in it as well: draws here are other repeats than those there.

    Args:
        dataset: What stands there.
        step: What a key's repeat is multiplied by.
        offset: What is added.

    >>> Again([ExampleKey(0, 0)], 2, 1).dataset
    [ExampleKey(0, 0)]
    """

    def __init__(self, dataset: Any, step: int, offset: int) -> None:
        self.dataset, self.step, self._offset = dataset, step, offset

    def __len__(self) -> int:
        return len(self.dataset)

    def _key(self, key: Any) -> Any:
        if not isinstance(key, tuple):
            return key
        whole = key_of(key)
        return ExampleKey(whole.epoch, whole.example, whole.repeat * self.step + self._offset)

    def __getitem__(self, key: Any) -> Any:
        return self.dataset[self._key(key)]

    def __getitems__(self, keys: Iterable[Any]) -> list[Any]:
        """Return several examples, by the dataset's own `__getitems__` if it has one.

        Args:
            keys: Indices or keys.
        """
        inner = [self._key(key) for key in keys]
        several = getattr(self.dataset, "__getitems__", None)
        return [self.dataset[key] for key in inner] if several is None else list(several(inner))

    def __getattr__(self, name: str) -> Any:
        # a copy in the making has nothing yet
        if name.startswith("__") or "dataset" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.dataset, name)


def parts_within(dataset: Any) -> list[Any]:
    """Return what a dataset holds directly: as `dataset`, or as `datasets` in a list or by name.

    Args:
        dataset: Any dataset.

    >>> parts_within(ConcatDataset([[1], [2]]))
    [[1], [2]]
    """
    # what a wrapper holds stands in its own attributes; asking for others could start a wrapper's __getattr__
    held = getattr(dataset, "__dict__", {})
    found = [] if held.get("dataset") is None else [held["dataset"]]
    parts = held.get("datasets")
    if isinstance(parts, Mapping):
        found += parts.values()
    elif isinstance(parts, Iterable) and not isinstance(parts, (str, bytes)):
        found += parts
    return found


def radix_of(dataset: Any) -> int:
    """Return how many repeats of one example in a dataset stand for one repeat of its key there, at most.

    Args:
        dataset: Any dataset, after `carry_keys`.

    >>> radix_of(carry_keys(Subset(range(9), [1, 1, 2])))
    2
    """
    return _radix(dataset, frozenset())


def _radix(dataset: Any, above: frozenset[int]) -> int:
    if id(dataset) in above:
        return 1
    own = getattr(dataset, "__dict__", {}).get("draw_radix")
    if own is not None:
        return int(own)
    above |= {id(dataset)}
    inner = math.lcm(*(_radix(part, above) for part in parts_within(dataset)))
    if isinstance(dataset, Again):
        return inner * dataset.step
    if isinstance(dataset, Subset) and isinstance(dataset.indices, (_KeyedList, _KeyedArray)):
        return inner * _places_of(dataset.indices).radix
    return inner


def _examples_of(dataset: Any, indices: np.ndarray, above: frozenset[int]) -> list[tuple[Any, np.ndarray]]:
    """Return which examples of which innermost datasets those of a dataset may be; two that draw alike are one."""
    while isinstance(dataset, (Subset, Again)):
        if isinstance(dataset, Subset):
            indices = np.asarray(dataset.indices, dtype=np.int64)[indices]
            # counted from the end
            indices = np.where(indices < 0, indices + len(dataset.dataset), indices)  # type: ignore[arg-type]
        dataset = dataset.dataset
    parts = [] if id(dataset) in above else parts_within(dataset)
    above |= {id(dataset)}
    if isinstance(dataset, ConcatDataset):
        begins = np.append(0, dataset.cumulative_sizes)
        number = np.searchsorted(begins, indices, side="right") - 1
        inside = [indices[number == at] - begins[at] for at in range(len(parts))]
    else:
        inside = [np.arange(len(part)) for part in parts if hasattr(part, "__len__")]
        parts = [part for part in parts if hasattr(part, "__len__")]
    if not parts:
        alike = getattr(dataset, "draw_identity", None)
        return [(id(dataset) if alike is None else alike, indices)]
    return [each for part, of_part in zip(parts, inside, strict=True) for each in _examples_of(part, of_part, above)]


def repeats_apart(parts: Sequence[Any], radices: Sequence[int]) -> list[tuple[int, int]]:
    """Find by what the repeats of a dataset's parts are told apart where several parts hold the same example.

    A key's repeat r becomes r * step + offset in a part, where that becomes some of `radix` repeats from
    (r * step + offset) * radix on. So step * radix is the same for all parts.

    Args:
        parts: Datasets that stand side by side in another.
        radices: As in `radix_of`, for each part.

    Returns:
        (step, offset) of each part; (1, 0) for all where nothing stands twice.

    >>> whole = range(4)
    >>> repeats_apart([whole, whole, Subset(whole, [1])], [1, 1, 1]), repeats_apart([whole, range(2)], [1, 1])
    ([(3, 0), (3, 1), (3, 2)], [(1, 0), (1, 0)])
    """
    holders: dict[Any, list[tuple[int, np.ndarray]]] = {}
    for number, part in enumerate(parts):
        for base, indices in _examples_of(part, np.arange(len(part)), frozenset()):
            holders.setdefault(base, []).append((number, indices))
    group = list(range(len(parts)))
    for found in holders.values():
        numbers = sorted({number for number, _ in found})
        if len(numbers) < 2:
            continue
        held = np.zeros((len(numbers), 1 + max(int(indices.max(initial=-1)) for _, indices in found)), dtype=bool)
        for number, indices in found:
            held[numbers.index(number), indices] = True
        # a split of a dataset put together again holds nothing twice
        if (held.sum(axis=0, dtype=np.int32) > 1).any():
            joined = {group[number] for number in numbers}
            group = [min(joined) if of_part in joined else of_part for of_part in group]
    ends: dict[int, int] = {}
    offsets = []
    for of_part, radix in zip(group, radices, strict=True):
        offsets.append(-(-ends.get(of_part, 0) // radix))
        ends[of_part] = (offsets[-1] + 1) * radix
    period = math.lcm(*radices)
    period *= -(-max(ends.values()) // period)
    return [(period // radix, offset) for radix, offset in zip(radices, offsets, strict=True)]


def _tell_apart(joined: ConcatDataset[Any]) -> None:
    """Let a dataset's examples that stand several times in a ConcatDataset draw by keys as repeats do."""
    if any(isinstance(part, Again) for part in joined.datasets):  # told apart before
        return
    apart = repeats_apart(joined.datasets, [radix_of(part) for part in joined.datasets])
    for number, (step, offset) in enumerate(apart):
        if (step, offset) != (1, 0):
            joined.datasets[number] = Again(joined.datasets[number], step, offset)


def carry_keys(dataset: AnyDataset) -> AnyDataset:
    """Let a dataset's keys through torch's Subset, which would take a key for its index alone and lose the epoch.

    Every Subset is changed in place, whatever lies around it or in it: ConcatDataset, StackDataset, the parts of
    random_split, any wrapper that holds what it wraps as `dataset` or `datasets`. Its `indices` become a list (or an
    array, if they were an array or a tensor) of the same integers, equal to what was there, and `indices[key]` is the
    key of the example in the Subset's own dataset. Where a Subset or a ConcatDataset holds the same example several
    times (of one dataset, or of two that were made of the same files with the same seed), a key draws anew at each of
    the places, as a repeat does. The library's samplers call this for the dataset
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
    _carry(dataset, set())
    return dataset


def _carry(dataset: Any, seen: set[int]) -> None:
    """Carry keys through what a dataset holds, then through itself, which may depend on that."""
    if id(dataset) in seen:
        return
    seen.add(id(dataset))
    for part in parts_within(dataset):
        _carry(part, seen)
    if isinstance(dataset, Subset):
        if not isinstance(dataset.indices, (_KeyedList, _KeyedArray)):
            if isinstance(dataset.indices, (np.ndarray, torch.Tensor)):
                dataset.indices = np.asarray(dataset.indices).view(_KeyedArray)
            else:
                dataset.indices = _KeyedList(dataset.indices)
        # before workers are forked, so that they need not count
        _places_of(dataset.indices)
    if isinstance(dataset, ConcatDataset):
        _tell_apart(dataset)
