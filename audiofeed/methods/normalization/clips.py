"""Features of each clip normalized by its own mean and standard deviation."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from audiofeed.methods.standardization import Spread, standardize, standardize_into

# Values that are normalized in one go on a CPU, so that every pass over them finds them in cache.
_BLOCK = 2**18


def standardize_clips(
    features: torch.Tensor, lengths: torch.Tensor | None, dims: Sequence[int], spread: Spread | None, *, graph: bool
) -> torch.Tensor:
    """Normalize features of a batch by each clip's own mean, and by its standard deviation unless `spread` is None.

    Shape: (clips, rows of each, bins, frames), 0 past lengths (clips,) -> the same; past a clip's frames anything may
    stand.
    """
    if graph or features.device.type != "cpu":
        return standardize(features, lengths, dims, spread)
    result = torch.empty_like(features, memory_format=torch.contiguous_format)
    count = max(1, _BLOCK // features[0].numel())
    for first in range(0, features.shape[0], count):
        some = slice(first, first + count)
        standardize_into(result[some], features[some], None if lengths is None else lengths[some], dims, spread)
    return result
