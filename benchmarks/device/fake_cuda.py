"""A CUDA device that nobody has: tensors without values on it, and notes of what reaches it.

The tests and `benchmarks/kernels/launches.py` ask it which operations a call starts on the device, how many bytes they
read and write by their shapes, and where the host would wait. It needs torch and no card.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import audiofeed

ROOT = Path(audiofeed.__file__).resolve().parent
READS = ("tolist", "item", "__bool__", "__int__", "__float__", "__index__", "cpu", "numpy", "nonzero", "equal")
# file and function that bring a module's constants to the device once
KEEPS = ("transforms/contract/filters.py", "_kept")
NOT_LAUNCHES = (
    "view", "_unsafe_view", "reshape", "expand", "slice", "select", "unsqueeze", "squeeze", "permute", "transpose", "t",
    "detach", "alias", "as_strided", "unfold", "split", "split_with_sizes", "chunk", "unbind", "diagonal", "empty",
    "empty_like", "empty_strided", "new_empty", "new_empty_strided", "view_as_real", "view_as_complex", "real", "imag",
    "conj", "_conj", "_reshape_alias", "sym_size", "movedim", "lift_fresh", "resolve_conj", "resolve_neg", "narrow",
    "_neg_view", "is_same_size", "device",
)  # fmt: skip


class Notes:
    """What was seen on the device.

    Args:
        waits: how often the host would wait for the device, by what it asked and where.
        operations: the operations that would start on the device, in order, each with its line; views and allocations
            are left out.
        copies: those of them that bring tensors of the host to the device.
        kept: what brings filters and other constants of a module to the device, which it keeps from the first call on:
            no operation of a later call, but with tensors without values they come anew in each.
        read, written: bytes that the operations read and write, by their shapes: each tensor once an operation, a
            value that a view has several times once.
    """

    def __init__(self) -> None:
        self.waits: Counter[str] = Counter()
        self.operations: list[str] = []
        self.kept: Counter[str] = Counter()
        self.copies = 0
        self.read = self.written = 0

    @property
    def launches(self) -> int:
        """How many operations would start on the device."""
        return len(self.operations) - self.copies

    def wait(self, what: str) -> None:
        """Keep a wait with the innermost line of the library."""
        self.waits[f"{what} at {_innermost()[0]}"] += 1

    def operation(self, name: str, given: list[torch.Tensor], made: list[torch.Tensor]) -> None:
        """Keep an operation of the device, with the traffic that its shapes tell of."""
        place, function = _innermost()
        if (place.rpartition(":")[0], function) == KEEPS:
            self.kept[f"{name} at {place}"] += 1
            return
        self.operations.append(f"{name} at {place}")
        self.copies += any(leaf.device.type == "cpu" and leaf.dim() > 0 for leaf in given)
        self.read += sum(bytes_of(leaf) for leaf in given)
        self.written += sum(bytes_of(leaf) for leaf in made)


def _innermost() -> tuple[str, str]:
    """The innermost line of the library that is being run, and its function."""
    frame = sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT):
            return f"{path.relative_to(ROOT)}:{frame.f_lineno}", frame.f_code.co_name
        frame = frame.f_back
    return "the caller", ""


def bytes_of(x: torch.Tensor) -> int:
    """Bytes of the device's memory that a tensor covers; a value that a view has several times counts once."""
    if x.device.type != "cuda":
        return 0
    values = math.prod(size for size, stride in zip(x.shape, x.stride(), strict=True) if stride != 0)
    return min(values * x.element_size(), x.untyped_storage().nbytes())


class _Calls(TorchFunctionMode):
    """Calls from Python that read values of the device, or bring values of the host to it."""

    def __init__(self, notes: Notes) -> None:
        super().__init__()
        self.notes = notes

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        first = args[0] if args else None
        there = isinstance(first, torch.Tensor) and first.device.type == "cuda"
        if there and name in READS:
            self.notes.wait(name)
        elif there and name in ("__getitem__", "__setitem__") and _from_the_host(args[1]):
            self.notes.wait("an index that lies on the host")
        elif name in ("tensor", "as_tensor") and not isinstance(first, torch.Tensor):
            if torch.device(kwargs.get("device") or "cpu").type == "cuda":
                self.notes.wait("a constant of the host")
        elif name in ("to", "cuda", "type_as", "new_tensor") and isinstance(first, torch.Tensor):
            found = func(*args, **kwargs)
            if first.device.type != found.device.type:
                self.notes.wait(f"moved from {first.device.type} to {found.device.type}")
            return found
        return func(*args, **kwargs)


def _from_the_host(index: Any) -> bool:
    """Whether part of an index has to be moved to the device, or read from it: lists, host's tensors, masks."""
    parts = index if isinstance(index, tuple) else (index,)
    for part in parts:
        if isinstance(part, list):
            return True
        if isinstance(part, torch.Tensor) and (part.device.type == "cpu" or part.dtype in (torch.bool, torch.uint8)):
            return True
    return False


class _Operations(TorchDispatchMode):
    """Operations as they reach the device."""

    def __init__(self, notes: Notes) -> None:
        super().__init__()
        self.notes = notes

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        made = [leaf for leaf in tree_leaves(found) if isinstance(leaf, torch.Tensor)]
        if any(leaf.device.type == "cuda" for leaf in (*given, *made)):
            name = func.overloadpacket.__name__
            if name not in NOT_LAUNCHES:
                self.notes.operation(name, _read_by(name, given), made)
            # numbers travel with the launch, arrays do not
            if any(leaf.device.type == "cpu" and leaf.dim() > 0 for leaf in (*given, *made)):
                self.notes.wait(f"{name} of tensors of both")
        return found


def _read_by(name: str, given: list[torch.Tensor]) -> list[torch.Tensor]:
    """The tensors that an operation reads: not the one that it fills or copies to, which comes first."""
    return given[1:] if name in ("copy_", "fill_", "zero_") else given


def on_cuda(module: torch.nn.Module) -> torch.nn.Module:
    """Move a module to the device: new parameters and buffers, as `Module.to` cannot set tensors without values."""
    for part in module.modules():
        for name, held in part._parameters.items():
            if held is not None:
                there = torch.empty(held.shape, dtype=held.dtype, device="cuda")
                part._parameters[name] = torch.nn.Parameter(there, requires_grad=held.requires_grad)
        for name, held in part._buffers.items():
            if held is not None:
                part._buffers[name] = held.to("cuda")
    return module


@contextmanager
def fake_cuda() -> Iterator[None]:
    """Tensors made in the body have no values, and may be on a CUDA device."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


@contextmanager
def noted() -> Iterator[Notes]:
    """Notes of what the body does on the device."""
    notes = Notes()
    with _Operations(notes), _Calls(notes):
        yield notes
