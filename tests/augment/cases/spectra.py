"""Cases of the augmentations of features, and of the filters that make them."""

from __future__ import annotations

import audiofeed as af
from tests.augment.cases.case import Case

CASES = {
    "SpecAugment": Case(lambda: af.augment.SpecAugment(freq_width=4, max_time_share=0.5)),
    "SpecAugment-share": Case(lambda: af.augment.SpecAugment(time_masks=0.05, time_width=0.1, freq_width=0.3)),
    "SpecAugment-nemo": Case(
        lambda: af.augment.SpecAugment(time_masks=4, time_width=0.2, freq_width=3, placing="nemo", fill="mean")
    ),
    "SpecAugment-warp": Case(lambda: af.augment.SpecAugment(freq_width=4, warp=8, fill=-3.0)),
}
