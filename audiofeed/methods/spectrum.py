"""From the real and imaginary parts of a spectrum to magnitudes and powers, safe to differentiate at silence."""

from __future__ import annotations

from typing import Any

import torch

from audiofeed.parallel.exports import plus
from audiofeed.parallel.launches import launches
from audiofeed.parallel.observed import observed


class _SummedSquares(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, parts: torch.Tensor, dim: int) -> torch.Tensor:
        ctx.save_for_backward(parts)
        ctx.dim = dim
        return _summed(parts, dim)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        (parts,) = ctx.saved_tensors
        return parts * (2 * grad).unsqueeze(ctx.dim), None


def _summed(parts: torch.Tensor, dim: int) -> torch.Tensor:
    """Sum the squares of the two parts of a spectrum, which nothing follows."""
    if launches(parts):
        return torch.add(*parts.square().unbind(dim))
    first, second = parts.unbind(dim)
    # in memory of half the size, which is taken over more often; a sum over two is not vectorized
    return first.square().add_(second.square())


def summed_squares(parts: torch.Tensor, dim: int) -> torch.Tensor:
    """Compute the squared magnitude of a spectrum from its real and imaginary parts along a dimension, in new memory.

    Its gradient is one pass over the parts. Autograd's own would take three to five: through slices, or `.real` and
    `.imag`, each part's gradient is a spectrum of zeros with that part written in.

    >>> summed_squares(torch.tensor([[3.0, 4.0]]), -1).tolist()
    [25.0]
    """
    if observed(parts) is not None:
        return torch.add(*parts.square().unbind(dim))
    result: torch.Tensor = _SummedSquares.apply(parts, dim) if parts.requires_grad else _summed(parts, dim)
    return result


def squared_magnitude(spectrum: torch.Tensor) -> torch.Tensor:
    """Compute the squared magnitude of a complex spectrum tensor, re^2 + im^2, in new memory.

    >>> squared_magnitude(torch.tensor([3 + 4j])).tolist()
    [25.0]
    """
    return summed_squares(torch.view_as_real(spectrum.resolve_conj()), -1)


def squared_magnitude_into(out: torch.Tensor, spectrum: torch.Tensor) -> torch.Tensor:
    """Write the squared magnitude of a complex spectrum tensor, re^2 + im^2.

    The caller owns the spectrum and no longer needs it: the squares are taken in place.
    """
    parts = torch.view_as_real(spectrum)
    parts.mul_(parts)
    return torch.add(parts[..., 0], parts[..., 1], out=out)


def may_overwrite(values: torch.Tensor) -> bool:
    """Return whether values of a method, such as the squares of a spectrum, may be overwritten: nothing follows them.

    >>> may_overwrite(torch.ones(2)), may_overwrite(torch.ones(2, requires_grad=True))
    (True, False)
    """
    return not values.requires_grad and observed(values) is None


def raise_power(squared: torch.Tensor, power: float, root_offset: float = 0.0) -> torch.Tensor:
    """Compute the magnitude of a spectrum to a power from its square, with gradient 0 at silence.

    It is |z|^power from |z|^2, with gradient 0 (not NaN) where z is 0; `root_offset` is added to |z|^2 beforehand.
    Where nothing follows what is computed, neither autograd nor an observer such as vmap or a derivative forward, the
    squares are overwritten.

    >>> raise_power(torch.tensor([0.0, 9.0]), 1.0).tolist()
    [0.0, 3.0]
    """
    in_place = (power != 2.0 or root_offset != 0.0) and may_overwrite(squared)
    if root_offset:
        squared = squared.add_(root_offset) if in_place else plus(squared, root_offset)
    if power == 2.0:
        return squared
    if in_place:
        return squared.sqrt_() if power == 1.0 else squared.pow_(power / 2)
    present = squared > 0
    safe = torch.where(present, squared, torch.ones_like(squared))
    raised = safe.sqrt() if power == 1.0 else safe.pow(power / 2)
    return torch.where(present, raised, torch.zeros_like(raised))
