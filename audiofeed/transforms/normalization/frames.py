"""Normalization of features frame by frame: by a frame's own mean and deviation, or to its largest bin alone."""

from __future__ import annotations

import torch

from audiofeed.arguments.checks import check_floor
from audiofeed.parallel.observed import plain_size
from audiofeed.transforms.contract.feature_transform import FeatureTransform


class NormalizeFrames(FeatureTransform):
    """Feature normalization of each frame by itself, as a module: its bins have mean 0 and standard deviation 1.

    `FrameWaveform` and this are what CREPE takes.

    Args:
        unbiased: the variance is the sum of squares over n - 1, as `torch.std` has it; False: over n, as NumPy.
        floor: the smallest standard deviation that is divided by, > 0: a frame that does not change is 0, with a finite
            gradient.

    Returns:
        the same shape, from features (batch, ..., bins, frames) or (bins, frames), lengths (batch,) in frames.

    Raises:
        ValueError: for a setting outside its range, or lengths that do not fit.
        TypeError: for features that are complex or of integers.

    >>> NormalizeFrames()(torch.tensor([[1.0, 7.0], [3.0, 7.0]])).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """

    keeps_bins, own_frames_alone, is_light = True, True, True

    def __init__(self, *, unbiased: bool = False, floor: float = 1e-8) -> None:
        super().__init__()
        self.unbiased, self.floor = unbiased, check_floor("floor", floor)

    def compute(self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        n = plain_size(features.shape[-2])
        mean = _sum_of_bins(features) / n
        centered = features - mean
        variance = _sum_of_bins(centered.square()) / (max(n - 1, 1) if self.unbiased else n)
        least = torch.finfo(features.dtype)
        # of equal values a mean leaves no more than its rounding; the root of 0 has no gradient
        still = variance <= (4 * least.eps * mean).square()
        deviation = variance.clamp(min=least.tiny).sqrt().clamp(min=self.floor)
        return centered * deviation.reciprocal().masked_fill(still, 0.0)


def _sum_of_bins(values: torch.Tensor) -> torch.Tensor:
    """Return the sum of each frame's bins, by halves: the same bits however many frames lie beside it.

    Shape: (..., bins, frames) -> (..., 1, frames).
    """
    left = plain_size(values.shape[-2])
    while left > 1:
        if left % 2:
            values = torch.nn.functional.pad(values, (0, 0, 0, 1))
        left = (left + 1) // 2
        values = values[..., :left, :] + values[..., left:, :]
    return values


class LargestBin(FeatureTransform):
    """Largest bin of each frame of features, as a module: 1 where it is (the first of equal ones), 0 elsewhere.

    So MusicGen takes a melody, of chroma. There is no gradient.

    Returns:
        the same shape, from features (batch, ..., bins, frames) or (bins, frames), lengths (batch,) in frames.

    Raises:
        ValueError: for lengths that do not fit.
        TypeError: for features that are complex or of integers.

    >>> LargestBin()(torch.tensor([[0.1, 0.7, 0.0], [0.3, 0.7, 0.0]])).tolist()
    [[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]
    """

    keeps_bins, own_frames_alone, is_light = True, True, True

    def compute(self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        largest = features == features.amax(dim=-2, keepdim=True)
        return (largest & (largest.cumsum(dim=-2) == 1)).to(features.dtype)
