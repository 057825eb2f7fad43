"""Mixup within a batch: each clip mixed with another of its batch, as waveforms or as features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch

from audiofeed.arguments.checks import check_choice
from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.contract.draws import Draws
from audiofeed.augment.contract.feature_trees import map_features, map_framed, of_clips
from audiofeed.augment.mixing.labels import Labels, LabelSettings, Mix
from audiofeed.augment.mixing.mixing import Mixing
from audiofeed.augment.mixing.mixup import By, draws_of, mixed_targets, mixed_within
from audiofeed.augment.mixing.partners import Fit, Fitting

On = Literal["waveforms", "features"]


class MixWithin(Mixing):
    """Augmentation that mixes each clip with another of its batch, and their targets: mixup as timm has it.

    What becomes of a clip depends on its batch by nature: the seeds put the clips of a batch in an order, whatever
    their rows, and each is mixed with the one that follows. So none is its own partner, and a batch of one is not
    mixed. `Mixup` reads partners from a dataset instead, so that a clip does not depend on its batch.

    `batch.fields["mix_weight"]` is the clip's own share, float32 (batch,), 1 where it was not mixed, and
    `batch.fields["mix_partner"]` the row of its partner, int64 (batch,), its own where there is none:
    `batch.names[row]` names it. Other fields are the clip's own, but for those in time. In evaluation mode (`.eval()`)
    nothing is mixed, and targets stay as they are.

    Args:
        on: What is mixed: "waveforms", or "features" as they are, logarithms where they are logarithms.
        alpha: The clip's share is drawn from Beta(alpha, alpha), above 0. 1: every share alike; below: mostly one of
            the two; above: about half.
        n_classes: Number of classes of targets that are integers, 2 or more; they become (batch, n_classes) float32. A
            mapping of them by name where targets are a dict. None: no target is an integer.
        labels: What becomes of targets. "mix": they are weighted by the shares and added. "union": the larger of the
            two is taken, as for tags. "own": they stay the clip's.
        fit: What becomes of a shorter partner. "tile": it is repeated to the clip's end. "once": it is heard once. A
            longer one is cut at a drawn place.
        p: Probability that a clip is mixed, 0 to 1.
        by: As in `Mixup`; "amplitude" for features.

    Raises:
        ValueError: An argument is out of range; or, when called, a target cannot be mixed.

    >>> MixWithin(n_classes=10)
    MixWithin(on='waveforms', alpha=1, labels='mix', n_classes=10, by='amplitude', fit='tile')
    """

    alone = False

    def __init__(
        self,
        *,
        on: On = "waveforms",
        alpha: float = 1.0,
        n_classes: int | Mapping[str, int] | None = None,
        labels: Labels = "mix",
        by: By = "amplitude",
        fit: Fit = "tile",
        p: float = 1.0,
    ) -> None:
        super().__init__(alpha, LabelSettings(n_classes=n_classes, labels=labels), p)
        check_choice("on", on, ("waveforms", "features"))
        check_choice("by", by, ("amplitude", "energy"))
        check_choice("fit", fit, ("tile", "once"))
        if on == "features" and by == "energy":
            raise ValueError("by='energy' must be by='amplitude' with on='features', whose energy is not known")
        self.on, self.by, self.fit = on, by, fit
        stage_of(self, on)

    def extra_repr(self) -> str:
        """Show the settings of this augmentation."""
        return f"on={self.on!r}, {super().extra_repr()}, by={self.by!r}, fit={self.fit!r}"

    def change(self, clips: Clips, active: torch.Tensor, draws: Draws) -> Clips:
        """Mix the waveforms or features of this augmentation's clips, and their targets."""
        rows, active = partner_rows(draws, active)
        share, places = draws_of(self, draws, active)
        if self.on == "waveforms":
            fitting = Fitting(clips.lengths, clips.lengths[rows], rows, places, active, self.fit)
            return mixed_within(self, clips, share, fitting, clips, rows)

        def mixed(values: torch.Tensor, frames: torch.Tensor, *, union: bool = False) -> torch.Tensor:
            placed = Fitting(frames, frames[rows], rows, places, active, self.fit).placed(values, values.shape[-1])
            weight = of_clips(share.to(values.real.dtype), values)
            joined = torch.maximum(values, placed) if union else weight * values + (1 - weight) * placed
            return put_frames(values, joined, frames, active)

        targets = mixed_frames(self, clips, share, active, rows, mixed)
        return clips.with_values(features=map_features(clips, mixed), **targets)


def stage_of(mixing: Any, on: On) -> None:
    """Set what an augmentation that mixes works on, and what it changes."""
    mixing.stage = on
    mixing.changes = frozenset({on, "targets", "fields"})


def partner_rows(draws: Draws, active: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw the partner of each of an augmentation's clips among those of the batch.

    Args:
        draws: What is drawn for each clip.
        active: (batch,) bool.

    Returns:
        int64 (batch,), the row of each one's partner; and the clips that are mixed, none of a batch of one.

    >>> partner_rows(Draws(torch.tensor([5, 6]), "x"), torch.tensor([True, False]))
    (tensor([1, 1]), tensor([ True, False]))
    """
    order = torch.argsort(draws.uniform(), stable=True)
    rows = torch.empty_like(order).scatter_(0, order, order.roll(-1))
    own = torch.arange(rows.shape[0], device=rows.device)
    if rows.shape[0] < 2:
        active = torch.zeros_like(active)
    return torch.where(active, rows, own), active


def put_frames(values: torch.Tensor, changed: torch.Tensor, frames: torch.Tensor, active: torch.Tensor) -> torch.Tensor:
    """Return features of an augmentation's clips, changed in the true frames of those that are mixed."""
    place = torch.arange(values.shape[-1], device=values.device)
    own = (place < torch.where(active, frames, 0)[:, None]).view(-1, *[1] * (values.dim() - 2), values.shape[-1])
    return torch.where(own, changed, values)


def mixed_frames(
    mixing: Any, clips: Clips, share: torch.Tensor, active: torch.Tensor, rows: torch.Tensor, of_frames: Any
) -> dict[str, Any]:
    """Return the targets and fields of an augmentation's clips whose features were mixed, by these names.

    Args:
        mixing: The augmentation; has `settings` and `fit`.
        clips: The clips.
        share: float64 (batch,), the clip's own.
        active: (batch,) bool.
        rows: (batch,), the partner of each clip.
        of_frames: Mixes targets (batch, ..., frames) with the frames of each clip (batch,), and `union` for the larger
            of two labels in place of their weighted sum.
    """
    if mixing.settings.labels != "own":
        clips = clips.with_values(**map_framed(clips, framed_by(mixing, of_frames)))
    framed = "targets" in clips.framed
    lengths = clips.lengths
    fitting = Fitting(lengths, lengths[rows], rows, share, active, mixing.fit)
    mix = Mix(mixing.settings, share, active, None, fitting, (-1, -1))
    plain = clips.with_values(targets=None) if framed else clips
    found = mixed_targets(mix, plain, plain, rows)
    return {**found, "targets": clips.targets} if framed else found


def framed_by(mixing: Any, of_frames: Any) -> Any:
    """Return what mixes the targets by frame of an augmentation's clips as it does their features."""

    union = mixing.settings.labels == "union"

    def changed(targets: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        if not targets.is_floating_point():
            raise ValueError(
                f"targets by frame are {targets.dtype}, which cannot be mixed; mix waveforms (on='waveforms'), give "
                "floats, or labels='own' to keep the clips' own"
            )
        return of_frames(targets, frames, union=union)

    return changed
