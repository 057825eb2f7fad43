"""Sums over a clip's samples for augmentations: the same to the bit in any batch, padded to any length."""

from __future__ import annotations

import torch

from audiofeed.parallel.running_sums import running_sums

# Samples that are summed by one call of torch's reduction: the order within depends on nothing else, and torch's
# threads never share one. The sums of blocks are added in order, so that zeros behind a clip change nothing.
_BLOCK = 1024


def power_sums(waveforms: torch.Tensor) -> torch.Tensor:
    """Sum the squares of each row, for the levels of an augmentation's clips.

    Args:
        waveforms: (..., time), zero past each clip's end.

    Returns:
        float64 (...); zeros appended to a row do not change its bits, nor do other rows, on a CPU.

    >>> power_sums(torch.tensor([[1.0, 2.0], [3.0, 0.0]]))
    tensor([5., 9.], dtype=torch.float64)
    """
    size = waveforms.shape[-1]
    whole = size // _BLOCK * _BLOCK
    # of another layout torch would sum in another order
    squares = waveforms.contiguous().square()
    sums = squares[..., :whole].unflatten(-1, (-1, _BLOCK)).sum(-1).double()
    if whole < size:
        last = torch.nn.functional.pad(squares[..., whole:], (0, whole + _BLOCK - size)).sum(-1, keepdim=True)
        sums = torch.cat([sums, last.double()], -1)
    return running_sums(sums)[..., -1] if sums.shape[-1] else sums.sum(-1)


def powers(waveforms: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Compute the mean power of each clip over its true length and its channels, for an augmentation's levels.

    Args:
        waveforms: (batch, time) or (batch, channel, time), zero past each clip's end.
        lengths: (batch,) samples of each clip.

    Returns:
        float64 (batch,).

    >>> powers(torch.tensor([[1.0, 1.0, 0.0, 0.0]]), torch.tensor([2]))
    tensor([1.], dtype=torch.float64)
    """
    sums = power_sums(waveforms)
    channels = 1
    if waveforms.dim() == 3:
        channels, sums = waveforms.shape[1], sums.sum(-1)
    return sums / (lengths * channels).clamp_min(1)


def peaks(waveforms: torch.Tensor) -> torch.Tensor:
    """Find the largest absolute sample of each clip in all its channels, for an augmentation's levels.

    Args:
        waveforms: (batch, time) or (batch, channel, time), zero past each clip's end.

    Returns:
        (batch,) of the waveforms' type.

    >>> peaks(torch.tensor([[0.5, -1.0, 0.0]]))
    tensor([1.])
    """
    flat = waveforms.flatten(1)
    # two reductions: many times faster on a CPU than torch's norms and `aminmax`
    return torch.maximum(flat.amax(1), -flat.amin(1)) if flat.shape[1] else flat.sum(1)
