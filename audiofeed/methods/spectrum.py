"""From the real and imaginary parts of a spectrum to magnitudes and powers, safe to differentiate at silence."""

from __future__ import annotations

import torch

from audiofeed.parallel.observed import observed


def squared_magnitude(spectrum: torch.Tensor) -> torch.Tensor:
    """Compute the squared magnitude of a complex spectrum tensor, re^2 + im^2, in new memory.

    The square is one pass over the pairs, and what comes back through `unbind` is stacked once. The gradients of
    `.real` and `.imag` would each be a spectrum of zeros with one part written in, and be added.

    >>> squared_magnitude(torch.tensor([3 + 4j])).tolist()
    [25.0]
    """
    return torch.add(*torch.view_as_real(spectrum.resolve_conj()).square().unbind(-1))


def squared_magnitude_into(out: torch.Tensor, spectrum: torch.Tensor) -> torch.Tensor:
    """Write the squared magnitude of a complex spectrum tensor, re^2 + im^2.

    The caller owns the spectrum and no longer needs it: the squares are taken in place.
    """
    parts = torch.view_as_real(spectrum)
    parts.mul_(parts)
    return torch.add(parts[..., 0], parts[..., 1], out=out)


def may_overwrite(squared: torch.Tensor) -> bool:
    """Return whether values of a method, such as the squares of a spectrum, may be overwritten: nothing follows them.

    >>> may_overwrite(torch.ones(2)), may_overwrite(torch.ones(2, requires_grad=True))
    (True, False)
    """
    return not squared.requires_grad and observed(squared) is None


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
        squared = squared.add_(root_offset) if in_place else squared + root_offset
    if power == 2.0:
        return squared
    if in_place:
        return squared.sqrt_() if power == 1.0 else squared.pow_(power / 2)
    present = squared > 0
    safe = torch.where(present, squared, torch.ones_like(squared))
    raised = safe.sqrt() if power == 1.0 else safe.pow(power / 2)
    return torch.where(present, raised, torch.zeros_like(raised))
