"""Collate targets of any structure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import default_collate

from audiofeed.feed.tensor_trees import is_named_tuple


def collate_targets(targets: list[Any]) -> Any:
    """Stack the targets of a batch as torch's `default_collate` does, or keep them as a list.

    They are kept as a list if they do not stack.

    Numbers, tensors and NumPy arrays of equal shape stack. Tuples are collated field by field and dicts key by key.
    Differences from `default_collate`: strings, None, Python lists (token sequences are never transposed, whatever
    their lengths) and tensors of unequal shape stay a list with one entry per clip, and a tuple stays a tuple.

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
        return type(first)(*fields) if is_named_tuple(first) else tuple(fields)
    return targets


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
