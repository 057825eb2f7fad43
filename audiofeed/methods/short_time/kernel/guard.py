"""Tensors that a kernel may read: samples in this machine's memory that nothing in torch observes."""

from __future__ import annotations

import torch

from audiofeed.parallel.observed import observed


def watched(x: torch.Tensor) -> str | None:
    """Guard a kernel against a tensor that torch observes: return the reason not to read it, or None.

    >>> watched(torch.zeros(3)), watched(torch.zeros(3, dtype=torch.float64))
    (None, 'float64')
    """
    if x.dtype not in (torch.float32, torch.int16):
        return str(x.dtype).removeprefix("torch.")
    if x.device.type != "cpu":
        return f"a tensor on {x.device.type}"
    return observed(x)
