"""The invertible constant-Q transform and its inverse."""

from __future__ import annotations

from audiofeed.transforms.constant_q.invertible_cqt import InvertibleCQT
from audiofeed.transforms.constant_q.invertible_cqt_inverse import InvertibleCQTInverse
from tests.transforms.cases import Case

# slices of 304 samples, so that a clip of 500 takes several; those of the other cases take one of their own
WIDE = {"sample_rate": 8000, "f_min": 1000.0, "bins_per_octave": 1, "hop_length": 4, "slice_length": 304}
FINE = {"sample_rate": 8000, "f_min": 900.0, "f_max": 1500.0, "bins_per_octave": 5, "hop_length": 8, "transition": 560}
SMALL = {"sample_rate": 8000, "f_min": 1000.0, "f_max": None, "bins_per_octave": 1, "hop_length": 4}
SMALL |= {"slice_length": 48, "transition": 16}
SPECTRUM = {"takes": "spectrum", "small": SMALL, "small_size": 4}

CASES = [
    Case(cls=InvertibleCQT, settings=WIDE, small=SMALL),
    Case(cls=InvertibleCQT, settings={**FINE, "power": 1.0}, small=SMALL),
    Case(cls=InvertibleCQT, settings={"sample_rate": 8000, "f_min": 700.0, "power": 2.0}, small=SMALL),
    Case(cls=InvertibleCQTInverse, settings=WIDE, bins=5, small_bins=5, **SPECTRUM),
    Case(cls=InvertibleCQTInverse, settings=FINE, bins=13, small_bins=5, **SPECTRUM),
]
