"""Cases of the augmentations that add noise."""

from __future__ import annotations

import audiofeed as af
from tests.augment.cases.case import Case

CASES = {
    "AddNoise": Case(lambda: af.augment.AddNoise((0, 20))),
    "AddNoise-colored": Case(lambda: af.augment.AddNoise((0, 20), color=("blue", "brown"), p=0.8)),
}
