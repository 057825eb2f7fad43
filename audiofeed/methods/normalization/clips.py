"""Features of each clip normalized by its own mean and standard deviation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from audiofeed.methods.frame_steps import Closing
from audiofeed.methods.lengths import clear_own_past
from audiofeed.methods.short_time.kernel.lines import lines_of
from audiofeed.methods.standardization import Spread, count_of, standardize, standardize_into
from audiofeed.parallel.kept_memory import kept_like

DIMS = {"bin": (-1,), "clip": (-3, -2, -1)}


@dataclass(frozen=True)
class Normalization:
    """Normalization of the features of clips, for whoever makes the features: see `standardize_clips`.

    Args:
        over: "bin" or "clip", what has a mean of its own.
        spread: the divisor; None: none.
    """

    over: str
    spread: Spread | None

    def closing(self, rows_of_each: int) -> Closing:
        """Return what a normalization by mean and deviation does when all values of a clip are there."""
        return Closing(rows_of_each=rows_of_each, over=self.over, spread=self.spread)

    def of_own_clips(self, features: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Apply the normalization to features of clips in their own memory: see `standardize_own_clips`."""
        return standardize_own_clips(features, lengths, DIMS[self.over], self.spread)


def standardize_own_clips(
    features: torch.Tensor, lengths: torch.Tensor | None, dims: Sequence[int], spread: Spread | None
) -> torch.Tensor:
    """Normalize features of a batch as `standardize_clips` does, in their own memory and without a graph.

    Past a clip's frames they need not be 0.
    """
    lines = lines_of(features, lengths)
    if lines is None:
        if lengths is not None:
            features = clear_own_past(features, lengths)
        return standardize_clips(features, lengths, dims, spread, graph=False)
    if spread is not None and tuple(dims) == (-1,):
        lines.standardize(unbiased=spread.unbiased, eps=spread.eps, eps_to=spread.eps_to)
        return features
    # (clips, rows of each, bins), as the dimensions that count together have one length here
    moments = lines.moments()
    mean, squares = moments[..., 0], moments[..., 1]
    n = features.new_tensor(features.shape[-1], dtype=torch.long) if lengths is None else lengths
    count: int | torch.Tensor = n.view(-1, 1, 1)
    others = tuple(dim + 1 for dim in dims if dim != -1)
    if others:
        whole = mean.mean(dim=others, keepdim=True)
        squares = (squares + count * (mean - whole).square()).sum(dim=others, keepdim=True)
        count, mean = count_of(features, lengths, dims), whole
        count = count.view(-1, 1, 1) if isinstance(count, torch.Tensor) else count
    scale = torch.ones(()) if spread is None else spread.scale(squares.float(), count, mean.float())
    lines.apply("scale", numbers=(mean.float(), scale))
    return features


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
    result = kept_like(features, features.shape)
    count = max(1, _BLOCK // features[0].numel())
    for first in range(0, features.shape[0], count):
        some = slice(first, first + count)
        standardize_into(result[some], features[some], None if lengths is None else lengths[some], dims, spread)
    return result
