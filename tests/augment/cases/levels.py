"""Cases of the augmentations of levels and sample values."""

from __future__ import annotations

import audiofeed as af
from tests.augment.cases.case import Case

CASES = {
    "Dither": Case(lambda: af.augment.Dither(0.1)),
}
