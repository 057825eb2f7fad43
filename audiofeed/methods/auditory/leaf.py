"""Gabor filters and Gaussian low-passes that train: `signal.auditory.leaf` in torch."""

from __future__ import annotations

import math

import torch


def gabor_filters(center: torch.Tensor, deviation: torch.Tensor, win_length: int) -> torch.Tensor:
    """Compute LEAF's Gabor filters in torch from trained center frequencies and standard deviations.

    Center frequencies are in cycles per sample, standard deviations in samples.

    Shape: (n,), (n,) -> (2, n, win_length), the real parts, then the imaginary.

    >>> gabor_filters(torch.tensor([0.1, 0.2]), torch.tensor([5.0, 5.0]), 31).shape
    torch.Size([2, 2, 31])
    """
    t, center, deviation = _taps(win_length, center), center[:, None], deviation[:, None]
    envelope = (-0.5 * (t / deviation).square()).exp() / (math.sqrt(2 * math.pi) * deviation)
    phase = 2 * math.pi * center * t
    return torch.stack([phase.cos() * envelope, phase.sin() * envelope])


def gaussian_pools(width: torch.Tensor, win_length: int) -> torch.Tensor:
    """Compute LEAF's Gaussian low-pass filters in torch from trained standard deviations.

    Standard deviations are in units of half the length of the low-passes.

    Shape: (n,) -> (n, win_length).

    >>> gaussian_pools(torch.tensor([0.4]), 3).mul(1000).round().tolist()
    [[44.0, 1000.0, 44.0]]
    """
    half = _taps(win_length, width) / ((win_length - 1) / 2)
    return (-0.5 * (half / width[:, None]).square()).exp()


def _taps(win_length: int, like: torch.Tensor) -> torch.Tensor:
    """Return the position of each tap of LEAF's filters, counted from the middle one, as a tensor.

    Shape: (win_length,).
    """
    return torch.arange(win_length, dtype=like.dtype, device=like.device) - (win_length - 1) / 2
