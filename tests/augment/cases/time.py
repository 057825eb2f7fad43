"""Cases of the augmentations of time and pitch."""

from __future__ import annotations

import audiofeed as af
from tests.augment.cases.case import Case

CASES = {
    "DropChunks": Case(lambda: af.augment.DropChunks((2, 5), (0.1, 0.2), unit="share")),
    "DropChunks-noise": Case(lambda: af.augment.DropChunks((1, 3), (0.001, 0.01), fill="noise")),
    "Speed": Case(lambda: af.augment.Speed((0.8, 1.25))),
    "Speed-choices": Case(lambda: af.augment.Speed(choices=(0.9, 1.0, 1.1), p=0.9)),
    "TimeShift": Case(lambda: af.augment.TimeShift()),
    "TimeShift-pad": Case(lambda: af.augment.TimeShift((-0.02, 0.02), unit="seconds", mode="pad", p=0.8)),
}
