"""Running sums of tensors in a set order, where torch is to compute the same bits in every run.

A GPU's cumsum of floats adds in parallel in whatever order comes first, so torch refuses it, or warns of it, after
`torch.use_deterministic_algorithms(True)`, which is `Trainer(deterministic=True)` of Lightning.
"""

from __future__ import annotations

import torch


def running_sums(x: torch.Tensor, dim: int = -1) -> torch.Tensor:
    """Compute running sums along one dimension, in an order of their own where torch asks for the same bits.

    >>> running_sums(torch.tensor([1.0, 2.0, 3.0]))
    tensor([1., 3., 6.])
    """
    return by_doubling(x, dim) if _has_no_order(x) else x.cumsum(dim)


def by_doubling(x: torch.Tensor, dim: int = -1) -> torch.Tensor:
    """Compute running sums in parallel, each the sum of two of half as many values (Hillis and Steele 1986).

    It is as many operations as the binary logarithm of the size, and its gradient is sums alone.

    >>> by_doubling(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
    tensor([ 1.,  3.,  6., 10., 15.])
    """
    size, step = x.shape[dim], 1
    while step < size:
        moved = x.narrow(dim, step, size - step) + x.narrow(dim, 0, size - step)
        x = torch.cat([x.narrow(dim, 0, step), moved], dim)
        step *= 2
    return x


def _has_no_order(x: torch.Tensor) -> bool:
    """Return whether torch refuses a running sum of a tensor, as it may differ from run to run."""
    if x.device.type == "cpu" or not (x.is_floating_point() or x.is_complex()):
        return False
    return torch.are_deterministic_algorithms_enabled()
