"""CutMix: a stretch of time, or a band of frequency, of each clip replaced by another's of its batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch

from audiofeed.arguments.checks import check_choice
from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.contract.draws import Draws
from audiofeed.augment.contract.feature_trees import map_features, of_clips
from audiofeed.augment.mixing.labels import Labels, LabelSettings, Mix, within
from audiofeed.augment.mixing.mix_within import On, mixed_frames, partner_rows, put_frames, stage_of
from audiofeed.augment.mixing.mixing import Mixing
from audiofeed.augment.mixing.mixup import draws_of, mixed_targets
from audiofeed.augment.mixing.partners import Fit, Fitting


class CutMix(Mixing):
    """Augmentation that puts a stretch of another clip of the batch in each clip's place, and mixes their targets.

    The stretch is drawn within the clip's true length, as long as the partner's share of it; targets are weighted by
    the share that is left of the clip, in whole samples, frames or bins. Targets in time are the partner's within the
    stretch, and the clip's around it. Partners are those of `MixWithin`, and depend on the batch as there; so do
    `batch.fields["mix_weight"]`, the share of its own that is left of each clip, and `batch.fields["mix_partner"]`.

    Follows Yun et al. 2019 (ICCV), along one axis.

    Args:
        on: What is cut: "waveforms" or "features".
        along: "time", or "frequency": a band of bins of all of the clip's frames, for features.
        alpha: The share that is left of the clip is drawn from Beta(alpha, alpha), above 0.
        n_classes: Number of classes of targets that are integers, 2 or more; they become (batch, n_classes) float32. A
            mapping of them by name where targets are a dict. None: no target is an integer.
        labels: What becomes of targets. "mix": they are weighted by the shares and added. "union": the larger of the
            two is taken, as for tags. "own": they stay the clip's.
        fit: What becomes of a shorter partner. "tile": it is repeated to the clip's end. "once": it is heard once. A
            longer one is cut at a drawn place.
        p: Probability that a clip is mixed, 0 to 1.

    Raises:
        ValueError: An argument is out of range, or along="frequency" stands beside on="waveforms"; or, when called, a
            target cannot be mixed.

    >>> CutMix(on="features", along="frequency")
    CutMix(on='features', along='frequency', alpha=1, labels='mix', fit='tile')
    """

    alone = False

    def __init__(
        self,
        *,
        on: On = "waveforms",
        along: Literal["time", "frequency"] = "time",
        alpha: float = 1.0,
        n_classes: int | Mapping[str, int] | None = None,
        labels: Labels = "mix",
        fit: Fit = "tile",
        p: float = 1.0,
    ) -> None:
        super().__init__(alpha, LabelSettings(n_classes=n_classes, labels=labels), p)
        check_choice("on", on, ("waveforms", "features"))
        check_choice("along", along, ("time", "frequency"))
        check_choice("fit", fit, ("tile", "once"))
        if on == "waveforms" and along == "frequency":
            raise ValueError("along='frequency' must stand with on='features': a waveform has no bins")
        self.on, self.along, self.fit = on, along, fit
        stage_of(self, on)

    def extra_repr(self) -> str:
        """Show the settings of this augmentation."""
        return f"on={self.on!r}, along={self.along!r}, {super().extra_repr()}, fit={self.fit!r}"

    def change(self, clips: Clips, active: torch.Tensor, draws: Draws) -> Clips:
        """Replace a stretch of this augmentation's clips, and mix their targets."""
        rows, active = partner_rows(draws, active)
        share, places = draws_of(self, draws, active)
        begins = draws.uniform()
        if self.on == "waveforms":
            return self._of_waveforms(clips, active, rows, share, places, begins)
        left: list[torch.Tensor] = []

        def cut(values: torch.Tensor, frames: torch.Tensor, *, union: bool = False) -> torch.Tensor:
            placed = Fitting(frames, frames[rows], rows, places, active, self.fit).placed(values, values.shape[-1])
            stretch = stretch_of(share, begins, frames)
            return put_frames(values, torch.where(within(stretch, values), placed, values), frames, active)

        def cut_band(values: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
            placed = Fitting(frames, frames[rows], rows, places, active, self.fit).placed(values, values.shape[-1])
            band = stretch_of(share, begins, torch.full_like(frames, values.shape[-2]))
            return put_frames(values, torch.where(within(band, values, -2), placed, values), frames, active)

        def of_features(values: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
            size = frames if self.along == "time" else torch.full_like(frames, values.shape[-2])
            left.append(left_of(stretch_of(share, begins, size), size, active))
            return (cut if self.along == "time" else cut_band)(values, frames)

        features = map_features(clips, of_features)
        # of several features, the first tells what is left of a clip
        weights = left[0]

        def weighted(values: torch.Tensor, frames: torch.Tensor, *, union: bool = False) -> torch.Tensor:
            placed = Fitting(frames, frames[rows], rows, places, active, self.fit).placed(values, values.shape[-1])
            weight = of_clips(weights.to(values.dtype), values)
            joined = torch.maximum(values, placed) if union else weight * values + (1 - weight) * placed
            return put_frames(values, joined, frames, active)

        of_frames = cut if self.along == "time" else weighted
        targets = mixed_frames(self, clips, weights, active, rows, of_frames)
        return clips.with_values(features=features, **targets)

    def _of_waveforms(
        self,
        clips: Clips,
        active: torch.Tensor,
        rows: torch.Tensor,
        share: torch.Tensor,
        places: torch.Tensor,
        begins: torch.Tensor,
    ) -> Clips:
        waveforms, lengths = clips.waveforms, clips.lengths
        stretch = stretch_of(share, begins, lengths)
        fitting = Fitting(lengths, lengths[rows], rows, places, active, self.fit)
        exchanged = fitting.exchanged(waveforms, stretch)
        if exchanged is not None:
            cut = clips.with_values(waveforms=exchanged)
        else:
            placed = fitting.placed(waveforms, clips.size)
            cut = clips.put(active, torch.where(within(stretch, waveforms), placed, waveforms))
        weights = left_of(stretch, lengths, active)
        mix = Mix(self.settings, weights, active, None, fitting, (clips.size, clips.size), stretch)
        return cut.with_values(**mixed_targets(mix, clips, clips, rows))


def stretch_of(share: torch.Tensor, places: torch.Tensor, sizes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the stretch of each of an augmentation's clips that is replaced, int64 (batch,) each: begin and end.

    Args:
        share: float64 (batch,), what is to be left of the clip.
        places: (batch,) in [0, 1), what the begin is drawn by.
        sizes: (batch,) samples, frames or bins.

    >>> stretch_of(torch.tensor([0.75]), torch.tensor([0.5]), torch.tensor([8]))
    (tensor([3]), tensor([5]))
    """
    cut = ((1 - share) * sizes + 0.5).floor().long()
    room = sizes - cut
    begin = torch.minimum((places * (room + 1)).floor().long(), room)
    return begin, begin + cut


def left_of(stretch: tuple[torch.Tensor, torch.Tensor], sizes: torch.Tensor, active: torch.Tensor) -> torch.Tensor:
    """Return what is left of each of an augmentation's clips around a stretch, a share of it, float64 (batch,)."""
    left = 1 - (stretch[1] - stretch[0]).double() / sizes.clamp_min(1)
    return torch.where(active, left, 1.0)
