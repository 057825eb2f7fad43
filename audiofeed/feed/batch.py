"""The batch of the training loop: a mapping of eight fields, computed when read."""

from __future__ import annotations

import copy
from collections.abc import ItemsView, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import Any, overload

import torch

from audiofeed.feed.batch_fields import FIELDS
from audiofeed.feed.state_steps import Progress, Target
from audiofeed.feed.states import Ready, State


class AudioBatch(Mapping[str, Any]):
    """Audio batch: padded waveforms, lengths, targets, and features computed on the device at the first read.

    It is a mapping of its eight fields, so `model(**batch)` and `dict(batch)` work, and each field is an attribute too.
    `len(batch)` is the number of clips, as a training loop expects of a batch, and not of fields: it counts clips by
    design, and `len(batch.keys())` is 8.

    A batch from a `GPUSpecCollate` computes its features once, in the process that built the collate, at the first
    read, with the transform's parameters as they are then. If no parameter is trained, they are never computed again;
    if one is and the first read was under `no_grad`, a read with gradients computes them again. In a DataLoader worker
    the fields are the CPU tensors as collated, and the features raise a RuntimeError. A pickle or deep copy carries the
    features, detached, so that it can be loaded where the collate does not live.

    Args:
        fields: Values by field name; a missing field is None.

    Raises:
        ValueError: A name is not a field, or there are no waveforms, lengths or features to count clips by.

    >>> batch = AudioBatch({"waveforms": torch.zeros(2, 8), "targets": torch.tensor([0, 1])})
    >>> len(batch), batch["targets"], "features" in batch
    (2, tensor([0, 1]), True)
    """

    __slots__ = ("__weakref__", "_progress", "_target")

    _progress: Progress
    _target: Target | None

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._progress = Progress(Ready.given(fields))
        self._target = None

    @classmethod
    def _of(cls, progress: Progress, target: Target | None = None) -> AudioBatch:
        batch = cls.__new__(cls)
        batch._progress = progress
        batch._target = target
        return batch

    @property
    def features(self) -> Any:
        """Features of the audio batch on the device, zero past each clip's end; None from a `PadCollate`.

        Shape: (batch, [channel,] bins, frames).
        """
        return self._read("features")

    @property
    def feature_lengths(self) -> Any:
        """Frames of each clip in the audio batch; None if the transform has no `frame_lengths`.

        Shape: (batch,).
        """
        return self._read("feature_lengths")

    @property
    def feature_mask(self) -> Any:
        """Mask of the audio batch's features, True for a frame of the clip itself.

        None if the transform has no `frame_lengths`.

        Shape: (batch, frames) bool.
        """
        return self._read("feature_mask")

    @property
    def waveforms(self) -> torch.Tensor:
        """Waveforms of the audio batch, zero past each clip's end, after the augmentation.

        Shape: (batch, time) or (batch, channel, time) float32.
        """
        waveforms: torch.Tensor = self._read("waveforms")
        return waveforms

    @property
    def lengths(self) -> torch.Tensor:
        """Samples of each clip in the audio batch.

        Shape: (batch,) int64.
        """
        lengths: torch.Tensor = self._read("lengths")
        return lengths

    @property
    def targets(self) -> Any:
        """Collated targets of the audio batch on the device, a list if they do not stack, None if there are none."""
        return self._read("targets")

    @property
    def names(self) -> list[Any] | None:
        """Names of the audio batch's clips, paths or ids; None if the dataset gives no names.

        One of them is None for a clip that has none.
        """
        names: list[Any] | None = self._read("names")
        return names

    @property
    def sample_rate(self) -> int | None:
        """Sample rate of every clip in the audio batch, Hz; None if dataset and transform have none."""
        rate: int | None = self._read("sample_rate")
        return rate

    @property
    def faults(self) -> tuple[Any, ...]:
        """Read errors of files replaced by others in the audio batch, if the dataset skips bad ones."""
        return self._progress.state.faults

    def keys(self) -> KeysView[str]:
        """Return the audio batch's field names, as every mapping does; the clips' names are `names`."""
        return dict.fromkeys(FIELDS).keys()

    def items(self) -> ItemsView[str, Any]:
        """Return the audio batch's field names with their values; reading the values computes the features."""
        return _FieldItems(self)

    def values(self) -> ValuesView[Any]:
        """Return the values of the audio batch's fields; reading them computes the features."""
        return _FieldValues(self)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a field of the audio batch, or `default` if there is no such field."""
        # The inherited method takes any KeyError for a missing field, also one from inside the transform.
        return self._read(key) if key in FIELDS else default

    def to(self, device: Any = None, non_blocking: bool = False) -> AudioBatch:
        """Return the audio batch with every tensor on a device.

        Features that are not computed yet are still computed on the collate's device, once for this batch and the
        returned one, and copied from there when they are read.

        Args:
            device: A torch device, its name or its index; None changes nothing.
            non_blocking: Return before copies to an accelerator are done.

        Returns:
            A batch with the same fields; this one is unchanged.

        Raises:
            TypeError: `device` is a dtype or a tensor.
        """
        if device is None:
            return self
        place = _device_of(device)
        moved = self._progress.to(place, non_blocking)
        return type(self)._of(self._progress, Target(place, non_blocking)) if moved is None else type(self)._of(moved)

    def pin_memory(self, device: Any = None) -> AudioBatch:
        """Pin the audio batch's CPU tensors and, if safe, start copy and features on a side stream.

        DataLoader calls it.

        It never blocks, and an error of a batch that is still to be computed is raised at the first read instead.

        Args:
            device: Accepted for callers that pass it; the collate's own device is used.

        Returns:
            This batch.
        """
        self._progress.pin()
        return self

    def describe(self, name: str) -> str:
        """Describe a field of the audio batch by type, shape and device, or the work still to be done.

        Computes nothing.

        >>> AudioBatch({"features": torch.zeros(2, 80, 9)}).describe("features")
        'float32 (2, 80, 9) on cpu'
        """
        description = self._progress.state.describe(name)
        return description if self._target is None else self._target.describe(name, description)

    def _read(self, name: str) -> Any:
        value = self._progress.read(name)
        return value if self._target is None else self._target.copy(name, value)

    def __getitem__(self, key: str) -> Any:
        if key not in self:
            hint = "; the clips' names are batch['names']" if key == "keys" else ""
            raise KeyError(f"{key!r} is not a field of an AudioBatch{hint}; the fields are {', '.join(FIELDS)}")
        return self._read(key)

    def __iter__(self) -> Iterator[str]:
        return iter(FIELDS)

    def __len__(self) -> int:
        """Return the number of clips in the audio batch, not of fields."""
        return self._progress.state.clips

    def __contains__(self, key: object) -> bool:
        return key in FIELDS

    # A mapping's equality would compare tensors, whose truth is ambiguous.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __getattr__(self, name: str) -> Any:
        if hasattr(type(self), name):
            # A property raised AttributeError: run it again, so that its own message is seen.
            return object.__getattribute__(self, name)
        raise AttributeError(f"an AudioBatch has no attribute {name!r}; its fields are {', '.join(FIELDS)}")

    def __copy__(self) -> AudioBatch:
        return type(self)._of(self._progress, self._target)

    def __deepcopy__(self, memo: dict[int, Any]) -> AudioBatch:
        batch = type(self)._of(copy.deepcopy(self._progress, memo))
        return batch if self._target is None else batch.to(self._target.device, self._target.non_blocking)

    def __reduce__(self) -> tuple[Any, ...]:
        state = self._progress.packed()
        if self._target is None:
            return _unpickle, (type(self), state, None)
        moved = state.to(self._target.device, non_blocking=False)
        return _unpickle, ((type(self), state, self._target.device) if moved is None else (type(self), moved, None))

    def __repr__(self) -> str:
        rate = self.sample_rate
        width = max(map(len, FIELDS)) + 1
        lines = [f"  {name + ':':{width}} {self.describe(name)}" for name in FIELDS if name != "sample_rate"]
        head = f"{len(self)} clips" + ("" if rate is None else f" at {rate} Hz")
        return "\n".join([f"{type(self).__name__}({head}", *lines, ")"])


class FeaturesAndTargets(Sequence[Any]):
    """Audio batch that unpacks as `features, targets`, from `GPUSpecCollate(output="tuple")`.

    `.batch` has the rest.

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
        """Return an audio batch's pair of features and targets on a device, as `AudioBatch.to` does."""
        return type(self)(self.batch.to(device, non_blocking))

    def pin_memory(self, device: Any = None) -> FeaturesAndTargets:
        """Pin an audio batch's features and targets and start ahead, as `AudioBatch.pin_memory` does."""
        self.batch.pin_memory(device)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.batch,)

    def __repr__(self) -> str:
        return f"(features: {self.batch.describe('features')}, targets: {self.batch.describe('targets')})"


# The views of a mapping count by its length, and a batch's counts clips.
class _FieldItems(ItemsView[str, Any]):
    def __len__(self) -> int:
        return len(FIELDS)


class _FieldValues(ValuesView[Any]):
    def __len__(self) -> int:
        return len(FIELDS)


def _device_of(device: Any) -> torch.device:
    """Return the device that a training framework passes to the audio batch's `to`."""
    if isinstance(device, torch.dtype | torch.Tensor):
        raise TypeError(
            f"AudioBatch.to got {device if isinstance(device, torch.dtype) else 'a tensor'}; it takes a device: "
            "convert the dtype of a field itself, batch.features.to(dtype)"
        )
    return torch.device(device)


def _unpickle(cls: type[AudioBatch], state: State, device: torch.device | None) -> AudioBatch:
    batch = cls._of(Progress(state))
    return batch if device is None else batch.to(device)
