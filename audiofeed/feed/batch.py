"""The batch of the training loop: a mapping of nine fields and of new entries, computed when read, under any names."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Hashable, ItemsView, Iterator, KeysView, Mapping, MutableMapping, ValuesView
from functools import lru_cache
from typing import Any, ClassVar, Literal

import torch

from audiofeed.feed.batch_page import batch_repr
from audiofeed.feed.pictures import plot
from audiofeed.feed.states.batch_fields import FIELDS, CollateInfo, count_clips
from audiofeed.feed.states.state_steps import Progress, Target
from audiofeed.feed.states.states import Ready, State
from audiofeed.feed.states.tensor_trees import describe, map_tensors, pin, to_device
from audiofeed.feed.states.unpacking import unpacked_names

# what training code asks of a tensor, and a batch does not have
_OF_TENSORS = ("device", "dtype", "shape", "size", "half", "float", "double", "bfloat16", "detach", "clone", "numpy")


class AudioBatch(MutableMapping[str, Any]):
    """Audio batch: padded waveforms, lengths, targets, and features computed on the device at the first read.

    It is a mapping of its nine fields, so `model(**batch)` and `dict(batch)` work, and each field is an attribute too.
    `len(batch)` is the number of clips, as a training loop expects of a batch, and not of fields: it counts clips by
    design, and `len(batch.keys())` is 9 (10 with the `target_lengths` of `PadTargets`).

    It takes new entries, as `batch["lam"] = lam` in a mixup, which move, copy and pickle with it; `batch["features"] =
    mixed` puts another value in a field's place, and `del batch["names"]` takes one out of the mapping. A collate with
    `rename=` makes batches whose mapping has exactly the entries named there, for `model(**batch)`; the attributes keep
    their names.

    A batch from a `GPUSpecCollate` computes its features once, in the process that built the collate, at the first
    read, with the transform's parameters as they are then. If no parameter is trained, they are never computed again;
    if one is and the first read was under `no_grad`, a read with gradients computes them again. In a DataLoader worker
    the fields are the CPU tensors as collated, and the features raise a RuntimeError. A pickle or deep copy carries the
    features, detached, so that it can be loaded where the collate does not live.

    Args:
        fields: Values by field name; a missing field is None (`fields` is empty), and any other name is a new entry.

    Raises:
        ValueError: There are no waveforms, lengths or features to count clips by, nor tensors among the new entries.

    >>> batch = AudioBatch({"waveforms": torch.zeros(2, 8), "targets": torch.tensor([0, 1])})
    >>> len(batch), batch["targets"], "features" in batch
    (2, tensor([0, 1]), True)
    """

    __slots__ = ("__weakref__", "_entries", "_left_out", "_progress", "_replaced", "_shown", "_target")

    # What a batch that a framework builds again as `type(batch)(dict(batch))` cannot know from its entries: see
    # `batch_type`, which makes types of other names, layouts and faults.
    # names in the mapping -> the fields of a batch, or of its `fields`, that stand there
    _names: ClassVar[Mapping[str, str]] = {name: name for name in FIELDS if name != "target_lengths"}
    _layout: ClassVar[Literal["bins_frames", "frames_bins"]] = "bins_frames"
    _faults: ClassVar[tuple[Any, ...]] = ()
    _is_made: ClassVar[bool] = False

    _progress: Progress
    _target: Target | None
    _shown: dict[str, str]  # as in `_names`, without what was deleted
    _replaced: dict[str, Any]  # values in a field's place
    _entries: dict[str, Any]  # under names that are no field's
    _left_out: frozenset[str]  # fields that a framework did not keep, as they are not in the mapping

    def __init__(self, fields: Mapping[str, Any]) -> None:
        if "keys" in fields and "keys" not in self._names:
            raise ValueError(
                "['keys'] are not fields of an AudioBatch (the clips' names are now `names`); the fields are "
                f"{', '.join(FIELDS)}"
            )
        is_plain = self._names is AudioBatch._names
        # of a renamed batch that a framework has built again, what it left out is not there
        self._shown = {name: source for name, source in self._names.items() if is_plain or name in fields}
        if is_plain and fields.get("target_lengths") is not None:
            self._shown["target_lengths"] = "target_lengths"
        given: dict[str, Any] = {}
        entries, faults = {}, self._faults
        for name, value in fields.items():
            source = self._shown.get(name)
            if source is None:
                entries[name] = value
            elif source == "faults":
                faults = tuple(value)
            elif source in FIELDS:
                given[source] = value
            else:
                given["fields"] = {**given.get("fields", {}), source: value}
        clips = count_clips(given, entries if is_plain else fields)
        self._progress = Progress(Ready.given(given, faults, CollateInfo(layout=self._layout), clips))
        self._target = None
        self._replaced, self._entries = {}, entries
        self._left_out = frozenset() if is_plain else frozenset(FIELDS).difference(given)

    @classmethod
    def _of(cls, progress: Progress, target: Target | None = None) -> AudioBatch:
        batch = cls.__new__(cls)
        batch._progress = progress
        batch._target = target
        batch._shown, batch._replaced, batch._entries = dict(cls._names), {}, {}
        batch._left_out = frozenset()
        return batch

    def _with_own(
        self, other: AudioBatch, change: Callable[[dict[str, Any]], dict[str, Any]] = dict[str, Any]
    ) -> AudioBatch:
        """Give a batch the names and the entries of another, copied by a function of a dict, and return it."""
        self._shown, self._replaced, self._entries = dict(other._shown), change(other._replaced), change(other._entries)
        self._left_out = other._left_out
        return self

    @property
    def features(self) -> Any:
        """Features of the audio batch on the device; None from a `PadCollate`.

        Past each clip's end they are zero, or what the collate's `padding` asks for.

        Shape: (batch, [channel,] bins, frames), or (batch, [channel,] frames, bins) in that `layout`.
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
    def target_lengths(self) -> Any:
        """Entries of each clip's target in the audio batch, before they were padded; None unless `PadTargets` did it.

        Shape: (batch,) int64.
        """
        return self._read("target_lengths")

    @property
    def fields(self) -> Mapping[str, Any]:
        """Fields of the audio batch by name: what else its items have, each collated as targets are.

        A dataset item's other entries, or the columns of a manifest. A clip that lacks a field has None in its list.
        """
        fields: Mapping[str, Any] = self._read("fields")
        return fields

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
        """Errors of the clips that are not in the audio batch: files replaced by others, and items left out.

        The dataset's or the collate's `on_error="skip"` does so. They stay with the batch wherever it goes, also where
        a framework builds it again from its entries; `rename={"faults": "faults", ...}` makes them one of these.
        """
        return self._progress.state.faults

    @property
    def layout(self) -> Literal["bins_frames", "frames_bins"]:
        """Order of the last two axes of the audio batch's features, as the collate was asked for."""
        return self._progress.state.info.layout

    def keys(self) -> KeysView[str]:
        """Return the names in the audio batch, as every mapping does; the clips' names are `names`."""
        return dict.fromkeys(self).keys()

    def items(self) -> ItemsView[str, Any]:
        """Return the names in the audio batch with their values; reading the values computes the features."""
        return _FieldItems(self)

    def values(self) -> ValuesView[Any]:
        """Return the values in the audio batch; reading them computes the features."""
        return _FieldValues(self)

    def get(self, key: str, default: Any = None) -> Any:
        """Return an entry of the audio batch, or `default` if there is no such entry."""
        # The inherited method takes any KeyError for a missing entry, also one from inside the transform.
        if key not in self:
            return default
        return self[key]

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
        target = Target(place, non_blocking) if moved is None else None
        batch = type(self)._of(self._progress if moved is None else moved, target)
        return batch._with_own(self, lambda own: to_device(own, place, non_blocking=non_blocking))

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
        if (self._replaced or self._entries) and torch.accelerator.is_available():
            self._replaced, self._entries = pin(self._replaced), pin(self._entries)
        return self

    def describe(self, name: str) -> str:
        """Describe a field or an entry of the audio batch by type, shape and device, or the work still to be done.

        Computes nothing.

        >>> AudioBatch({"features": torch.zeros(2, 80, 9)}).describe("features")
        'float32 (2, 80, 9) on cpu'
        """
        if name in self._entries:
            return describe(self._entries[name], device=True)
        source = self._shown.get(name, name)
        if source in self._replaced:
            return describe(self._replaced[source], device=True)
        if source == "faults":
            return describe(self.faults)
        if source not in FIELDS:
            return describe(self.fields.get(source), device=True)
        description = self._progress.state.describe(source)
        return description if self._target is None else self._target.describe(source, description)

    plot, _repr_html_ = plot, batch_repr

    def _read(self, source: str) -> Any:
        """Return the value of a field, or of one of `fields`, by its own name."""
        if source in self._replaced:
            return self._replaced[source]
        if source == "faults":
            return self.faults
        if source not in FIELDS:
            return self.fields[source]
        if source in self._left_out:
            raise AttributeError(
                f"batch.{source} is not known: a framework built this batch again from the entries of its mapping, "
                f"{', '.join(self)}, and {source} is none of them; read it before, or have the collate put it there: "
                f"rename={{..., {source!r}: {source!r}}}, or output='batch' without rename="
            )
        value = self._progress.read(source)
        return value if self._target is None else self._target.copy(source, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            raise AttributeError(f"batch.{name} cannot be set; batch[{name!r}] = ... takes its place, or adds an entry")
        object.__setattr__(self, name, value)

    def __getitem__(self, key: str) -> Any:
        if not isinstance(key, Hashable) or isinstance(key, slice | torch.Tensor):
            raise KeyError(self._unknown(key))
        if key in self._entries:
            return self._entries[key]
        if key not in self._shown:
            raise KeyError(self._unknown(key))
        return self._read(self._shown[key])

    def __setitem__(self, key: str, value: Any) -> None:
        if key in self._shown:
            self._replaced[self._shown[key]] = value
        else:
            self._entries[key] = value

    def __delitem__(self, key: str) -> None:
        if key in self._entries:
            del self._entries[key]
        elif key in self._shown:
            del self._shown[key]
        else:
            raise KeyError(self._unknown(key))

    def _unknown(self, key: str) -> str:
        shown = [name for name, source in self._shown.items() if source == key]
        if not isinstance(key, str):
            hint = "; for some of its clips, index a field of them: batch.features[:2]"
        elif key == "keys":
            hint = "; the clips' names are batch['names']"
        elif shown:
            hint = f"; it is batch[{shown[0]!r}] here, by rename=, and batch.{key}"
        else:
            hint = f"; batch.{key} has it" if key in FIELDS else ""
        return f"{key!r} is not a field of an AudioBatch{hint}; the fields are {', '.join(self)}"

    def __iter__(self) -> Iterator[str]:
        if unpacked_names(sys._getframe(1)):
            raise TypeError(
                "an AudioBatch is a mapping of fields, and unpacked it would give their names; take batch.features and "
                'batch.targets, or make the collate give pairs: GPUSpecCollate(..., output="tuple")'
            )
        return iter([*self._shown, *self._entries])

    def __len__(self) -> int:
        """Return the number of clips in the audio batch, not of fields."""
        return self._progress.state.clips

    def __contains__(self, key: object) -> bool:
        return key in self._shown or key in self._entries

    # A mapping's equality would compare tensors, whose truth is ambiguous.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __getattr__(self, name: str) -> Any:
        if hasattr(type(self), name):
            # A property raised AttributeError: run it again, so that its own message is seen.
            return object.__getattribute__(self, name)
        if not name.startswith("_") and name in self:  # slots that are not set yet have underscores
            return self[name]
        hint = f"; use batch.to({name!r})" if name in ("cpu", "cuda") else ""
        if name in _OF_TENSORS:
            hint = f"; a field has it: batch.features.{name}"
        raise AttributeError(f"an AudioBatch has no attribute {name!r}{hint}; its fields are {', '.join(FIELDS)}")

    def __copy__(self) -> AudioBatch:
        return type(self)._of(self._progress, self._target)._with_own(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> AudioBatch:
        batch = type(self)._of(copy.deepcopy(self._progress, memo))
        if self._target is not None:
            batch = batch.to(self._target.device, self._target.non_blocking)
        return batch._with_own(self, lambda own: copy.deepcopy(_detached(own), memo))

    def __reduce__(self) -> tuple[Any, ...]:
        state, device = self._progress.packed(), None
        if self._target is not None:
            moved = state.to(self._target.device, non_blocking=False)
            state, device = (state, self._target.device) if moved is None else (moved, None)
        own = (self._shown, _detached(self._replaced), _detached(self._entries), self._left_out)
        # a type that was made here is made again
        if not self._is_made:
            return _unpickle, (type(self), state, device, own)
        names = None if self._names is AudioBatch._names else dict(self._names)
        return _unpickle, ((names, self._layout, self._faults), state, device, own)

    def __repr__(self) -> str:
        rate = None if "sample_rate" in self._left_out else self.sample_rate
        width = max(map(len, self), default=0) + 1
        lines = [f"  {name + ':':{width}} {self.describe(name)}" for name in self if name != "sample_rate"]
        head = f"{len(self)} clips" + ("" if rate is None else f" at {rate} Hz")
        return "\n".join([f"{type(self).__name__}({head}", *lines, ")"])


# The views of a mapping count by its length, and a batch's counts clips.
class _FieldItems(ItemsView[str, Any]):
    _mapping: AudioBatch

    def __len__(self) -> int:
        return len(list(self._mapping))


class _FieldValues(ValuesView[Any]):
    _mapping: AudioBatch

    def __len__(self) -> int:
        return len(list(self._mapping))


def batch_type(
    names: Mapping[str, str] | None = None,
    *,
    layout: Literal["bins_frames", "frames_bins"] = "bins_frames",
    faults: tuple[Any, ...] = (),
) -> type[AudioBatch]:
    """Return the type of an audio batch that frameworks can build again from its entries alone.

    A type of its own, because they do so as `type(batch)({name: value, ...})`, where only the type can say which name
    stands for which field, and what is in none of the entries.

    Args:
        names: From each name in the mapping to the field of a batch, or of its `fields`, that stands there; the mapping
            then has these entries and no others. None: all fields, under their own names.
        layout: Order of the last two axes of features.
        faults: Errors of clips that are not in the batch. A type with faults is that of one batch.

    >>> batch = batch_type({"labels": "targets"})({"labels": torch.tensor([3, 1])})
    >>> list(batch), batch.targets
    (['labels'], tensor([3, 1]))
    """
    kept = None if names is None else tuple(names.items())
    if faults:
        return _make_type(kept, layout, faults)
    return AudioBatch if kept is None and layout == AudioBatch._layout else _kept_type(kept, layout)


@lru_cache(maxsize=64)
def _kept_type(names: Any, layout: Any) -> type[AudioBatch]:
    return _make_type(names, layout, ())


def _make_type(names: Any, layout: Any, faults: tuple[Any, ...]) -> type[AudioBatch]:
    body = {"__slots__": (), "_layout": layout, "_faults": faults, "_is_made": True, "__module__": __name__}
    # a batch of all fields is known by the names being AudioBatch's own
    return type("AudioBatch", (AudioBatch,), body if names is None else {**body, "_names": dict(names)})


def _detached(values: dict[str, Any]) -> dict[str, Any]:
    detached: dict[str, Any] = map_tensors(values, torch.Tensor.detach)
    return detached


def _device_of(device: Any) -> torch.device:
    """Return the device that a training framework passes to the audio batch's `to`."""
    if isinstance(device, torch.dtype | torch.Tensor):
        raise TypeError(
            f"AudioBatch.to got {device if isinstance(device, torch.dtype) else 'a tensor'}; it takes a device: "
            "convert the dtype of a field itself, batch.features.to(dtype)"
        )
    return torch.device(device)


def _unpickle(
    cls: type[AudioBatch] | tuple[Any, Any, Any],
    state: State,
    device: torch.device | None,
    own: tuple[dict[str, str], dict[str, Any], dict[str, Any], frozenset[str]],
) -> AudioBatch:
    if isinstance(cls, tuple):
        names, layout, faults = cls
        cls = batch_type(names, layout=layout, faults=faults)
    batch = cls._of(Progress(state))
    if device is not None:
        batch = batch.to(device)
    batch._shown, batch._replaced, batch._entries, batch._left_out = own
    return batch
