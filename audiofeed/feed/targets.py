"""Collate targets of any structure, and other fields; pad targets that are sequences of ids, as `PadTargets` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import default_collate

from audiofeed.data.targets.timed import join_cuts
from audiofeed.feed.items import Clip
from audiofeed.feed.known_forms import TARGET_NAMES
from audiofeed.feed.states.tensor_trees import describe, is_named_tuple


def collate_targets(targets: list[Any]) -> Any:
    """Stack the targets of a batch as torch's `default_collate` does, or keep them as a list.

    They are kept as a list if they do not stack.

    Numbers, tensors and NumPy arrays of equal shape stack. Tuples are collated field by field and dicts key by key.
    Differences from `default_collate`: strings, None, Python lists (token sequences are never transposed, whatever
    their lengths) and tensors of unequal shape stay a list with one entry per clip, and a tuple stays a tuple.
    Targets in time are joined and padded, and wait for the features' frames (`timed_targets`).

    Args:
        targets: One target per clip.

    Returns:
        A tensor (batch, ...), a list with one entry per clip, a tuple or dict of these, or None if every target is
        None.

    >>> collate_targets([1, 2]), collate_targets([[1, 2], [3]]), collate_targets([None, None])
    (tensor([1, 2]), [[1, 2], [3]], None)
    """
    if all(target is None for target in targets):
        return None
    joined = join_cuts(targets)
    if joined is not None:
        return joined
    targets = [_as_tensor(target) if _is_numeric_array(target) else target for target in targets]
    first = targets[0]
    if all(isinstance(target, torch.Tensor) for target in targets):
        return _stack(targets)
    if all(isinstance(target, bool) for target in targets) or all(_is_number(target) for target in targets):
        # float64 as default_collate gives; the device is named because torch.set_default_device reaches forked workers.
        has_float = any(isinstance(target, float) for target in targets)
        if not has_float and not all(-(2**63) <= target < 2**63 for target in targets):
            return targets  # hashes and other ids that no integer tensor holds
        stacked = torch.tensor(targets, dtype=torch.float64 if has_float else None, device="cpu")
        # of integers beside floats, those beyond 2**53 are rounded: such ids stay as they are
        return stacked if not has_float or _same_integers(targets, stacked.tolist()) else targets
    if isinstance(first, Mapping) and all(
        isinstance(target, Mapping) and target.keys() == first.keys() for target in targets
    ):
        return {name: collate_targets([target[name] for target in targets]) for name in first}
    if isinstance(first, tuple) and all(
        type(target) is type(first) and len(target) == len(first) for target in targets
    ):
        fields = [collate_targets(list(field)) for field in zip(*targets, strict=True)]
        return type(first)(*fields) if is_named_tuple(first) else tuple(fields)
    return targets


def collate_fields(fields: Sequence[Mapping[Any, Any]], chosen: Sequence[str] | None = None) -> dict[Any, Any]:
    """Collate the fields of a batch's clips, each name as targets are collated.

    Args:
        fields: Fields of each clip, by name.
        chosen: Names of the fields to keep; None keeps all.

    Returns:
        Every name that a clip of the batch has, in the order of their first appearance, with its values: a tensor
        (batch, ...) or a list with one entry per clip, in which a clip without the name has None.

    Raises:
        ValueError: No clip of the batch has a name that was chosen.

    >>> collate_fields([{"speaker": 4, "text": "hi"}, {"speaker": 2}])
    {'speaker': tensor([4, 2]), 'text': ['hi', None]}
    """
    known = list(dict.fromkeys(name for own in fields for name in own))
    if chosen is None:
        chosen = known
    else:
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise ValueError(
                f"fields={list(chosen)!r} has {unknown}, and no clip of this batch has a field of that name; the "
                f"fields of its clips are {known}"
            )
    return {name: collate_targets([own.get(name) for own in fields]) for name in chosen}


class PaddedTargets(NamedTuple):
    """Targets of a batch with their lengths, as a `target_collate` may return them.

    The first become `batch.targets`, the second `batch.target_lengths`.

    Args:
        targets: (batch, longest, ...), padded.
        lengths: (batch,) int64, entries of each clip's target.

    >>> PaddedTargets(torch.tensor([[5, 2], [4, 0]]), torch.tensor([2, 1])).lengths.tolist()
    [2, 1]
    """

    targets: Any
    lengths: Any


class PadTargets:
    """Pad the targets of a batch that are sequences of integer ids or text, for CTC and sequence-to-sequence training.

    Give it to a collate, as `GPUSpecCollate(transform, target_collate=PadTargets(tokenizer=...))`. Then `batch.targets`
    is (batch, longest) int64 with `value` past each target's end, and `batch.target_lengths` is (batch,) int64, as
    `torch.nn.functional.ctc_loss` takes them. It runs in the DataLoader's workers, so a tokenizer must pickle where
    workers are started by spawn or forkserver.

    Args:
        tokenizer: Called with each clip's target, a text for example. It returns ids: a list, tuple, tensor or array of
            integers, or what tokenizers of Hugging Face return (a mapping with `input_ids`, an object with `ids`).
            None: the targets are sequences of ids themselves.
        value: What stands past a target's end. The default, -100, is ignored by `torch.nn.functional.cross_entropy` and
            by the models of transformers, and never read by `ctc_loss`.

    Raises:
        TypeError: `tokenizer` is not callable or `value` not an integer; or, when called, a target is None, or text
            without a tokenizer, or its ids are not a sequence of integers.

    >>> batch = PadTargets(tokenizer=lambda text: [ord(letter) - 96 for letter in text])(["ab", "c"])
    >>> batch.targets, batch.lengths
    (tensor([[   1,    2],
            [   3, -100]]), tensor([2, 1]))
    """

    def __init__(self, tokenizer: Callable[[Any], Any] | None = None, *, value: int = -100) -> None:
        if tokenizer is not None and not callable(tokenizer):
            raise TypeError(f"tokenizer={tokenizer!r} must be callable with a target; give its encode method")
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"value={value!r} must be an integer, such as -100 or 0")
        self.tokenizer = tokenizer
        self.value = value

    def __call__(self, targets: list[Any]) -> PaddedTargets:
        """Return a batch's targets padded to the longest, with their lengths."""
        rows = [self._ids(index, target) for index, target in enumerate(targets)]
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64, device="cpu")
        padded = torch.full((len(rows), max(map(len, rows))), self.value, dtype=torch.int64, device="cpu")
        for own, row in zip(padded, rows, strict=True):
            own[: len(row)] = row
        return PaddedTargets(padded, lengths)

    def _ids(self, index: int, target: Any) -> torch.Tensor:
        if target is None:
            raise TypeError(
                f"the target of clip {index} is None, and PadTargets needs one for each clip: name the entry of an "
                "item that is its target with target_field="
            )
        if self.tokenizer is None and isinstance(target, str | bytes):
            raise TypeError(
                f"the target of clip {index} is the text {target!r}; PadTargets needs a tokenizer= for text"
            )
        found = target if self.tokenizer is None else self.tokenizer(target)
        made = "target" if self.tokenizer is None else "tokenizer's result"
        if isinstance(found, Mapping) and "input_ids" in found:
            found = found["input_ids"]
        elif not isinstance(found, torch.Tensor | np.ndarray | list | tuple) and hasattr(found, "ids"):
            found = found.ids
        if _is_numeric_array(found):
            found = _as_tensor(found)
        if isinstance(found, list | tuple | range) and all(_is_id(entry) for entry in found):
            found = torch.tensor([int(entry) for entry in found], dtype=torch.int64, device="cpu")
        kinds = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
        if not isinstance(found, torch.Tensor) or found.dim() != 1 or found.dtype not in kinds:
            raise TypeError(
                f"the {made} of clip {index} is {describe(found)}; it must be a sequence of integers: a list, or a "
                "tensor (length,)"
            )
        return found.to(torch.int64)

    def __repr__(self) -> str:
        return f"PadTargets(tokenizer={self.tokenizer!r}, value={self.value})"


def _stack(tensors: list[torch.Tensor]) -> torch.Tensor | list[torch.Tensor]:
    first = tensors[0]
    if any(tensor.layout != torch.strided or tensor.is_nested or tensor.shape != first.shape for tensor in tensors):
        return tensors
    # default_collate stacks into shared memory when it runs in a worker. It takes the first tensor's dtype there.
    dtypes = {tensor.dtype for tensor in tensors}
    if len(dtypes) > 1:
        mixed = torch.stack(tensors)
        # the type that holds both an int64 and a float32 is float32, of which an id may be beyond
        rounded = mixed.is_floating_point() and any(
            not tensor.is_floating_point() and not torch.equal(row.to(tensor.dtype), tensor)
            for row, tensor in zip(mixed, tensors, strict=True)
        )
        return tensors if rounded else mixed
    stacked: torch.Tensor = default_collate(tensors)
    return stacked


def _as_tensor(array: Any) -> Any:
    """Return a NumPy array or number as a tensor; as it is if torch has no such type."""
    array = np.asarray(array)
    if array.dtype.itemsize > (8 if array.dtype.kind == "f" else 16):
        return array
    # torch takes neither foreign byte order nor negative strides, and warns about read-only memory
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if not array.flags.writeable or min(array.strides, default=0) < 0:
        array = array.copy()
    return torch.as_tensor(array, device="cpu")


def _is_numeric_array(target: Any) -> bool:
    return isinstance(target, np.ndarray | np.number | np.bool_) and target.dtype.kind in "biufc"


def _same_integers(numbers: list[Any], stacked: list[float]) -> bool:
    return all(isinstance(one, float) or one == other for one, other in zip(numbers, stacked, strict=True))


def _is_number(target: Any) -> bool:
    return isinstance(target, int | float) and not isinstance(target, bool)


def _is_id(entry: Any) -> bool:
    is_number = isinstance(entry, int | np.integer) and not isinstance(entry, bool)
    return is_number or (isinstance(entry, torch.Tensor) and entry.dim() == 0 and not entry.is_floating_point())


def is_of_fields(clip: Clip) -> bool:
    """Return True if a clip's target is fields of its own together, as that of a dict without a target by name."""
    target, fields = clip.target, clip.fields
    return isinstance(target, dict) and all(name in fields and fields[name] is target[name] for name in target)


def with_target_field(index: int, clip: Clip, name: str) -> Clip:
    """Make the field of that name a clip's target; the target that it had becomes the field "target".

    Where that target is a dict with the name, as in (waveform, rate, {"sentence": ...}), its other entries are fields.
    """
    if name not in clip.fields and isinstance(clip.target, Mapping) and name in clip.target:
        inner = {other: value for other, value in clip.target.items() if other != name}
        own = {other: (value, inner.pop(other)) if other in inner else value for other, value in clip.fields.items()}
        return clip._replace(target=clip.target[name], fields={**own, **inner})
    if name not in clip.fields:
        if name in TARGET_NAMES and clip.target is not None:
            return clip
        raise ValueError(
            f"target_field={name!r} is not an entry of clip {index}, which has {list(clip.fields)}; give one of them, "
            "leave out target_field= if the item's target is known by its name or place, or name the entries of a "
            "tuple: let the dataset yield a dict"
        )
    fields = {other: value for other, value in clip.fields.items() if other != name}
    if clip.target is not None and not is_of_fields(clip):
        fields["target"] = (fields["target"], clip.target) if "target" in fields else clip.target
    return clip._replace(target=clip.fields[name], fields=fields)
