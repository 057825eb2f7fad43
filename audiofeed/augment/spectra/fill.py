"""What an augmentation of features puts where it masks or shifts them: zero, another number, or the clip's mean."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch

from audiofeed.augment.contract.feature_trees import own_frames
from audiofeed.parallel.running_sums import running_sums

Fill = Literal["zero", "mean", "edge"] | float

# Frames that are summed by one call of torch's reduction; the sums are added in order. So zeros behind a clip change
# nothing.
_BLOCK = 64


def check_fill(fill: Any, names: tuple[str, ...] = ("zero", "mean")) -> Fill:
    """Check the fill of an augmentation of features.

    Args:
        fill: One of the names, or a finite number.
        names: Those that this augmentation knows.

    Raises:
        ValueError: It is neither.

    >>> check_fill("zero"), check_fill(-4)
    (0.0, -4.0)
    """
    if isinstance(fill, str) and fill in names:
        return 0.0 if fill == "zero" else fill  # type: ignore[return-value]
    if isinstance(fill, int | float) and not isinstance(fill, bool) and math.isfinite(fill):
        return float(fill)
    raise ValueError(f"fill={fill!r} must be {', '.join(map(repr, names))}, or a finite number")


def fill_value(fill: Fill, features: torch.Tensor, frames: torch.Tensor) -> torch.Tensor | float:
    """Return what an augmentation fills with: a number, or one for each clip with as many axes as its features.

    Args:
        fill: As `check_fill` returns it.
        features: (batch, ..., bins, frames).
        frames: (batch,), those of each clip itself, which alone count for a mean.

    >>> fill_value("mean", torch.ones(2, 4, 3), torch.tensor([3, 1])).flatten()
    tensor([1., 1.])
    """
    if fill != "mean":
        return float(fill)
    return clip_means(features, frames).view(-1, *[1] * (features.dim() - 1)).to(features.dtype)


def clip_means(features: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """Compute the mean of each clip's features over its true frames, for an augmentation, alike in any batch.

    Args:
        features: (batch, ..., bins, frames).
        frames: (batch,).

    Returns:
        float64 (batch,), or complex128.

    >>> clip_means(torch.tensor([[[1.0, 3.0, 9.0]]]), torch.tensor([2]))
    tensor([2.], dtype=torch.float64)
    """
    own = torch.where(own_frames(features, frames), features, 0)
    own = torch.nn.functional.pad(own, (0, -own.shape[-1] % _BLOCK))
    kind = torch.complex128 if own.is_complex() else torch.float64
    blocks = own.unflatten(-1, (-1, _BLOCK)).sum(-1).to(kind)  # (batch, ..., bin, block)
    # bins after bins, then blocks after blocks, each in order
    rows = running_sums(blocks.flatten(1, -2), 1)[:, -1]
    sums = running_sums(rows)[:, -1] if rows.shape[-1] else rows.sum(-1)
    bins = features[0, ..., 0].numel() if features.numel() else 1
    return sums / (frames * bins).clamp_min(1)
