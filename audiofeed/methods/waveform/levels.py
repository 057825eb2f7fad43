"""The gain that brings a waveform to a level: by its peak, or by its root mean square."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from audiofeed.methods.standardization import sum_of_squares


def peak_of_clip(clip: torch.Tensor, dims: Sequence[int]) -> torch.Tensor:
    """Return the largest magnitude of one clip's waveform without a graph, over both dimensions or the last.

    >>> peak_of_clip(torch.tensor([[0.5, -2.0], [1.0, 0.0]]), (-1,)).tolist()
    [[2.0], [1.0]]
    """
    # in one pass, where the absolute values would take memory of their own
    found = torch.aminmax(clip) if len(dims) > 1 else torch.aminmax(clip, dim=-1, keepdim=True)
    return torch.maximum(-found.min, found.max)


def peak(clips: torch.Tensor, dims: Sequence[int]) -> torch.Tensor:
    """Compute the largest magnitude of each waveform of a batch, with a gradient.

    Shape: (clips, channels, time), 0 past the ends -> (clips, 1 or channels, 1).
    """
    return clips.abs().amax(dim=tuple(dims), keepdim=True)


def rms_of_clip(clip: torch.Tensor, dims: Sequence[int], floor: float) -> torch.Tensor:
    """Return the root mean square of one clip's waveform without a graph, `floor` at least.

    >>> rms_of_clip(torch.tensor([[3.0, -4.0, 0.0, 0.0]]), (-1,), 1e-8).tolist()
    [[2.5]]
    """
    count = math.prod([clip.shape[dim] for dim in dims])
    return (sum_of_squares(clip, dims) / count).sqrt_().clamp_(min=floor)


def rms(clips: torch.Tensor, lengths: torch.Tensor | None, dims: Sequence[int], floor: float) -> torch.Tensor:
    """Compute the root mean square of each waveform of a batch, `floor` at least, with a finite gradient.

    Shape: (clips, channels, time), 0 past lengths (clips,) -> (clips, 1 or channels, 1).
    """
    own = clips.shape[-1] if lengths is None else lengths.view(-1, 1, 1)
    count = own * math.prod([clips.shape[dim] for dim in dims if dim != -1])
    squares = clips.square().sum(dim=tuple(dims), keepdim=True) / count
    # the root of the smallest number has a gradient, that of 0 has none
    return squares.clamp(min=torch.finfo(clips.dtype).tiny).sqrt().clamp(min=floor)
