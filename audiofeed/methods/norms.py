"""Vectors scaled to norm 1, and quotients that are finite where there is nothing to divide by."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from audiofeed.methods.spectrum import raise_power
from audiofeed.parallel.launches import launches


def divided(values: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    """Divide tensors by their norm, or leave them as they are if it is too small to divide by.

    That is a size below the smallest normal number.

    The same threshold and the same answer as `librosa.util.normalize`; the gradient is finite there too.

    >>> divided(torch.tensor([2.0, 0.0]), torch.tensor([4.0, 0.0])).tolist()
    [0.5, 0.0]
    """
    tiny = torch.finfo(size.dtype).tiny
    if launches(size):
        # in one launch: what is not above the number before the smallest normal one is 1
        return values / F.threshold(size, tiny * (1.0 - torch.finfo(size.dtype).eps), 1.0)
    return values / size.masked_fill(size < tiny, 1.0)


def normalized(values: torch.Tensor, norm: float | None, dim: int) -> torch.Tensor:
    """Scale vectors along a dimension of a tensor to p-norm 1, and leave those of zeros alone.

    >>> normalized(torch.tensor([3.0, -4.0]), 2.0, 0).tolist()
    [0.6000000238418579, -0.800000011920929]
    """
    if norm is None:
        return values
    if norm in (1, math.inf) and launches(values) and not values.is_complex():
        size = torch.linalg.vector_norm(values, norm, dim, keepdim=True)
    elif norm == math.inf:
        size = values.abs().amax(dim, keepdim=True)
    elif norm == 1:
        size = values.abs().sum(dim, keepdim=True)
    else:
        # |x|^p from x^2, and the p-th root of the sum: both with gradient 0 at 0
        size = raise_power(raise_power(values.square(), norm).sum(dim, keepdim=True), 2.0 / norm)
    return divided(values, size)
