"""Targets of any structure: collated in the worker, moved and pinned as one tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import default_collate


def collate_targets(targets: list[Any]) -> Any:
    """Stack targets as torch's default_collate does, and keep what does not stack as a list.

    Numbers, tensors and NumPy arrays of equal shape stack. Tuples collate field by field and dicts key by key. Where it
    differs from default_collate: strings, None, Python lists (token sequences: never transposed, whatever their
    lengths) and tensors of unequal shape stay a list of one entry per clip, and a tuple of fields stays a tuple.

    Args:
        targets: One target per clip.

    >>> collate_targets([1, 2]), collate_targets([[1, 2], [3]]), collate_targets([None, None])
    (tensor([1, 2]), [[1, 2], [3]], None)
    """
    if all(target is None for target in targets):
        return None
    targets = [torch.as_tensor(target, device="cpu") if _is_numeric_array(target) else target for target in targets]
    first = targets[0]
    if all(isinstance(target, torch.Tensor) for target in targets):
        return _stack(targets)
    if all(isinstance(target, bool) for target in targets) or all(_is_number(target) for target in targets):
        # float64 as default_collate gives; the device is named because torch.set_default_device reaches forked workers.
        has_float = any(isinstance(target, float) for target in targets)
        return torch.tensor(targets, dtype=torch.float64 if has_float else None, device="cpu")
    if isinstance(first, Mapping) and all(
        isinstance(target, Mapping) and target.keys() == first.keys() for target in targets
    ):
        return {name: collate_targets([target[name] for target in targets]) for name in first}
    if isinstance(first, tuple) and all(
        type(target) is type(first) and len(target) == len(first) for target in targets
    ):
        fields = [collate_targets(list(field)) for field in zip(*targets, strict=True)]
        return type(first)(*fields) if hasattr(first, "_fields") else tuple(fields)
    return targets


def map_tensors(tree: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Apply a function to each tensor in nested dicts, lists and tuples, and leave everything else as it is.

    >>> map_tensors({"a": [torch.ones(1), "text"]}, torch.neg)
    {'a': [tensor([-1.]), 'text']}
    """
    if isinstance(tree, torch.Tensor):
        return change(tree)
    if isinstance(tree, dict):
        return {name: map_tensors(entry, change) for name, entry in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(map_tensors(entry, change) for entry in tree))
    if isinstance(tree, list | tuple):
        return type(tree)(map_tensors(entry, change) for entry in tree)
    return tree


def tensors_in(tree: Any) -> Iterator[torch.Tensor]:
    """Yield each tensor of a tree.

    >>> len(list(tensors_in([torch.ones(1), {"a": torch.ones(2)}])))
    2
    """
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, dict):
        for entry in tree.values():
            yield from tensors_in(entry)
    elif isinstance(tree, list | tuple):
        for entry in tree:
            yield from tensors_in(entry)


def to_device(tree: Any, device: torch.device, *, non_blocking: bool = False) -> Any:
    """Move each tensor of a tree to a device.

    Args:
        tree: Tensors in nested dicts, lists and tuples.
        device: Where to.
        non_blocking: Do not wait for a copy to an accelerator; copies to the CPU always wait, since nothing would say
            when their numbers are there.
    """

    def move(tensor: torch.Tensor) -> torch.Tensor:
        # MPS has no float64, which is what Python floats stack to.
        dtype = torch.float32 if device.type == "mps" and tensor.dtype == torch.float64 else tensor.dtype
        return tensor.to(device, dtype, non_blocking=non_blocking and device.type != "cpu")

    return map_tensors(tree, move)


def _stack(tensors: list[torch.Tensor]) -> torch.Tensor | list[torch.Tensor]:
    first = tensors[0]
    if any(tensor.layout != torch.strided or tensor.is_nested or tensor.shape != first.shape for tensor in tensors):
        return tensors
    # default_collate stacks into shared memory when it runs in a worker. It takes the first tensor's dtype there.
    dtypes = {tensor.dtype for tensor in tensors}
    if len(dtypes) > 1:
        return torch.stack(tensors)
    stacked: torch.Tensor = default_collate(tensors)
    return stacked


def _is_numeric_array(target: Any) -> bool:
    return isinstance(target, np.ndarray | np.number | np.bool_) and target.dtype.kind in "biufc"


def _is_number(target: Any) -> bool:
    return isinstance(target, int | float) and not isinstance(target, bool)
