"""Tensors of which torch observes what is computed: a trace, a functorch transform, a dispatch mode.

All but the first is asked of private parts of torch, here alone. Where a version of torch has one of them no longer,
tensors count as observed.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from operator import attrgetter

import torch

# names of private parts
_PRIVATE = (
    "_C._functorch.is_functorch_wrapped_tensor",
    "_C._len_torch_dispatch_stack",
    "autograd.forward_ad._current_level",
)


_PLAIN = (torch.Tensor, torch.nn.Parameter)


@functools.cache
def _warn_of_missing(name: str) -> None:
    warnings.warn(
        f"torch {torch.__version__} has no torch.{name}, by which audiofeed knows that nothing observes a tensor; "
        "features are computed by torch's own operations and threads instead, which is slower",
        RuntimeWarning,
        stacklevel=2,
    )


def observed(*tensors: torch.Tensor) -> str | None:
    """Return what observes the operations on a tensor, or on several, beside autograd, or None.

    >>> observed(torch.zeros(3)) is None
    True
    """
    for x in tensors:
        if type(x) not in _PLAIN or x.layout != torch.strided:
            return f"a {type(x).__name__} of layout {x.layout}"
    if torch.compiler.is_compiling():
        return "a compiler"
    if torch.jit.is_tracing():
        return "a trace"
    try:
        is_wrapped: Callable[[torch.Tensor], bool] = torch._C._functorch.is_functorch_wrapped_tensor
        n_modes: Callable[[], int] = torch._C._len_torch_dispatch_stack
        level: int = torch.autograd.forward_ad._current_level
    except AttributeError:
        return _missing()
    if any(map(is_wrapped, tensors)):
        return "a functorch transform"
    if n_modes():
        return "a dispatch mode"
    return "forward-mode differentiation" if level >= 0 else None


def is_exporting() -> bool:
    """Return whether `torch.export` records what is computed, not `torch.compile`.

    `torch.compiler.is_exporting()` is True under `torch.compile`, too, and not there before torch 2.7. Without the flag
    behind it an export with `strict=True` is taken for a compiler.

    >>> is_exporting()
    False
    """
    flag = getattr(torch.compiler, "_is_exporting_flag", None)
    if flag is None:
        asked = getattr(torch.compiler, "is_exporting", None)
        return asked is not None and asked() and not torch.compiler.is_dynamo_compiling()
    return bool(flag)


def in_memory(x: torch.Tensor) -> bool:
    """Return whether a tensor is a plain one with memory of its own, of which nothing observes what is computed.

    >>> in_memory(torch.zeros(3))
    True
    """
    if observed(x) is not None:
        return False
    try:  # the vmap of `torch.autograd.grad(is_grads_batched=True)` is not functorch's, and its tensors have none
        x.data_ptr()
    except RuntimeError:
        return False
    return True


def beside_modes() -> AbstractContextManager[object]:
    """Return a context in which no dispatch mode observes what is computed, for values that the host needs.

    Where torch has no such context, a mode goes on observing.

    >>> with beside_modes():
    ...     observed(torch.zeros(3)) is None
    True
    """
    try:
        from torch.utils._python_dispatch import _disable_current_modes
    except ImportError:
        return nullcontext()
    without: AbstractContextManager[object] = _disable_current_modes()
    return without


def plain_size(size: int) -> int:
    """Return a size of a tensor as a number where a trace observes it, for what only a number can tell; else as it is.

    >>> plain_size(torch.zeros(2, 3).shape[1])
    3
    """
    if type(size) is int:
        return size
    return int(size) if not torch.compiler.is_compiling() and torch.jit.is_tracing() else size


def as_long_as_traced(rows: torch.Tensor) -> torch.Tensor:
    """Return rows that are traced such that the trace refuses rows of another length; others as they are.

    A trace keeps numbers that follow from the length (how many blocks there are, how long they are) as constants.

    >>> as_long_as_traced(torch.zeros(2, 3)).shape
    torch.Size([2, 3])
    """
    if type(rows.shape[-1]) is int or torch.compiler.is_compiling() or not torch.jit.is_tracing():
        return rows
    return rows.unflatten(-1, (int(rows.shape[-1]),))


def refuse_trace(name: str, why: str) -> None:
    """Raise a NotImplementedError if a transform of this name is traced or exported, which its work does not bear.

    >>> refuse_trace("InverseMel", "its steps depend on the values")
    """
    if is_exporting():
        raise NotImplementedError(
            f"{name} cannot be exported by torch.export or torch.onnx.export: {why}; call the module as it is, in "
            "front of the exported part of the model"
        )
    if not torch.compiler.is_compiling() and torch.jit.is_tracing():
        raise NotImplementedError(
            f"{name} cannot be traced by torch.jit.trace or torch.onnx.export(dynamo=False): {why}, and a trace would "
            "repeat what it saw; call the module as it is, outside of the traced part of the model"
        )


def _missing() -> str:
    for name in _PRIVATE:
        try:
            attrgetter(name)(torch)
        except AttributeError:
            _warn_of_missing(name)
            return f"torch {torch.__version__} has no torch.{name}"
    return "a private part of torch is missing"
