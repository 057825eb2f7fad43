"""What augmentations that mix clips share: when, by which share, and what the batch keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from audiofeed.augment.contract.augmentation import Augmentation
from audiofeed.augment.contract.draws import Draws
from audiofeed.augment.mixing.labels import LabelSettings

WEIGHT, PARTNER = "mix_weight", "mix_partner"


class Mixing(Augmentation):
    """Augmentation that mixes clips with others; the base of `Mixup`, `MixWithin` and `CutMix`.

    Args:
        alpha: The share of a clip in its mix is drawn from Beta(alpha, alpha), above 0.
        settings: What becomes of targets.
        p: Probability that a clip is mixed, 0 to 1.
    """

    changes = frozenset({"waveforms", "targets", "fields"})
    # targets have one form in every batch, also in one of which no clip is mixed
    always = True

    def __init__(self, alpha: float, settings: LabelSettings, p: float) -> None:
        super().__init__(p)
        number = isinstance(alpha, int | float) and not isinstance(alpha, bool)
        if not number or not 0 < alpha < float("inf"):
            raise ValueError(f"alpha={alpha!r} must be a number above 0: 1 draws every share alike")
        self.alpha = float(alpha)
        self.settings = settings

    def share(self, draws: Draws, active: torch.Tensor) -> torch.Tensor:
        """Draw the share of each clip in this augmentation's mix, float64 (batch,); 1 for one that is not mixed."""
        share = draws.uniform() if self.alpha == 1 else draws.beta(self.alpha)
        return torch.where(active, share, 1.0)

    def extra_repr(self) -> str:
        """Show the settings of this augmentation."""
        own = [f"alpha={self.alpha:g}", f"labels={self.settings.labels!r}"]
        own += [] if self.settings.n_classes is None else [f"n_classes={self.settings.n_classes!r}"]
        return ", ".join([*own, *filter(None, [super().extra_repr()])])


def with_mix(fields: Mapping[Any, Any], weights: torch.Tensor, partners: Any) -> dict[Any, Any]:
    """Return the fields of an augmentation's clips with their share in the mix, and their partners.

    Args:
        fields: Fields of the batch. A mix of mixes has the product of the weights, and a tuple of the partners.
        weights: (batch,), the clip's own.
        partners: One for each clip.

    >>> with_mix({}, torch.tensor([0.7]), ["b.wav"])
    {'mix_weight': tensor([0.7000]), 'mix_partner': ['b.wav']}
    """
    weights = weights.float()
    if WEIGHT not in fields:
        return {**fields, WEIGHT: weights, PARTNER: partners}
    known = fields[WEIGHT]
    if not isinstance(known, torch.Tensor) or known.shape != weights.shape or PARTNER not in fields:
        raise ValueError(f"the clips have a field {WEIGHT!r} of their own, which a mix needs; give it another name")
    before = fields[PARTNER]
    earlier = before if isinstance(before, tuple) else (before,)
    return {**fields, WEIGHT: known * weights, PARTNER: (*earlier, partners)}
