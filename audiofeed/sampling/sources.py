"""What a sampler of sampling/ is made from: lengths in seconds, a dataset that knows them, or a number of clips."""

from __future__ import annotations

import functools
import hashlib
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import ConcatDataset, Sampler, StackDataset, Subset

from audiofeed.arguments.checks import check_switch, shortened
from audiofeed.data.datasets import AudioFiles
from audiofeed.data.keys import Again, carry_keys, parts_within

_REMEDY = "pass a dataset of audiofeed (or torch's Subset or ConcatDataset of such)"


class Source:
    """Clips that a sampler draws from: how many, how long, and whether their dataset takes keys.

    Args:
        data: Lengths in seconds (any array), a dataset, or a number of clips.
        name: Name of the argument, for messages.
        lengths: Whether lengths are needed ("needed"), used where they are known ("known"), or not looked at ("none").
        keys: As in the samplers.

    Raises:
        TypeError: `data` is something else, or a sampler.
        ValueError: There are no clips, no lengths where they are needed, or a length is no number of seconds.

    >>> Source([1.0, 2.5], "durations").seconds(0)
    array([1. , 2.5])
    """

    def __init__(self, data: Any, name: str, *, lengths: str = "needed", keys: bool | None = None) -> None:
        if isinstance(data, (Sampler, torch.utils.data.DataLoader)):
            raise TypeError(
                f"{name} is a {type(data).__name__}, and must be a dataset, lengths in seconds or a number of clips; a "
                "framework that puts a sampler of its own there must be told not to (Lightning: "
                "Trainer(use_distributed_sampler=False))"
            )
        if keys is not None:
            check_switch("keys", keys)
        self._seconds_in: Callable[[int], np.ndarray | None] | None = None
        self._seconds: np.ndarray | None = None
        self._all_seconds: np.ndarray | None = None
        self._dataset: Any = None
        self._fingerprint: dict[str, Any] | None = None
        self.with_keys = True if keys is None else keys
        if _is_number(data):
            if lengths == "needed":
                raise ValueError(f"{name}={data!r} is a number, and the lengths of the clips are needed; {_REMEDY}")
            self.clips = operator.index(data)
        elif _is_dataset(data):
            carry_keys(data)
            if keys is None:
                self.with_keys = takes_keys(data)
            self.clips = len(data)
            self._dataset = data
            if lengths != "none":
                self._seconds = column_of(data, "durations", 0)
                if self._seconds is not None and changes_of(data):
                    self._seconds_in = functools.partial(column_of, data, "durations")
                    self._seconds, self._all_seconds = None, _all_durations(data)
                if not self.has_seconds and lengths == "needed":
                    raise ValueError(
                        f"{name} is a {type(data).__name__} whose clips' lengths are not known; {_REMEDY}, or an array "
                        "of seconds"
                    )
        else:
            self._seconds = _seconds_of(data, name)
            self.clips = len(self._seconds)
        if self.clips < 1:
            raise ValueError(f"{name} has no clips; a sampler needs at least one")
        if self._seconds is not None:
            self._seconds = _checked_seconds(self._seconds, name, self.clips)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """By what a sampler's state knows its clips again: numbers and texts by name, found when first asked for."""
        if self._fingerprint is None:
            seconds = self.seconds(0)
            self._fingerprint = {
                "clips": self.clips,
                "durations": None if seconds is None else digest(seconds),
                **({} if self._dataset is None else identity_of(self._dataset)),
            }
        return self._fingerprint

    @property
    def has_seconds(self) -> bool:
        """Whether the sampler knows the lengths of its clips."""
        return self._seconds is not None or self._seconds_in is not None

    @property
    def changes(self) -> bool:
        """Whether a clip's length depends on the epoch, as in a mixture that shows a part of a dataset in each."""
        return self._seconds_in is not None

    @property
    def longest(self) -> np.ndarray:
        """Lengths in seconds among which is every clip that a sampler may draw in any epoch."""
        seconds = self._all_seconds if self._all_seconds is not None else self._seconds
        assert seconds is not None
        return seconds

    def seconds(self, epoch: int) -> np.ndarray | None:
        """Return the length of each clip in an epoch, in seconds, as the sampler sees it; None if unknown."""
        return self._seconds if self._seconds_in is None else self._seconds_in(epoch)

    def __getstate__(self) -> dict[str, Any]:
        # a copy knows its clips without another copy of their dataset
        return {**self.__dict__, "_fingerprint": self.fingerprint, "_dataset": None}


def takes_keys(dataset: Any) -> bool:
    """Return True if a dataset takes a sampler's keys, (epoch, index), for indices.

    Datasets of audiofeed do, torch's Subset, ConcatDataset and StackDataset do if what they hold does, and any other
    does if it says so by an attribute `takes_keys = True`.

    Args:
        dataset: Any dataset.

    >>> takes_keys([1, 2, 3])
    False
    """
    if isinstance(dataset, AudioFiles):
        return True
    if isinstance(dataset, (Again, Subset)):
        return takes_keys(dataset.dataset)
    if isinstance(dataset, (ConcatDataset, StackDataset)):
        members = dataset.datasets
        return all(map(takes_keys, members.values() if isinstance(members, Mapping) else members))
    return getattr(dataset, "takes_keys", False) is True


def changes_of(dataset: Any) -> bool:
    """Return True if an index of a dataset stands for other clips from epoch to epoch, as in some mixtures.

    Args:
        dataset: Any dataset, such as torch's Subset or ConcatDataset of a `Mixture`.

    >>> changes_of(Subset([1, 2], [0]))
    False
    """
    if hasattr(dataset, "durations_in"):
        return bool(dataset.changes)
    if isinstance(dataset, (Again, Subset, ConcatDataset, StackDataset)):
        return any(map(changes_of, parts_within(dataset)))
    return False


def column_of(dataset: Any, name: str, epoch: int | None = None) -> np.ndarray | None:
    """Return a column of a dataset, such as its durations or targets, that a sampler needs.

    Args:
        dataset: One with an attribute of that name, or torch's Subset, ConcatDataset or StackDataset of such.
        name: Name of the attribute.
        epoch: Number of the epoch, where the dataset changes with it; None for its current one.

    Returns:
        One value for each example; None if the column is not there.

    >>> column_of(Subset(ConcatDataset([[1], [2]]), [1]), "durations") is None
    True
    """
    if isinstance(dataset, Again):
        return column_of(dataset.dataset, name, epoch)
    if isinstance(dataset, Subset):
        column = column_of(dataset.dataset, name, epoch)
        return None if column is None else column[np.asarray(list(map(int, dataset.indices)), dtype=np.int64)]
    if isinstance(dataset, ConcatDataset):
        columns = [column_of(member, name, epoch) for member in dataset.datasets]
        known = [column for column in columns if column is not None]
        return np.concatenate(known) if len(known) == len(columns) else None
    if isinstance(dataset, StackDataset):
        found = [column_of(each, name, epoch) for each in parts_within(dataset)]
        return next((column for column in found if column is not None), None)
    by_epoch = None if epoch is None else getattr(dataset, f"{name}_in", None)
    column = getattr(dataset, name, None) if by_epoch is None else by_epoch(epoch)
    if column is None:
        return None
    if isinstance(column, np.ndarray):
        return column
    array = np.empty(len(column), dtype=object)
    array[:] = list(column)
    return array


def _all_durations(dataset: Any) -> np.ndarray:
    """Return lengths in seconds among which is that of every clip of a sampler's dataset, in any epoch."""
    if isinstance(dataset, (Again, Subset, ConcatDataset, StackDataset)) and changes_of(dataset):
        found = [_all_durations(part) for part in parts_within(dataset) if column_of(part, "durations", 0) is not None]
        return np.concatenate(found)
    if hasattr(dataset, "durations_in"):
        every: np.ndarray = dataset.all_durations()
        return every
    column = column_of(dataset, "durations", 0)
    assert column is not None
    return column


def identity_of(dataset: Any) -> dict[str, Any]:
    """Return what a sampler's state knows of a dataset beside its lengths: which files, in which order, which seed.

    Files count by their paths below the folder that they have in common, so that a state fits the same files elsewhere.

    Args:
        dataset: Any dataset; of one that is none of audiofeed's or torch's nothing is known.

    >>> identity_of([1, 2])
    {}
    """
    return _identity_of(dataset, {})


def _identity_of(dataset: Any, known: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Return the identity of a sampler's dataset, with those found before by `id`: hashes of paths take time."""
    if id(dataset) not in known:
        known[id(dataset)] = {}  # for a circle of wrappers
        known[id(dataset)] = _found_identity(dataset, known)
    return known[id(dataset)]


def _found_identity(dataset: Any, known: dict[int, dict[str, Any]]) -> dict[str, Any]:
    if isinstance(dataset, Again):
        return _identity_of(dataset.dataset, known)
    if hasattr(dataset, "durations_in"):
        return dict(dataset.fingerprint())
    if isinstance(dataset, AudioFiles):
        return {"files": dataset.fingerprint, "dataset_seed": dataset.seed}
    parts = [_identity_of(part, known) for part in parts_within(dataset)]
    if not any(parts):
        return {}
    if isinstance(dataset, Subset):
        order = digest(np.array(dataset.indices, dtype=np.int64))
        return {"subset": order, **parts[0]} if "subset" not in parts[0] else {"files": _text_digest([order, parts])}
    if len(parts) == 1:
        return parts[0]
    sizes = [len(part) if hasattr(part, "__len__") else None for part in parts_within(dataset)]
    return {"files": _text_digest([sizes, parts])}


def _text_digest(value: Any) -> str:
    return digest(np.frombuffer(repr(value).encode(), np.uint8))


def digest(array: np.ndarray) -> str:
    """Hash an array to 16 hexadecimal digits, by which a sampler's state knows its data.

    >>> digest(np.zeros(2))
    '5250a507f994740e'
    """
    plain = np.ascontiguousarray(array)
    return hashlib.blake2b(plain.view(np.uint8).data, digest_size=8).hexdigest()


def _is_number(data: Any) -> bool:
    return isinstance(data, (int, np.integer)) and not isinstance(data, bool)


def _is_dataset(data: Any) -> bool:
    plain = isinstance(data, (Sequence, np.ndarray, torch.Tensor)) or not hasattr(data, "__getitem__")
    return not plain and hasattr(data, "__len__") and not hasattr(data, "__array__")


def _seconds_of(data: Any, name: str) -> np.ndarray:
    try:
        if isinstance(data, torch.Tensor):
            data = data.detach().cpu().numpy()
        array = np.asarray(data, dtype=np.float64)
        if array.ndim == 0:
            raise TypeError("a single value")
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"{name}={shortened(data)} must be lengths in seconds, a dataset that has `durations`, or a number of clips"
        ) from error
    return array


def _checked_seconds(seconds: np.ndarray, name: str, clips: int) -> np.ndarray:
    """Return lengths as a (clip,) float64 array that a sampler may keep."""
    array = np.array(seconds, dtype=np.float64)
    if array.shape != (clips,):
        raise ValueError(f"{name} has shape {array.shape} and must have one length for each of {clips} clips")
    wrong = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if wrong.size:
        raise ValueError(
            f"{name}[{wrong[0]}]={array[wrong[0]]} must be a length in seconds, finite and 0 or more"
            + (f"; so are {wrong.size - 1} others" if wrong.size > 1 else "")
        )
    return array
