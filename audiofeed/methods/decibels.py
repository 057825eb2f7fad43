"""Logarithms of powers, and a range limited clip by clip."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from audiofeed.methods.lengths import past_of
from audiofeed.methods.workspace import Workspace
from audiofeed.parallel.exports import plus

LOGS = ("ln", "log10", "db", "log1p")
# what stands for a floor of 0, which no logarithm may see: the smallest normal float32
TINY = 2.0**-126


@dataclass(frozen=True)
class Log:
    """Logarithm of batched powers or magnitudes: natural, decimal, decibels or ln(1 + x), above a floor.

    It is ln, log10, or decibels of max(values + offset, floor), or ln of max(1 + values + offset, floor).

    Decibels are of power: values that are |z|^power count 20 / power to the factor ten.

    >>> Log("db", floor=1e-10, power=2.0).of(torch.tensor([0.0, 100.0]), in_place=False).tolist()
    [-100.0, 20.0]
    """

    kind: str
    floor: float
    power: float
    offset: float = 0.0

    @property
    def least(self) -> float:
        """Smallest value that the logarithm of powers or decibels sees, never 0."""
        return max(self.floor, TINY)

    @property
    def factor(self) -> float:
        """Factor from the natural logarithm to decibels or the other kind of logarithm taken."""
        if self.kind in ("ln", "log1p"):
            return 1.0
        return (1.0 if self.kind == "log10" else 20.0 / self.power) / math.log(10)

    def apply(self, values: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
        """Apply the logarithm or decibels to a tensor of frames; in place with a workspace.

        Shape: any -> the same.
        """
        return self.of(values, in_place=workspace is not None)

    def of(self, values: torch.Tensor, *, in_place: bool) -> torch.Tensor:
        """Compute the logarithm or decibels of a tensor of powers or magnitudes.

        Shape: any -> the same.
        """
        if self.offset:
            values = values.add_(self.offset) if in_place else plus(values, self.offset)
        if self.kind == "log1p":
            # 1 + x >= floor; below 1 in float32, so that there is a logarithm
            least = max(self.least - 1.0, -1.0 + torch.finfo(values.dtype).eps)
            return values.clamp_(min=least).log1p_() if in_place else values.clamp(min=least).log1p()
        clamped = values.clamp_(min=self.least) if in_place else values.clamp(min=self.least)
        if self.kind == "ln":
            return clamped.log_() if in_place else clamped.log()
        tens = clamped.log10_() if in_place else clamped.log10()
        if self.kind == "log10":
            return tens
        return tens.mul_(20.0 / self.power) if in_place else tens * (20.0 / self.power)


def clip_peak(features: torch.Tensor, frames: torch.Tensor | None) -> torch.Tensor:
    """Compute the largest value of each clip inside its own frames, for decibels relative to that peak.

    Shape: features (clips, ..., bins, frames), frames (clips,) or None -> (clips, 1, ..., 1).
    """
    if frames is not None:
        past = past_of(features.shape[-1], frames)
        features = features.masked_fill(past.view(past.shape[0], *[1] * (features.dim() - 2), -1), -math.inf)
    return features.amax(dim=tuple(range(1, features.dim())), keepdim=True)


def to_decibels(
    features: torch.Tensor,
    frames: torch.Tensor | None,
    *,
    factor: float,
    ref: float | None,
    amin: float,
    offset: float = 0.0,
    top_db: float | None,
    graph: bool,
    own: bool = False,
) -> torch.Tensor:
    """Convert batched features to decibels, with the range limited below each clip's own peak.

    They are `factor` times the decimal logarithm of features, over that of the value at 0 dB.

    Args:
        features: (clips, rows of each, bins, frames).
        frames: (clips,) frames of each clip; None: all of them.
        ref: the value that is 0 dB; None: each clip's own peak.
        amin: the smallest value the logarithm sees.
        offset: added to each value before.
        top_db: nothing lies more than this below the clip's own peak; None: no limit.
        graph: autograd or a compiler records what is computed; without it one new tensor serves all steps.
        own: not even that one is needed: the features may be written over, without a graph.

    Returns:
        The same shape.

    >>> x = torch.tensor([[[[1.0, 100.0]]]])
    >>> to_decibels(x, None, factor=10.0, ref=1.0, amin=1e-10, top_db=None, graph=False).tolist()
    [[[[0.0, 20.0]]]]
    """
    if offset:
        features, own = (features.add_(offset) if own else plus(features, offset)), not graph
    at_zero: torch.Tensor | float
    if ref is None:
        at_zero = factor * clip_peak(features, frames).clamp(min=amin).log10()
    else:
        at_zero = factor * math.log10(max(amin, ref))
    if graph:
        decibels = factor * features.clamp(min=amin).log10() - at_zero
        return decibels if top_db is None else limit_range(decibels, frames, top_db)
    decibels = (features.clamp_(min=amin) if own else features.clamp(min=amin)).log10_().mul_(factor)
    if isinstance(at_zero, torch.Tensor) or at_zero:
        decibels.sub_(at_zero)
    return decibels if top_db is None else limit_own_range(decibels, frames, top_db)


def limit_range(decibels: torch.Tensor, frames: torch.Tensor | None, top_db: float) -> torch.Tensor:
    """Limit the decibels of each clip in a batch to a range of `top_db` below its own peak.

    Nothing of a clip lies lower.

    Shape: as in `clip_peak`; the same comes back.

    >>> limit_range(torch.tensor([[[0.0, -99.0]], [[-50.0, -99.0]]]), None, 80.0).flatten().tolist()
    [0.0, -80.0, -50.0, -99.0]
    """
    return torch.maximum(decibels, clip_peak(decibels, frames) - top_db)


def limit_own_range(decibels: torch.Tensor, frames: torch.Tensor | None, top_db: float) -> torch.Tensor:
    """Limit the decibels of each clip in a batch as `limit_range` does, in place and without a graph.

    Past a clip's frames anything may stand, and is left.
    """
    if decibels.device.type != "cpu":
        return torch.maximum(decibels, clip_peak(decibels, frames) - top_db, out=decibels)
    # clip by clip: the maximum finds in cache what the peak went through, and no mask is made
    for clip, length in zip(decibels, [None] * len(decibels) if frames is None else frames.tolist(), strict=True):
        own = clip[..., :length]
        torch.maximum(own, own.max() - top_db, out=own)
    return decibels
