"""Normalization of features by each clip's own mean and standard deviation."""

from __future__ import annotations

import torch

from audiofeed.arguments.checks import check_choice, check_not_negative
from audiofeed.methods.normalization.clips import DIMS, Normalization, standardize_clips
from audiofeed.methods.standardization import EPS_TO, Spread
from audiofeed.transforms.contract.feature_transform import FeatureTransform


class NormalizeClips(FeatureTransform):
    """Feature normalization of each clip by its own mean and deviation, as a module: by bin, or over all values.

    Only the clip's own frames count, whatever the batch is padded to. With the defaults it is NeMo's
    normalize="per_feature", and with over="clip" its "all_features". `CMVN` is the same of a population, with a floor
    in place of `eps`, and over a sliding window; `Normalize` takes constants of a whole data set.

    Args:
        over: "bin" (each bin of each channel by itself, over time) or "clip" (all values of a clip together).
        norm_vars: divide by the standard deviation too. False: less the mean alone.
        unbiased: the variance is the sum of squares over n - 1, as `torch.std` has it; False: over n, as NumPy. Of one
            value it is 0.
        eps: added to the divisor, >= 0.
        eps_to: "std" (the divisor is the standard deviation plus `eps`) or "variance" (the root of the variance plus
            `eps`).

    Returns:
        the same shape, from features (batch, ..., bins, frames) or (bins, frames), lengths (batch,) in frames. What
        does not change is 0, with a finite gradient.

    Raises:
        ValueError: for a setting outside its range, or lengths that do not fit.
        TypeError: for features that are complex or of integers.

    >>> NormalizeClips(eps=0.0, unbiased=False)(torch.tensor([[1.0, 3.0], [5.0, 5.0]])).round(decimals=5).tolist()
    [[-1.0, 1.0], [0.0, 0.0]]
    """

    keeps_bins, works_by_bin = True, True

    def __init__(
        self,
        *,
        over: str = "bin",
        norm_vars: bool = True,
        unbiased: bool = True,
        eps: float = 1e-5,
        eps_to: str = "std",
    ) -> None:
        super().__init__()
        self.over, self.norm_vars, self.unbiased = check_choice("over", over, tuple(DIMS)), norm_vars, unbiased
        self.eps, self.eps_to = check_not_negative("eps", eps), check_choice("eps_to", eps_to, EPS_TO)
        spread = Spread(unbiased=bool(unbiased), eps=self.eps, eps_to=eps_to) if norm_vars else None
        self._normalization = Normalization(self.over, spread)

    def clip_step(self) -> Normalization:
        return self._normalization

    def compute_own(self, features: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        if features.stride(-1) != 1:
            return self.compute(features, lengths, graph=False)
        return self._normalization.of_own_clips(features, lengths)

    def compute(self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        return standardize_clips(features, lengths, DIMS[self.over], self._normalization.spread, graph=graph)
