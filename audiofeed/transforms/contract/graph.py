"""Whether autograd or a compiler has to follow what a module computes."""

from __future__ import annotations

from typing import NoReturn

import torch
from torch import nn

from audiofeed.parallel.observed import observed


def refuse_script(self: nn.Module) -> NoReturn:
    """Refuse to compile a transform module by torch.jit.script, which asks each module for a form that it can compile.

    Raises:
        TypeError: Always: a transform chooses its method by values that TorchScript's language cannot hold.
    """
    name = type(self).__name__
    raise TypeError(
        f"{name} cannot be compiled by torch.jit.script; use torch.jit.trace with an example batch, "
        "torch.export.export or torch.compile, or leave it out of the scripted model and give that the features"
    )


def needs_graph(module: nn.Module, x: torch.Tensor) -> bool:
    """Return True if a graph is needed: autograd or a compiler must follow a transform module's work on `x`.

    It is needed also where something else observes each operation (a trace, vmap, a dispatch mode), which cannot follow
    memory that is written in place, and on the meta device, where there are shapes and no values.
    """
    if observed(x) is not None or x.device.type == "meta":
        return True
    return torch.is_grad_enabled() and (x.requires_grad or _trains(module))


def _trains(module: nn.Module) -> bool:
    """Return whether a transform module has a parameter that trains; what `parameters()` tells, in less time."""
    for parameter in module._parameters.values():
        if parameter is not None and parameter.requires_grad:
            return True
    return any(_trains(child) for child in module._modules.values() if child is not None)
