"""Values that stay between two bounds whatever an optimizer does to the parameter behind them."""

from __future__ import annotations

import torch


def inside(angle: torch.Tensor, low: torch.Tensor | float, high: torch.Tensor | float) -> torch.Tensor:
    """Return the bounded value of a trainable parameter tensor: low + (high - low) sin(angle)^2.

    It lies between the bounds for every angle, and is smooth. `signal.bounded_parameters` has the inverse.

    A clamp has no gradient outside and a sigmoid none far out, so that one step too large ends the training of the
    value. On a circle there is no far out: wherever a step leads, the gradient there is of the same size as at the
    start, and it is 0 only at the bounds themselves.

    >>> inside(torch.tensor([0.0, torch.pi / 4, 1e6]), 1.0, 3.0).mul(10).round().tolist()
    [10.0, 20.0, 12.0]
    """
    return low + (high - low) * torch.sin(angle).square()
