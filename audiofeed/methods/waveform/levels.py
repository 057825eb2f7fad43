"""The gain that brings a waveform to a level: by its peak, or by its root mean square."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from audiofeed.methods.standardization import count_of, sum_of_squares


def peak_without_graph(clips: torch.Tensor, dims: Sequence[int]) -> torch.Tensor:
    """Return the largest magnitude of each waveform of some clips without a graph.

    >>> peak_without_graph(torch.tensor([[0.5, -2.0], [1.0, 0.0]]), (-1,)).tolist()
    [[2.0], [1.0]]
    """
    # the absolute values would take memory of their own
    high, low = clips.amax(dim=tuple(dims), keepdim=True), clips.amin(dim=tuple(dims), keepdim=True)
    return torch.maximum(high, low.neg_())


def peak(clips: torch.Tensor, dims: Sequence[int]) -> torch.Tensor:
    """Compute the largest magnitude of each waveform of a batch, with a gradient.

    Shape: (clips, channels, time), 0 past the ends -> (clips, 1 or channels, 1).
    """
    return clips.abs().amax(dim=tuple(dims), keepdim=True)


def rms_without_graph(
    clips: torch.Tensor, lengths: torch.Tensor | None, dims: Sequence[int], floor: float
) -> torch.Tensor:
    """Return the root mean square of each waveform of some clips without a graph, `floor` at least. See `rms`.

    >>> rms_without_graph(torch.tensor([[[3.0, -4.0, 0.0, 0.0]]]), None, (-1,), 1e-8).tolist()
    [[[2.5]]]
    """
    return (sum_of_squares(clips, dims) / count_of(clips, lengths, dims)).sqrt_().clamp_(min=floor)


def rms(clips: torch.Tensor, lengths: torch.Tensor | None, dims: Sequence[int], floor: float) -> torch.Tensor:
    """Compute the root mean square of each waveform of a batch, `floor` at least, with a finite gradient.

    Shape: (clips, channels, time), 0 past lengths (clips,) -> (clips, 1 or channels, 1).
    """
    squares = clips.square().sum(dim=tuple(dims), keepdim=True) / count_of(clips, lengths, dims)
    # the root of the smallest number has a gradient, that of 0 has none
    return squares.clamp(min=torch.finfo(clips.dtype).tiny).sqrt().clamp(min=floor)
