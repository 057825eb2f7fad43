"""Trees of tensors: nested dicts, lists and tuples, mapped, moved and described as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

_SHOWN = 12  # entries of a dict or a tuple in a description


def is_named_tuple(value: Any) -> bool:
    """Return True for an instance of a `namedtuple` or `NamedTuple` class in a tree of a batch's tensors.

    >>> is_named_tuple((1, 2))
    False
    """
    return isinstance(value, tuple) and hasattr(type(value), "_fields")


def map_tensors(tree: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Apply a function to each tensor of a batch's tree of dicts, lists and tuples, and keep everything else.

    Args:
        tree: Tensors in nested dicts, lists and tuples.
        change: Returns the new tensor.

    Returns:
        A tree of the same structure.

    >>> map_tensors({"a": [torch.ones(1), "text"]}, torch.neg)
    {'a': [tensor([-1.]), 'text']}
    """
    if isinstance(tree, torch.Tensor):
        return change(tree)
    if isinstance(tree, dict):
        return {name: map_tensors(entry, change) for name, entry in tree.items()}
    if is_named_tuple(tree):
        return type(tree)(*(map_tensors(entry, change) for entry in tree))
    if isinstance(tree, list | tuple):
        return type(tree)(map_tensors(entry, change) for entry in tree)
    return tree


def is_of_tensors(tree: Any) -> bool:
    """Return True for a batch's tree that has tensors, and nothing else, in its dicts, lists and tuples.

    >>> is_of_tensors({"a": torch.ones(1)}), is_of_tensors(["text"]), is_of_tensors({})
    (True, False, False)
    """
    if isinstance(tree, Mapping | list | tuple):
        entries = list(tree.values()) if isinstance(tree, Mapping) else tree
        return bool(entries) and all(map(is_of_tensors, entries))
    return isinstance(tree, torch.Tensor)


def tensors_in(tree: Any) -> Iterator[torch.Tensor]:
    """Yield each tensor of a batch's tree of dicts, lists and tuples.

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
    """Move each tensor of a batch's tree to a device.

    Args:
        tree: Tensors in nested dicts, lists and tuples.
        device: The target device.
        non_blocking: Return before copies to an accelerator are done. A copy to the CPU always blocks, because nothing
            would say when its values are there.

    Returns:
        A tree of the same structure; float64 becomes float32 on MPS, which has no float64.

    >>> to_device([torch.ones(2), "text"], torch.device("meta"))
    [tensor(..., device='meta', size=(2,)), 'text']
    """

    def move(tensor: torch.Tensor) -> torch.Tensor:
        # Python floats stack to float64.
        dtype = torch.float32 if device.type == "mps" and tensor.dtype == torch.float64 else tensor.dtype
        return tensor.to(device, dtype, non_blocking=non_blocking and device.type != "cpu")

    return map_tensors(tree, move)


def pin(tree: Any) -> Any:
    """Copy each CPU tensor of a batch's tree into page-locked memory."""
    return map_tensors(tree, lambda tensor: tensor.pin_memory() if tensor.device.type == "cpu" else tensor)


def describe(value: Any, *, device: bool = False) -> str:
    """Describe a batch's tree of tensors by types and shapes, in one line and without its values.

    Args:
        value: Anything.
        device: Say on which device each tensor is.

    >>> describe((torch.zeros(2, 5), "dog"))
    'tuple(float32 tensor (2, 5), str)'
    >>> describe({"a": torch.zeros(2, 3), "b": ["x", "y"]}, device=True)
    '{a: float32 (2, 3) on cpu, b: list of 2 str}'
    """
    if isinstance(value, torch.Tensor):
        dtype, shape = str(value.dtype).removeprefix("torch."), tuple(value.shape)
        return f"{dtype} {shape} on {value.device}" if device else f"{dtype} tensor {shape}"
    if isinstance(value, np.ndarray):
        return f"{value.dtype} array {value.shape}"
    if isinstance(value, Mapping):
        entries = [f"{name}: {describe(value[name], device=device)}" for name in list(value)[:_SHOWN]]
        return "{" + ", ".join(entries + ["..."] * (len(value) > _SHOWN)) + "}"
    if isinstance(value, list) and len(value) != 1:
        kinds = {describe(entry, device=device) for entry in value}
        if len(kinds) <= 1:
            return " ".join([f"list of {len(value)}", *kinds])
    if isinstance(value, list | tuple):
        entries = [describe(entry, device=device) for entry in value[:_SHOWN]]
        return f"{type(value).__name__}({', '.join(entries + ['...'] * (len(value) > _SHOWN))})"
    return "None" if value is None else type(value).__name__
