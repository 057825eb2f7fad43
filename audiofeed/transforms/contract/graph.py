"""Whether autograd or a compiler has to follow what a module computes."""

from __future__ import annotations

import torch
from torch import nn


def needs_graph(module: nn.Module, x: torch.Tensor) -> bool:
    """Return True if a graph is needed: autograd or a compiler must follow a transform module's work on `x`."""
    return torch.compiler.is_compiling() or (
        torch.is_grad_enabled() and (x.requires_grad or any(p.requires_grad for p in module.parameters()))
    )
