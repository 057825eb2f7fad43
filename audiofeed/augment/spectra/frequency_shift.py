"""Features moved up or down by bins: another pitch where bins are notes, another tract length in mel."""

from __future__ import annotations

import torch

from audiofeed.augment.contract.augmentation import Augmentation
from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.contract.draws import Draws
from audiofeed.augment.contract.feature_trees import map_features, own_frames
from audiofeed.augment.spectra.fill import Fill, check_fill, fill_value


class FrequencyShift(Augmentation):
    """Augmentation that moves features up or down by a drawn number of bins.

    Of a constant-Q transform a bin is a step of pitch, so that it is transposed. All features of a `Stack` are moved by
    the same number of bins.

    Args:
        bins: Range of the bins that features are moved by, integers, below 0 for downward; or one of them. Each in it
            is as likely.
        fill: What stands in the bins that are left: "edge" (the last bin repeated), "zero", "mean" (of the clip's own
            frames), or a number.
        p: Probability that a clip is augmented, 0 to 1.

    Raises:
        ValueError: An argument is out of range.

    >>> FrequencyShift(1, fill="zero")(torch.tensor([[[1.0], [2.0], [3.0]]]))[0, :, 0]
    tensor([0., 1., 2.])
    """

    stage = "features"
    changes = frozenset({"features"})

    def __init__(self, bins: int | tuple[int, int] = (-4, 4), *, fill: Fill = "edge", p: float = 1.0) -> None:
        super().__init__(p)
        pair = bins if isinstance(bins, tuple | list) else (bins, bins)
        if len(pair) != 2 or any(type(n) is not int for n in pair) or pair[0] > pair[1]:
            raise ValueError(f"bins={bins!r} must be an integer, or a range (lowest, highest) of them: bins=(-4, 4)")
        self.bins = (pair[0], pair[1])
        self.fill = check_fill(fill, ("edge", "zero", "mean"))

    def extra_repr(self) -> str:
        """Show the settings of this augmentation."""
        return ", ".join([f"bins={self.bins}, fill={self.fill!r}", *filter(None, [super().extra_repr()])])

    def drawn(self, draws: Draws) -> torch.Tensor:
        """Draw the bins that this augmentation moves each clip's features by, int64 (batch,)."""
        low, high = self.bins
        return draws.integers(high - low + 1) + low

    def change(self, clips: Clips, active: torch.Tensor, draws: Draws) -> Clips:
        """Move the features of this augmentation's clips."""
        shift = self.drawn(draws)

        def moved(features: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
            size = features.shape[-2]
            source = torch.arange(size, device=features.device) - shift[:, None]
            spread = (-1, *[1] * (features.dim() - 3), size, 1)
            found = features.gather(-2, source.clamp(0, size - 1).view(spread).expand_as(features))
            if self.fill != "edge":
                inside = ((source >= 0) & (source < size)).view(spread)
                found = torch.where(inside, found, fill_value(self.fill, features, frames))
            return torch.where(own_frames(features, torch.where(active, frames, 0)), found, features)

        return clips.with_values(features=map_features(clips, moved))
