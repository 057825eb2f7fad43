"""Features shifted and scaled by two numbers, as many front-ends end."""

from __future__ import annotations

import torch

from audiofeed.arguments.checks import check_finite, check_positive
from audiofeed.methods.frame_steps import Affine, ValueStep, constant
from audiofeed.parallel.observed import observed
from audiofeed.transforms.contract.feature_transform import FeatureTransform


class Rescale(FeatureTransform):
    """Rescale features by a shift and a scale, as a module: (features + add) / divide.

    Whisper's log-mel is `Rescale(add=4.0, divide=4.0)`, EfficientAT's `Rescale(add=4.5, divide=5.0)`. What lies past a
    clip's end stays 0.

    Args:
        add: added first, any finite number.
        divide: divided by then, > 0.

    Returns:
        the same shape, from features (batch, ..., bins, frames) or (bins, frames), lengths (batch,) in frames.

    Raises:
        ValueError: for a setting outside its range, or lengths that do not fit.
        TypeError: for features that are complex or of integers.

    >>> Rescale(add=4.0, divide=4.0)(torch.tensor([[-4.0, 0.0]])).tolist()
    [[0.0, 1.0]]
    """

    keeps_bins, is_light = True, True
    own_frames_alone = True

    def __init__(self, *, add: float = 0.0, divide: float = 1.0) -> None:
        super().__init__()
        rule = "a finite number; constants of each bin are those of Normalize(mean, std)"
        self.add = check_finite("add", add, rule)
        self.divide = check_positive("divide", check_finite("divide", divide, rule))

    def inverse(self) -> Rescale:
        """Return the module that takes rescaled features back to what they were.

        >>> Rescale(add=4.0, divide=4.0).inverse()(torch.tensor([[0.0, 1.0]])).tolist()
        [[-4.0, 0.0]]
        """
        return Rescale(add=-self.add / self.divide, divide=1.0 / self.divide)

    def value_steps(self, like: torch.Tensor) -> tuple[ValueStep, ...] | None:
        if like.device.type == "cpu" and like.dtype.is_floating_point and observed(like) is None:
            return (Affine(constant(self.add, like.dtype), constant(self.divide, like.dtype)),)
        return (Affine(like.new_tensor(self.add), like.new_tensor(self.divide)),)

    def compute(self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        shifted = features + self.add
        return shifted / self.divide if graph else shifted.div_(self.divide)
