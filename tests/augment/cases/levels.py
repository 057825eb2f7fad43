"""Cases of the augmentations of levels and sample values."""

from __future__ import annotations

import audiofeed as af
from tests.augment.cases.case import Case

CASES = {
    "Dither": Case(lambda: af.augment.Dither(0.1)),
    "Gain": Case(lambda: af.augment.Gain((-12, 6))),
    "Gain-peak": Case(lambda: af.augment.Gain((-12, 0), relative_to="peak", p=0.8)),
    "Gain-rms": Case(lambda: af.augment.Gain((-30, -10), relative_to="rms")),
    "Polarity": Case(lambda: af.augment.Polarity(p=0.6)),
    "Clip": Case(lambda: af.augment.Clip((0.1, 0.5))),
    "Clip-samples": Case(lambda: af.augment.Clip((0.05, 0.3), relative_to="samples")),
    "Clip-full-scale": Case(lambda: af.augment.Clip((0.1, 0.4), relative_to="full_scale")),
    "BitDepth": Case(lambda: af.augment.BitDepth((3, 8))),
    "MuLaw": Case(lambda: af.augment.MuLaw((4, 8))),
}
