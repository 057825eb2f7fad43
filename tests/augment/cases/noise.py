"""Cases of the augmentations that add noise."""

from __future__ import annotations

import torch

import audiofeed as af
from tests.augment.cases.case import Case


def sounds() -> list[torch.Tensor]:
    """Sounds that are longer and shorter than the cases' clips, of one sample too."""
    return [0.1 * torch.randn(n, generator=torch.Generator().manual_seed(n)) for n in (20_000, 3_000, 1, 9_000)]


CASES = {
    "AddBackground": Case(lambda: af.augment.AddBackground(sounds(), (0, 20))),
    "AddBackground-pad": Case(lambda: af.augment.AddBackground(sounds(), (0, 20), short="pad")),
    "AddBackground-device": Case(lambda: af.augment.AddBackground(sounds(), (0, 20), keep="device", p=0.8)),
    "AddNoise": Case(lambda: af.augment.AddNoise((0, 20))),
    "AddNoise-colored": Case(lambda: af.augment.AddNoise((0, 20), color=("blue", "brown"), p=0.8)),
}
