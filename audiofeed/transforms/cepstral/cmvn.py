"""Cepstral mean and variance normalization."""

from __future__ import annotations

import torch

from audiofeed.arguments.checks import check_count, check_floor
from audiofeed.methods.cepstral.normalization import Sliding, normalize_clips, normalize_sliding
from audiofeed.transforms.contract.feature_transform import FeatureTransform

# Kaldi's and torchaudio's
_MIN_WINDOW = 100


class CMVN(FeatureTransform):
    """Module for cepstral mean and variance normalization (CMVN), over each clip or a sliding window.

    Each bin less its mean over time, and over its standard deviation, those of the clip's own frames whatever the batch
    is padded to. With `window` it is Kaldi's apply-cmvn-sliding.

    Args:
        window: frames of the sliding window, 1 or more; None: the whole clip.
        center: with `window`: it lies around the frame, and at the ends of the clip is moved inside. False: it is the
            frame and the `window` frames before it.
        norm_vars: divide by the standard deviation (of the population: over n, not n - 1) too. False: the mean alone.
        min_window: with `window` and center=False: the first frames look ahead, so that theirs has this many frames;
            None: 100.
        floor: the smallest variance that is divided by, > 0. A bin that does not change is 0, with finite gradient.

    Returns:
        the same shape, from features (batch, ..., bins, frames) or (bins, frames), lengths (batch,) in frames.

    Raises:
        ValueError: for a setting outside its range or without effect, or lengths that do not fit.
        TypeError: for features that are complex or of integers.

    `torchaudio.transforms.SlidingWindowCmn(cmn_window, min_cmn_window, center, norm_vars)` takes (..., frames, bins),
    and norm_vars=False by default. It sums over windows by adding and subtracting in the features' own dtype, and so
    drifts in float32; it divides by 0 where Kaldi has the floor; and of a padded batch it counts the padding.

    >>> CMVN()(torch.tensor([[1.0, 3.0], [5.0, 5.0]])).tolist()
    [[-1.0, 1.0], [0.0, 0.0]]
    >>> CMVN(window=300, center=True)(torch.zeros(2, 40, 1000)).shape
    torch.Size([2, 40, 1000])
    """

    keeps_bins = True

    def __init__(
        self,
        *,
        window: int | None = None,
        center: bool = False,
        norm_vars: bool = True,
        min_window: int | None = None,
        floor: float = 1e-10,
    ) -> None:
        super().__init__()
        self.window = None if window is None else check_count("window", window, "an integer number of frames, or None")
        if center and window is None:
            raise ValueError("center=True needs a window to center; pass window=, in frames")
        if min_window is not None:
            check_count("min_window", min_window, "an integer number of frames, 1 or more, or None")
            if window is None or center:
                raise ValueError(
                    f"min_window={min_window} has an effect only with window= and center=False, where the first frames "
                    "have little behind them; leave it out"
                )
        self.center, self.norm_vars, self.floor = center, norm_vars, check_floor("floor", floor)
        self.min_window = _MIN_WINDOW if min_window is None else int(min_window)

    def compute(self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        if self.window is None:
            return normalize_clips(features, lengths, norm_vars=self.norm_vars, floor=self.floor, graph=graph)
        return normalize_sliding(
            features,
            lengths,
            Sliding(window=self.window, min_window=self.min_window, center=self.center),
            norm_vars=self.norm_vars,
            floor=self.floor,
            graph=graph,
        )
