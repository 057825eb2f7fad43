"""Cases of the augmentations that mix clips with others."""

from __future__ import annotations

import torch

import audiofeed as af
from tests.augment.cases.case import Case


class Others(torch.utils.data.Dataset):
    """Noises of unequal lengths, with a crop that the key draws."""

    takes_keys = True

    def __len__(self):
        return 30

    def __getitem__(self, key):
        epoch, index = key
        generator = torch.Generator().manual_seed(epoch * 100 + index)
        wave = 0.1 * torch.randn(1500 + 800 * (index % 7), generator=generator)
        return af.AudioExample(wave, 16_000, key=f"other {index}")


CASES = {
    "Mixup": Case(lambda: af.augment.Mixup(Others(), labels="own")),
    "Mixup-energy": Case(lambda: af.augment.Mixup(Others(), alpha=0.4, labels="own", by="energy", fit="once")),
    "MixWithin": Case(lambda: af.augment.MixWithin()),
    "MixWithin-energy": Case(lambda: af.augment.MixWithin(by="energy", labels="union", alpha=5)),
    "MixWithin-features": Case(lambda: af.augment.MixWithin(on="features", fit="once")),
    "CutMix": Case(lambda: af.augment.CutMix()),
    "CutMix-features": Case(lambda: af.augment.CutMix(on="features")),
    "CutMix-frequency": Case(lambda: af.augment.CutMix(on="features", along="frequency")),
}
