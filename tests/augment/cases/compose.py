"""Cases of the augmentations that are made of others."""

from __future__ import annotations

import audiofeed as af
from tests.augment.cases.case import Case


def noise(amount: float, **settings) -> af.augment.Dither:
    return af.augment.Dither(amount, **settings)


CASES = {
    "Compose": Case(lambda: af.augment.Compose([noise(0.1), noise(0.2, p=0.5)])),
    "OneOf": Case(lambda: af.augment.OneOf([noise(0.1), noise(0.2)], weights=[1, 3])),
    "Sometimes": Case(lambda: af.augment.Sometimes(noise(0.1), p=0.7)),
}
