"""The whole of a clip and parts of it as features of one size, as CLAP fuses them."""

from __future__ import annotations

import torch

from audiofeed.arguments.checks import check_count
from audiofeed.transforms.contract.feature_transform import FeatureTransform

_PARTS = 3  # crops beside the whole
_STEPS = 2**16  # of a share, so that it is taken of a count in integers


class FuseFrames(FeatureTransform):
    """Fuse the frames of clips of any length into one size, as a module: the whole shrunk to it, and three crops.

    It is the feature fusion of CLAP (Wu et al. 2023): the crops come from the first, second and last third of all
    places where one can begin. A clip of `size` frames is itself four times.

    Args:
        size: frames of each part, 1 or more. A clip that has fewer is stretched, and its crops are filled up with 0.
        at: where in its third a crop begins, 0 (as early as can be) to 1 (as late), 0.5 in the middle; CLAP draws it.

    Returns:
        (..., 4, bins, size), the whole and the crops, from features (batch, ..., bins, frames) or (bins, frames),
        lengths (batch,) in frames.

    Raises:
        ValueError: for a setting outside its range, or lengths that do not fit.
        TypeError: for features that are complex or of integers.

    >>> FuseFrames(2)(torch.arange(6.0)[None])[:, 0].tolist()
    [[1.0, 4.0], [0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    """

    keeps_bins, is_light = True, True

    def __init__(self, size: int, *, at: float = 0.5) -> None:
        super().__init__()
        self.size = check_count("size", size, "an integer number of frames, 1 or more")
        if isinstance(at, bool | str) or at is None or not 0 <= at <= 1:
            raise ValueError(f"at={at!r} must be a number from 0 to 1: where in its third a crop begins")
        self.at = float(at)

    def compute(self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        device = features.device
        own = torch.full((1,), features.shape[-1], device=device) if lengths is None else lengths
        own = own[:, None]  # (clips or 1, 1)
        frame = torch.arange(self.size, device=device)
        # frame i of the result stands at (i + 1/2) n / size - 1/2 of n frames: in integers, in 1 / (2 size) of a frame
        place = ((2 * frame + 1) * own - self.size).clamp(min=0)
        low = place // (2 * self.size)
        weight = ((place - low * 2 * self.size).to(features.dtype) / (2 * self.size))[:, None, None]
        high = torch.minimum(low + 1, own - 1)
        whole = _taken(features, low) * (1 - weight) + _taken(features, high) * weight
        parts = [whole]
        places = (own - self.size).clamp(min=0) + 1
        each, more = places // _PARTS, places % _PARTS
        for part in range(_PARTS):
            count = each + (more > part)
            begin = each * part + more.clamp(max=part) + (count - 1) * round(self.at * _STEPS) // _STEPS
            source = frame + torch.where(count > 0, begin, 0)
            inside = (source < own)[:, None, None]
            parts.append(torch.where(inside, _taken(features, torch.minimum(source, own - 1)), 0))
        return torch.stack(parts, dim=2)

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        return torch.full_like(lengths, self.size)


def _taken(features: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """Return frames of features by their numbers, clip by clip.

    Shape: features (clips, rows, bins, frames), frames (clips or 1, size) -> (clips, rows, bins, size).
    """
    if frames.shape[0] == 1:
        return features.index_select(-1, frames[0])
    return features.gather(-1, frames[:, None, None].expand(*features.shape[:-1], -1))
