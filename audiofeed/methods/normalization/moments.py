"""The moments of a batch of features, bin by bin, of the clips' own frames."""

from __future__ import annotations

import torch

from audiofeed.methods.lengths import length_mask
from audiofeed.signal.moments import Moments


def moments_of(features: torch.Tensor, lengths: torch.Tensor | None) -> Moments:
    """Return the moments of batched features in float64, bin by bin, of what lies before each clip's end.

    Args:
        features: (batch, ..., bins, frames), or (bins, frames) of one clip.
        lengths: (batch,) frames of each clip; None: all of them.

    >>> moments_of(torch.tensor([[[1.0, 3.0, 9.0]]]), torch.tensor([2])).mean.tolist()
    [2.0]
    """
    if features.device.type == "mps":  # which has no float64
        features = features.cpu()
    bins = features.shape[-2]
    clips = features.detach().double().reshape(features.shape[0] if features.dim() > 2 else 1, -1, *features.shape[-2:])
    if lengths is not None:
        own = length_mask(clips.shape[-1], lengths.to(clips.device))
        # (bin, values of its own)
        values = clips.permute(2, 1, 0, 3)[:, :, own].reshape(bins, -1)
    else:
        values = clips.permute(2, 0, 1, 3).reshape(bins, -1)
    mean = values.mean(dim=1)
    squares = (values - mean[:, None]).square_().sum(dim=1)
    return Moments(values.shape[1], mean.cpu().numpy(), squares.cpu().numpy())
