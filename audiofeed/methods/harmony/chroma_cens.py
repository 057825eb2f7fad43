"""Chroma as statistics of energy: each class in few steps, and smoothed over frames."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from audiofeed.methods.precision import conv1d


def quantized(shares: torch.Tensor, steps: Sequence[float]) -> torch.Tensor:
    """Quantize chroma tensors in few steps for CENS (chroma energy normalized statistics).

    The result is the part of `steps` that each value exceeds.

    >>> quantized(torch.tensor([0.05, 0.3, 0.9]), (0.4, 0.2, 0.1, 0.05)).tolist()
    [0.0, 0.75, 1.0]
    """
    exceeded = (shares > step for step in steps)
    return torch.stack(tuple(exceeded)).sum(0).to(shares.dtype) / len(steps)


def smoothed(features: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    """Smooth batched CENS chroma over frames by a window, with silence around each row.

    Every row is convolved with the window.

    The middle of an even window is the later of the two samples there, as in `scipy.ndimage.convolve`.

    Shape: (rows, bins, frames), window (n,) -> (rows, bins, frames).

    >>> smoothed(torch.tensor([[[0.0, 1.0, 0.0, 0.0]]]), torch.tensor([1.0, 2.0, 3.0, 4.0])).tolist()
    [[[2.0, 3.0, 4.0, 0.0]]]
    """
    n = window.shape[0]
    padded = F.pad(features.flatten(0, 1), (n - 1 - n // 2, n // 2))
    return conv1d(padded, window.flip(0)[None], 1)[:, 0].view(features.shape)
