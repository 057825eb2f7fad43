"""From the real and imaginary parts of a spectrum to magnitudes and powers, safe to differentiate at silence."""

from __future__ import annotations

import torch


def squared_magnitude_into(out: torch.Tensor, spectrum: torch.Tensor) -> torch.Tensor:
    """Write the squared magnitude of a complex spectrum tensor, re^2 + im^2.

    The caller owns the spectrum and no longer needs it: the squares are taken in place.
    """
    parts = torch.view_as_real(spectrum)
    parts.mul_(parts)
    return torch.add(parts[..., 0], parts[..., 1], out=out)


def raise_power(squared: torch.Tensor, power: float, root_offset: float = 0.0) -> torch.Tensor:
    """Compute the magnitude of a spectrum to a power from its square, with gradient 0 at silence.

    It is |z|^power from |z|^2, with gradient 0 (not NaN) where z is 0; `root_offset` is added to |z|^2 beforehand.
    Without a gradient the squares may be overwritten.

    >>> raise_power(torch.tensor([0.0, 9.0]), 1.0).tolist()
    [0.0, 3.0]
    """
    if root_offset:
        in_place = not squared.requires_grad and not torch.compiler.is_compiling()
        squared = squared.add_(root_offset) if in_place else squared + root_offset
    if power == 2.0:
        return squared
    if not squared.requires_grad and not torch.compiler.is_compiling():
        return squared.sqrt_() if power == 1.0 else squared.pow_(power / 2)
    present = squared > 0
    safe = torch.where(present, squared, torch.ones_like(squared))
    raised = safe.sqrt() if power == 1.0 else safe.pow(power / 2)
    return torch.where(present, raised, torch.zeros_like(raised))
