"""Powers of frames through a filter bank that is mostly zeros."""

from __future__ import annotations

import torch

from audiofeed.methods.frames import Workspace
from audiofeed.methods.precision import matmul, matmul_into

# (first filter, end filter, first bin, end bin) of filters that share a span of bins; see `signal.filterbanks.bands`
Bands = tuple[tuple[int, int, int, int], ...]


def filtered(
    powers: torch.Tensor, filters: torch.Tensor, workspace: Workspace | None, bands: Bands | None, name: str = "mels"
) -> torch.Tensor:
    """Each frame through each filter.

    On a CPU and without a graph the product skips the zeros of the filters, some neighbouring filters at a time.

    Args:
        workspace: where there is no graph: the result lies in it, under `name`.
        bands: where the filters are not zero; None: anywhere, as in filters that train.

    Shape: powers (..., frames, bins), filters (n, bins) -> (..., frames, n).

    >>> filtered(torch.ones(5, 3), torch.ones(2, 3), None, None).shape
    torch.Size([5, 2])
    """
    *leading, n_bins = powers.shape
    flat = powers.reshape(-1, n_bins)
    if workspace is None or bands is None or powers.device.type != "cpu":
        return matmul(flat, filters.t()).view(*leading, -1)
    out = workspace.take(name, flat.shape[0], filters.shape[0])
    for first, end, low, high in bands:
        matmul_into(out[:, first:end], flat[:, low:high], filters[first:end, low:high].t())
    return out.view(*leading, -1)
