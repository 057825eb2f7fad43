"""SpecAugment: masks over time and frequency, and a warp of time, within each clip's true frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch

from audiofeed.arguments.checks import check_choice
from audiofeed.augment.contract.augmentation import Augmentation
from audiofeed.augment.contract.by_row import may_look
from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.contract.draws import Draws, HostDraws
from audiofeed.augment.contract.feature_trees import all_frames, map_features, own_frames
from audiofeed.augment.contract.ranges import check_probability
from audiofeed.augment.kernels.masks import mask_step, of_features
from audiofeed.augment.kernels.rows import RowStep, done, readable
from audiofeed.augment.spectra.fill import Fill, check_fill, fill_value
from audiofeed.augment.spectra.settings import check_number, count_or_share
from audiofeed.augment.spectra.time_warp import Warp, warped

# tensors, or arrays on the host
Numbers = Any


class SpecAugment(Augmentation):
    """Augmentation that masks bands of time and frequency of features, and warps time: SpecAugment.

    Masks are drawn within each clip's true frames, as many for a clip as it would have alone, and never lie in the
    padding. All channels of a clip have the same ones, and the features of a `Stack` the same masks over time, where
    their frames agree; each has its own over frequency.

    The conventions in use, by arguments:

    - Park et al. 2019 (Interspeech), and torchaudio: integers for `time_width` and `freq_width`. The defaults are the
      paper's policy LD with the p = 0.2 of SM as `max_time_share`. LB is time_masks=1, freq_masks=1; SM and SS have
      time_width=70, freq_width=15 and 27. `warp` is the paper's W, 80 or 40.
    - Park et al. 2020 (ICASSP), adaptive to the length: floats for `time_width` and `time_masks`, such as 0.05 and
      0.04: a mask is at most that share of the clip's frames wide, and there are that share of its frames as many.
    - NeMo's: `placing="nemo"`, with its names; time_width=0.05 is its adaptive width.

    A width is drawn from 0 to the widest, both included. torchaudio never draws its `time_mask_param` itself, and draws
    the place over the padded batch, so that a short clip's masks fall into its padding.

    Args:
        time_masks: Number of masks over time, 0 or more; a float below 1: that share of the clip's frames, rounded
            down, at most `max_time_masks`.
        time_width: Widest mask over time, in frames, 0 or more; a float from 0 to 1: a share of the clip's frames.
        freq_masks: Number of masks over frequency, 0 or more.
        freq_width: Widest mask over frequency, in bins, 0 or more; a float from 0 to 1: a share of the bins.
        max_time_share: No mask is wider than this share of the clip's frames, 0 to 1.
        max_time_masks: Most masks over time that a share gives, 1 or more.
        placing: Where a mask begins. "inside": anywhere from which its own width fits, each place as likely. "nemo":
            anywhere from which the widest would fit, before the width is drawn.
        fill: What stands in a mask: "mean" of the clip's own frames, "zero", or a number. In a logarithm 0 is no
            silence but louder than most sounds; the papers' features have a mean of 0.
        warp: Farthest that a frame in the middle of the clip is moved, in frames, 0 or more; 0: time is not warped. The
            frames between are interpolated along time in a straight line. Targets by frame follow: each new frame
            has the largest label of the old ones that fall into it, or the nearest one's.
        p: Probability that a clip is augmented, 0 to 1.

    Raises:
        ValueError: An argument is out of range; or, when called, `freq_width` is more than there are bins.

    >>> features, frames, seeds = torch.ones(2, 40, 200), torch.tensor([200, 50]), torch.tensor([1, 2])
    >>> masked = SpecAugment(time_width=0.1, freq_width=8, fill="zero")(features, frames, seeds)
    >>> masked.shape, bool((masked == 0).any()), bool((masked[1, :, 50:] == 1).all())
    (torch.Size([2, 40, 200]), True, True)
    """

    stage = "features"
    changes = frozenset({"features"})

    def __init__(
        self,
        *,
        time_masks: float = 2,
        time_width: float = 100,
        freq_masks: int = 2,
        freq_width: float = 27,
        max_time_share: float = 0.2,
        max_time_masks: int = 20,
        placing: Literal["inside", "nemo"] = "inside",
        fill: Fill = "mean",
        warp: int = 0,
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.time_masks = count_or_share("time_masks", time_masks, "masks")
        self.time_width = count_or_share("time_width", time_width, "frames")
        self.freq_masks = check_number("freq_masks", freq_masks, "masks")
        self.freq_width = count_or_share("freq_width", freq_width, "bins")
        self.max_time_share = check_probability("max_time_share", max_time_share)
        self.max_time_masks = check_number("max_time_masks", max_time_masks, "masks", least=1)
        check_choice("placing", placing, ("inside", "nemo"))
        self.placing = placing
        self.fill = check_fill(fill)
        self.warp = check_number("warp", warp, "frames")
        if self.warp:
            self.changes = frozenset({"features", "targets", "fields"})

    def extra_repr(self) -> str:
        """Show the settings of this augmentation."""
        names = ("time_masks", "time_width", "freq_masks", "freq_width", "max_time_share", "placing", "fill", "warp")
        return ", ".join(
            [*(f"{name}={getattr(self, name)!r}" for name in names), *filter(None, [super().extra_repr()])]
        )

    def row_step(self, clips: Clips, rows: np.ndarray, draws: HostDraws) -> RowStep | None:
        """Mask the features of this augmentation's clips, by a kernel."""
        if self.warp or clips.features.dim() < 3:
            return None
        drawn = draws.uniform(count=2 * self._most + 2)
        frames = all_frames(clips.features, clips.feature_lengths).numpy()
        return self._masks(clips.features.shape, frames, rows, drawn, draws)

    @property
    def _most(self) -> int:
        """The most masks over time that a clip has from this augmentation."""
        return self.max_time_masks if isinstance(self.time_masks, float) else int(self.time_masks)

    def _masks(
        self, shape: Sequence[int], frames: np.ndarray, rows: np.ndarray, drawn: np.ndarray, draws: HostDraws
    ) -> RowStep | None:
        """Return the step of this augmentation's masks over features of a shape."""
        spans = self.spans(drawn[:, : self._most], drawn[:, self._most : 2 * self._most], frames)
        fill = None if self.fill == "mean" else float(self.fill)
        return mask_step(shape, rows, spans, self._spans_of_bins(draws, shape[-2]), fill)

    def change(self, clips: Clips, active: torch.Tensor, draws: Draws) -> Clips:
        """Warp and mask the features of this augmentation's clips."""
        most = self._most
        drawn = draws.uniform(count=2 * most + 2)
        if self.warp:
            warp = Warp(self.warp, drawn[:, -2], drawn[:, -1], active)
            clips = warped(clips, warp)

        def masked(features: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
            if may_look(clips) and readable(features):
                rows = np.flatnonzero(active.numpy())
                step = self._masks(features.shape, frames.numpy(), rows, drawn.numpy(), draws.on_host())
                if step is not None:
                    draws.skip(2 * self.freq_masks)
                    return done(of_features(features, frames.numpy(), [step]))[0].view(features.shape)
            spans = self.spans(drawn[:, :most], drawn[:, most : 2 * most], frames)
            of_bins = self._spans_of_bins(draws, features.shape[-2])
            time, frequency = _within(*spans, features.shape[-1]), _within(*of_bins, features.shape[-2])
            mask = time[:, None, :] | frequency[:, :, None]  # (batch, bin, frame)
            mask = mask.view(mask.shape[0], *[1] * (features.dim() - 3), *mask.shape[1:])
            own = own_frames(features, torch.where(active, frames, 0))
            return torch.where(mask & own, fill_value(self.fill, features, frames), features)

        return clips.with_values(features=map_features(clips, masked))

    def spans(self, widths: Numbers, places: Numbers, frames: Numbers) -> tuple[Numbers, Numbers]:
        """Return where the masks over time of this augmentation begin and end, int64 (batch, masks).

        Args:
            widths: (batch, masks) in [0, 1), what widths are drawn by.
            places: (batch, masks) in [0, 1), what places are drawn by.
            frames: (batch,) true frames of each clip.

        Tensors, or arrays as `HostDraws` gives them.
        """
        if isinstance(self.time_width, float):
            widest = _share_of(frames, self.time_width)
            widest = widest.clip(1) if self.placing == "nemo" else widest
            widest = _least(widest, _share_of(frames, self.max_time_share))
        else:
            widest = _share_of(frames, self.max_time_share).clip(None, self.time_width)
        begin, end = _placed(widths, places, widest[:, None], frames[:, None], nemo=self.placing == "nemo")
        if isinstance(self.time_masks, float):
            # a mask that is not counted is none
            count = _share_of(frames, self.time_masks)[:, None]
            each = (
                np.arange(widths.shape[1])
                if isinstance(count, np.ndarray)
                else torch.arange(widths.shape[1], device=count.device)
            )
            end = begin + (end - begin) * (each < count)
        return begin, end

    def _spans_of_bins(self, draws: Draws, bins: int) -> tuple[Numbers, Numbers]:
        """Return where the masks over frequency of this augmentation begin and end, int64 (batch, masks)."""
        if self.freq_masks and self.freq_width > bins:
            raise ValueError(
                f"freq_width={self.freq_width} must be at most the features' {bins} bins; give fewer, or a share of "
                "them as a float, such as 0.3"
            )
        drawn = draws.uniform(count=2 * self.freq_masks)
        widest = int(bins * self.freq_width if isinstance(self.freq_width, float) else self.freq_width)
        widths, places = drawn[:, : self.freq_masks], drawn[:, self.freq_masks : 2 * self.freq_masks]
        return _placed(widths, places, widest, bins, nemo=self.placing == "nemo")


def _within(begin: torch.Tensor, end: torch.Tensor, size: int) -> torch.Tensor:
    """Return the masks (batch, size) of an augmentation of spectra, from where each begins and ends (batch, masks)."""
    place = torch.arange(size, device=begin.device)
    return ((place >= begin[..., None]) & (place < end[..., None])).any(1)


def _placed(
    widths: Numbers, places: Numbers, widest: Numbers | int, size: Numbers | int, *, nemo: bool
) -> tuple[Numbers, Numbers]:
    """Return the begin and end of masks of an augmentation of spectra, from numbers (batch, masks) in [0, 1)."""
    width = _least(_whole(widths * (widest + 1)), widest)
    last = size - (_least(widest, size) if nemo else width)
    begin = _least(_whole(places * (last + 1)), last)
    return begin, begin + width


def _whole(numbers: Numbers) -> Numbers:
    """Return numbers of an augmentation, 0 or more, rounded down, int64."""
    return numbers.astype(np.int64) if isinstance(numbers, np.ndarray) else numbers.long()


def _share_of(numbers: Numbers, share: float) -> Numbers:
    """Return a share of integers of an augmentation, rounded down, int64, of products in float32 as torch has them."""
    if isinstance(numbers, np.ndarray):
        return (numbers.astype(np.float32) * np.float32(share)).astype(np.int64)
    return (numbers * share).long()


def _least(a: Numbers | int, b: Numbers | int) -> Any:
    """Return the smaller of two integers of an augmentation, element by element."""
    if isinstance(a, int):
        a, b = b, a
    if isinstance(a, int):
        return min(a, int(b))
    if isinstance(a, np.ndarray):
        return np.minimum(a, b)
    return a.clamp_max(b) if isinstance(b, int) else torch.minimum(a, b)
