"""Tensors of which torch observes what is computed: a trace, a functorch transform, a dispatch mode.

All but the first is asked of private parts of torch, here alone. Where a version of torch has one of them no longer,
tensors count as observed.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from operator import attrgetter

import torch

# names of private parts
_PRIVATE = (
    "_C._functorch.is_functorch_wrapped_tensor",
    "_C._len_torch_dispatch_stack",
    "autograd.forward_ad._current_level",
)


@functools.cache
def _warn_of_missing(name: str) -> None:
    warnings.warn(
        f"torch {torch.__version__} has no torch.{name}, by which audiofeed knows that nothing observes a tensor; "
        "features are computed by torch's own operations and threads instead, which is slower",
        RuntimeWarning,
        stacklevel=2,
    )


def observed(x: torch.Tensor) -> str | None:
    """Return what observes the operations on a tensor beside autograd, or None.

    >>> observed(torch.zeros(3)) is None
    True
    """
    if type(x) not in (torch.Tensor, torch.nn.Parameter) or x.layout != torch.strided:
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
    if is_wrapped(x):
        return "a functorch transform"
    if n_modes():
        return "a dispatch mode"
    return "forward-mode differentiation" if level >= 0 else None


def _missing() -> str:
    for name in _PRIVATE:
        try:
            attrgetter(name)(torch)
        except AttributeError:
            _warn_of_missing(name)
            return f"torch {torch.__version__} has no torch.{name}"
    return "a private part of torch is missing"
