"""A matrix over the bins of features: cosine transforms of log spectra, and back."""

from __future__ import annotations

import torch

from audiofeed.methods.precision import matmul, products_into
from audiofeed.parallel.kept_memory import kept_like
from audiofeed.parallel.observed import observed


def over_bins(features: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Apply a cepstral matrix, such as a DCT, to the bins of batched features in full precision.

    The result is `matrix @ features` for every frame.

    Shape: features (..., bins, frames), matrix (n, bins) -> (..., n, frames).

    >>> over_bins(torch.ones(2, 3, 5), torch.ones(4, 3)).shape
    torch.Size([2, 4, 5])
    """
    *leading, bins, frames = features.shape
    if features.device.type == "cpu" and not torch.is_grad_enabled() and observed(features) is None:
        # row by row: a product of many rows at once would first copy them, frames beside bins
        rows = features.reshape(-1, bins, frames)
        out = kept_like(rows, (rows.shape[0], matrix.shape[0], frames))
        into = products_into(rows)
        for found, row in zip(out.unbind(), rows.unbind(), strict=True):
            into(found, matrix, row)
        return out.view(*leading, -1, frames)
    flat = features.transpose(-1, -2).reshape(-1, bins)  # (frame of any row, bin)
    return matmul(flat, matrix.t()).view(*leading, frames, -1).transpose(-1, -2)
