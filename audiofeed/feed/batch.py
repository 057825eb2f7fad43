"""The batch that reaches the training loop: a mapping of eight fields, computed when read."""

from __future__ import annotations

import copy
from collections.abc import ItemsView, Iterator, Mapping, Sequence, ValuesView
from typing import Any, overload

import torch

from audiofeed.feed.sources import FIELDS, Computed, Source, make_device


class AudioBatch(Mapping[str, Any]):
    """One padded batch: waveforms, lengths, targets, and features computed on the device at first read.

    It is a mapping of its eight fields, so ``model(**batch)`` and ``dict(batch)`` work, and each field is an
    attribute too. ``len(batch)`` is the number of clips. ``batch.keys`` is the list of the clips' names, and called,
    ``batch.keys()``, it gives the field names as every mapping does. ``batch["keys"]`` is that list or None.
    ``batch.faults`` are the files that were replaced by others, where the dataset skips bad ones.

    A batch from a ``GPUSpecCollate`` computes its features once, in the process that built the collate, at the first
    read, with the transform's parameters as they are then. Where nothing is trained they are never computed again;
    where a parameter is and the first read was under ``no_grad``, a read with gradients computes them anew. In a
    DataLoader worker the fields are the CPU tensors as collated and the features raise a RuntimeError. Pickled or
    deep-copied it carries its features, detached, so that it can be loaded where no collate is.

    Args:
        fields: Values by field name; what is missing is None.

    Raises:
        ValueError: A name is no field, or there are no waveforms or features to count clips by.

    >>> batch = AudioBatch({"waveforms": torch.zeros(2, 8), "targets": torch.tensor([0, 1])})
    >>> len(batch), batch["targets"], "features" in batch
    (2, tensor([0, 1]), True)
    """

    __slots__ = ("__weakref__", "_source")

    _source: Source

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._source = Computed(fields)

    @classmethod
    def _of(cls, source: Source) -> AudioBatch:
        batch = cls.__new__(cls)
        batch._source = source
        return batch

    @property
    def features(self) -> Any:
        """(batch, [channel,] bins, frames) on the device, zero beyond each clip's frames; None from a PadCollate."""
        return self._source.read("features")

    @property
    def feature_lengths(self) -> Any:
        """(batch,) frames of each clip; None where the transform has no ``frame_lengths``."""
        return self._source.read("feature_lengths")

    @property
    def feature_mask(self) -> Any:
        """(batch, frames) bool, true where a frame is the clip's own; None where frames are not known."""
        return self._source.read("feature_mask")

    @property
    def waveforms(self) -> torch.Tensor:
        """(batch, time) or (batch, channel, time) float32, zero beyond each clip, after the augmentation."""
        waveforms: torch.Tensor = self._source.read("waveforms")
        return waveforms

    @property
    def lengths(self) -> torch.Tensor:
        """(batch,) int64, samples of each clip."""
        lengths: torch.Tensor = self._source.read("lengths")
        return lengths

    @property
    def targets(self) -> Any:
        """The collated targets, on the device; a list where they do not stack; None where there are none."""
        return self._source.read("targets")

    @property
    def sample_rate(self) -> int | None:
        """Samples per second of every clip, Hz; None where neither the dataset nor the transform says."""
        rate: int | None = self._source.read("sample_rate")
        return rate

    @property
    def keys(self) -> ClipKeys:
        """The clips' names, empty where the dataset gives none; called, the field names."""
        return ClipKeys(self._source.read("keys") or ())

    @property
    def faults(self) -> tuple[Any, ...]:
        """The read errors of files that clips of this batch stand in for."""
        return self._source.faults

    def items(self) -> ItemsView[str, Any]:
        """Field names with their values; reading the values computes the features."""
        return _FieldItems(self)

    def values(self) -> ValuesView[Any]:
        """The fields' values; reading them computes the features."""
        return _FieldValues(self)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a field, or ``default`` where there is no such field."""
        # The inherited one takes any KeyError, one from inside the transform included, for a missing field.
        return self._source.read(key) if key in FIELDS else default

    def to(self, device: Any = None, non_blocking: bool = False) -> AudioBatch:
        """Return the batch with every tensor on a device; features not computed yet still come from the collate's
        device.

        Args:
            device: A torch device, its name or its index; None changes nothing.
            non_blocking: Do not wait for copies to an accelerator.

        Raises:
            TypeError: ``device`` is no device, a dtype for example.
        """
        if device is None:
            return self
        return type(self)._of(self._source.to(make_device(device), non_blocking))

    def pin_memory(self, device: Any = None) -> AudioBatch:
        """Pin what is on the CPU and, where that is safe, start copy and features on a side stream; called by
        DataLoader.

        It never waits and never raises: an error is kept for the first read.

        Args:
            device: Taken for callers that pass it; the collate's own device counts.
        """
        self._source.pin()
        return self

    def __getitem__(self, key: str) -> Any:
        if key not in self:
            raise KeyError(f"{key!r} is no field of an AudioBatch; the fields are {', '.join(FIELDS)}")
        return self._source.read(key)

    def __iter__(self) -> Iterator[str]:
        return iter(FIELDS)

    def __len__(self) -> int:
        return self._source.clips()

    def __contains__(self, key: object) -> bool:
        return key in FIELDS

    # A mapping's equality would compare tensors, and ask them for a single truth.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __getattr__(self, name: str) -> Any:
        if hasattr(type(self), name):
            # A property raised AttributeError: run it again, so that its own message comes out.
            return object.__getattribute__(self, name)
        raise AttributeError(f"an AudioBatch has no attribute {name!r}; its fields are {', '.join(FIELDS)}")

    def __copy__(self) -> AudioBatch:
        return type(self)._of(self._source)

    def __deepcopy__(self, memo: dict[int, Any]) -> AudioBatch:
        return type(self)._of(copy.deepcopy(self._source, memo))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self._source.packed())

    def __repr__(self) -> str:
        source = self._source
        rate = source.peek("sample_rate")
        width = max(map(len, FIELDS)) + 1
        shown = [name for name in FIELDS if name != "sample_rate"]
        lines = [f"  {name + ':':{width}} {source.describe(name)}" for name in shown]
        head = f"{len(self)} clips" + ("" if rate is None else f" at {rate} Hz")
        return "\n".join([f"{type(self).__name__}({head}", *lines, ")"])


class ClipKeys(list[Any]):
    """The clips' names; called, it gives the batch's field names, as ``keys()`` of a mapping does.

    >>> names = ClipKeys(["a.wav", "b.wav"])
    >>> names[0], list(names())[:2]
    ('a.wav', ['features', 'feature_lengths'])
    """

    def __call__(self) -> Any:
        """Return the field names."""
        return dict.fromkeys(FIELDS).keys()


class FeaturesAndTargets(Sequence[Any]):
    """What ``GPUSpecCollate(output="tuple")`` yields: ``features, targets`` to unpack, and ``.batch`` for the rest.

    Args:
        batch: The batch; its features are computed when the first entry is read.

    >>> batch = AudioBatch({"features": torch.ones(1, 2, 3), "targets": torch.tensor([7])})
    >>> features, targets = FeaturesAndTargets(batch)
    >>> targets
    tensor([7])
    """

    __slots__ = ("__weakref__", "batch")

    def __init__(self, batch: AudioBatch) -> None:
        self.batch = batch

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Any, ...]: ...
    def __getitem__(self, index: int | slice) -> Any:
        names = ("features", "targets")[index]
        return self.batch[names] if isinstance(names, str) else tuple(self.batch[name] for name in names)

    def __len__(self) -> int:
        return 2

    def to(self, device: Any = None, non_blocking: bool = False) -> FeaturesAndTargets:
        """Return the pair with every tensor on a device, as ``AudioBatch.to`` does."""
        return type(self)(self.batch.to(device, non_blocking))

    def pin_memory(self, device: Any = None) -> FeaturesAndTargets:
        """Pin and start ahead, as ``AudioBatch.pin_memory`` does."""
        self.batch.pin_memory(device)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.batch,)

    def __repr__(self) -> str:
        source = self.batch._source
        return f"(features: {source.describe('features')}, targets: {source.describe('targets')})"


class _FieldItems(ItemsView[str, Any]):
    def __len__(self) -> int:
        return len(FIELDS)


class _FieldValues(ValuesView[Any]):
    def __len__(self) -> int:
        return len(FIELDS)


def _rebuild(cls: type[AudioBatch], source: Source) -> AudioBatch:
    return cls._of(source)
