"""The inverse of the constant-Q and the variable-Q transform."""

from __future__ import annotations

from audiofeed.transforms.constant_q.inverse_cqt import InverseCQT
from tests.transforms.cases import Case

OCTAVES = {"sample_rate": 8000, "hop_length": 16, "f_min": 250.0, "n_bins": 24, "bins_per_octave": 6}
# a hop of 60 is odd after two octaves, and too long for the highest bins
CONSTANT = {"sample_rate": 8000, "hop_length": 60, "f_min": 300.0, "n_bins": 9, "bins_per_octave": 3, "method": "conv"}
EARLY = {"sample_rate": 8000, "hop_length": 64, "f_min": 100.0, "n_bins": 6, "bins_per_octave": 3, "n_iter": 1}
SMALL = {"hop_length": 8, "f_min": 800.0, "n_bins": 4, "bins_per_octave": 3}
SPECTRUM = {"takes": "spectrum", "small": SMALL, "small_bins": 4, "small_size": 6}

CASES = [
    Case(cls=InverseCQT, settings=OCTAVES, bins=24, **SPECTRUM),
    Case(cls=InverseCQT, settings={**CONSTANT, "gamma": 20.0, "scale": False}, bins=9, **SPECTRUM),
    Case(cls=InverseCQT, settings=EARLY, bins=6, **SPECTRUM),
]
