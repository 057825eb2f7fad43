"""A batch as a DataLoader worker sees it: no mapping, so that nothing reads its features there."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from audiofeed.feed.batch import AudioBatch
from audiofeed.feed.pair import FeaturesAndTargets


class WorkerBatch:
    """Audio batch in the DataLoader worker that collated it; the training process gets the batch itself.

    With `DataLoader(batch_size=None)`, the form of webdataset, lhotse and NeMo, the collate is called by the dataset,
    and torch's `default_convert` then goes through the fields of every mapping and tuple, in the worker, where there
    are no features to read. So this is neither, and is left as it is. Its entries and attributes are the batch's.

    Args:
        batch: The batch, or the pair of its features and targets.

    >>> import pickle, torch
    >>> from torch.utils.data import default_convert
    >>> batch = WorkerBatch(AudioBatch({"lengths": torch.tensor([3, 1]), "lam": 0.5}))
    >>> default_convert(batch) is batch, batch.lam, type(pickle.loads(pickle.dumps(batch))).__name__
    (True, 0.5, 'AudioBatch')
    """

    __slots__ = ("_batch",)

    def __init__(self, batch: AudioBatch | FeaturesAndTargets) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        if name == "_batch":  # not set yet
            raise AttributeError(name)
        return getattr(self._batch, name)

    def __getitem__(self, key: Any) -> Any:
        return self._batch[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._batch[key] = value  # type: ignore[index]

    def __delitem__(self, key: str) -> None:
        del self._batch[key]  # type: ignore[union-attr]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._batch)

    def __len__(self) -> int:
        return len(self._batch)

    def __contains__(self, key: object) -> bool:
        return key in self._batch

    def __copy__(self) -> WorkerBatch:
        return WorkerBatch(copy.copy(self._batch))

    def __deepcopy__(self, memo: dict[int, Any]) -> WorkerBatch:
        return WorkerBatch(copy.deepcopy(self._batch, memo))

    def __reduce__(self) -> tuple[Any, ...]:
        return self._batch.__reduce__()

    def __repr__(self) -> str:
        return repr(self._batch)
