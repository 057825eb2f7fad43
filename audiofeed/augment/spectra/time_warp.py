"""The warp of time in SpecAugment: a frame is moved, and those around it follow in a straight line."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.contract.feature_trees import map_features, map_framed

_LEAST = 4  # frames of a clip that can be warped


@dataclass(frozen=True)
class Warp:
    """Warp of the frames of an augmentation's clips.

    A frame, drawn where `farthest` frames or a quarter of the clip are before and behind it, is moved by up to that.

    Args:
        farthest: Frames that it is moved by at most.
        places: (batch,) in [0, 1), what the frame is drawn by.
        moves: (batch,) in [0, 1), what its way is drawn by.
        active: (batch,) bool, False for clips that are not warped.
    """

    farthest: int
    places: torch.Tensor
    moves: torch.Tensor
    active: torch.Tensor

    def pivots(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the frame that this augmentation moves in each clip, and where to.

        Args:
            frames: (batch,) true frames of each clip.

        Returns:
            Each float64 (batch,), between the first frame and the last.
        """
        last = (frames - 1).double()
        reach = (last / 4).clamp(max=float(self.farthest))
        old = reach + self.places * (last - 2 * reach)
        # a frame is left on either side, so that no part of the clip is lost
        new = torch.minimum((old + (2 * self.moves - 1) * reach).clamp_min(1), last - 1)
        still = ~self.active | (frames < _LEAST)
        return torch.where(still, last / 2, old), torch.where(still, last / 2, new)

    def sources(self, frames: torch.Tensor, size: int) -> torch.Tensor:
        """Return where each new frame of this augmentation's clips comes from among the old ones.

        Args:
            frames: (batch,) true frames of each clip.
            size: Number of frames, with the padding, which stays.

        Returns:
            float64 (batch, size).
        """
        old, new = self.pivots(frames)
        return _bent(frames, size, new, old)

    def places_of(self, frames: torch.Tensor, size: int) -> torch.Tensor:
        """Return where each old frame of this augmentation's clips goes among the new ones, as `sources` does."""
        old, new = self.pivots(frames)
        return _bent(frames, size, old, new)


def _bent(frames: torch.Tensor, size: int, start: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
    """Map frames of an augmentation's clips such that `start` goes to `end`, and first and last stay."""
    place = torch.arange(size, dtype=torch.float64, device=frames.device)[None]
    last = (frames - 1).double()[:, None]
    start, end = start[:, None], end[:, None]
    before = place * (end / start.clamp_min(0.5))
    behind = last - (last - place) * ((last - end) / (last - start).clamp_min(0.5))
    bent = torch.minimum(torch.where(place < start, before, behind), last)
    return torch.where(place < frames[:, None], bent, place)


def warped(clips: Clips, warp: Warp) -> Clips:
    """Warp the features of an augmentation's clips, and the targets by frame with them.

    Args:
        clips: The clips.
        warp: How.
    """

    def of_features(features: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        at = warp.sources(frames, features.shape[-1])
        below = at.floor()
        share = (at - below).to(features.real.dtype)
        first = below.long().clamp_min(0)
        second = (first + 1).clamp_max(features.shape[-1] - 1)
        spread = (-1, *[1] * (features.dim() - 2), features.shape[-1])
        low = features.gather(-1, first.view(spread).expand_as(features))
        high = features.gather(-1, second.view(spread).expand_as(features))
        moved = low + (high - low) * share.view(spread)
        return torch.where(warp.active.view(-1, *[1] * (features.dim() - 1)), moved, features)

    def of_targets(targets: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        size = targets.shape[-1]
        spread = (-1, *[1] * (targets.dim() - 2), size)
        nearest = (warp.sources(frames, size) + 0.5).floor().long().clamp(0, size - 1)
        places = (warp.places_of(frames, size) + 0.5).floor().long().clamp(0, size - 1)
        values = targets.to(torch.uint8) if targets.dtype == torch.bool else targets
        moved = values.gather(-1, nearest.view(spread).expand_as(values))
        # a frame that several fall into has the largest of their labels: none of a click is lost
        moved = moved.scatter_reduce(-1, places.view(spread).expand_as(values), values, "amax", include_self=False)
        return torch.where(warp.active.view(-1, *[1] * (targets.dim() - 1)), moved.to(targets.dtype), targets)

    followed = map_framed(clips, of_targets)
    return clips.with_values(features=map_features(clips, of_features), **followed)
