"""Constant-Q transforms and their inverses."""

from __future__ import annotations

from audiofeed.transforms.constant_q.cqt import CQT, VQT
from audiofeed.transforms.constant_q.harmonic_cqt import HarmonicCQT
from audiofeed.transforms.constant_q.hybrid_cqt import HybridCQT, PseudoCQT
from audiofeed.transforms.constant_q.inverse_cqt import InverseCQT
from audiofeed.transforms.constant_q.invertible_cqt import InvertibleCQT
from audiofeed.transforms.constant_q.invertible_cqt_inverse import InvertibleCQTInverse
from tests.transforms.cases import Case

SHORT = {"n_bins": 3, "bins_per_octave": 2, "f_min": 700.0, "hop_length": 6}

SMALL = {"sample_rate": 8000, "f_min": 200.0, "n_bins": 20, "bins_per_octave": 5}

PER_CLIP = "each clip's own tuning is estimated from all of its rows"

ON_HOST = "kernels for an estimated tuning are made on the host"

STEPS = "a tuning is one of 100 values, and each has kernels of its own"

STACK = {"sample_rate": 8000, "f_min": 200.0, "n_bins": 12, "bins_per_octave": 5}

STACKED = {"n_bins": 3, "bins_per_octave": 2, "f_min": 700.0, "hop_length": 6, "harmonics": (1, 1.5)}

OCTAVES = {"sample_rate": 8000, "hop_length": 16, "f_min": 250.0, "n_bins": 24, "bins_per_octave": 6}

SMALL_INVERSE_CQT = {"hop_length": 8, "f_min": 800.0, "n_bins": 4, "bins_per_octave": 3}

SPECTRUM = {"takes": "spectrum", "small": SMALL_INVERSE_CQT, "small_bins": 4, "small_size": 6}

# a hop of 60 is odd after two octaves, and too long for the highest bins
CONSTANT = {"sample_rate": 8000, "hop_length": 60, "f_min": 300.0, "n_bins": 9, "bins_per_octave": 3, "method": "conv"}

SPECTRUM_INVERSE_CQT = {"takes": "spectrum", "small": SMALL_INVERSE_CQT, "small_bins": 4, "small_size": 6}

EARLY = {"sample_rate": 8000, "hop_length": 64, "f_min": 100.0, "n_bins": 6, "bins_per_octave": 3, "n_iter": 1}

# slices of 304 samples, so that a clip of 500 takes several; those of the other cases take one of their own
WIDE = {"sample_rate": 8000, "f_min": 1000.0, "bins_per_octave": 1, "hop_length": 4, "slice_length": 304}

SMALL_INVERTIBLE_CQT = {"sample_rate": 8000, "f_min": 1000.0, "f_max": None, "bins_per_octave": 1, "hop_length": 4}

FINE = {"sample_rate": 8000, "f_min": 900.0, "f_max": 1500.0, "bins_per_octave": 5, "hop_length": 8, "transition": 560}

SPECTRUM_INVERTIBLE_CQT = {"takes": "spectrum", "small": SMALL_INVERTIBLE_CQT, "small_size": 4}

CASES = [
    # the hop has enough factors of 2; too few; none; too many, so that the rate falls before the first octave
    Case(cls=CQT, settings={**SMALL, "hop_length": 32, "power": None}, small=SHORT),
    Case(cls=CQT, settings={**SMALL, "hop_length": 50, "pad_mode": "reflect", "sparsity": 0.0}, small=SHORT),
    Case(cls=CQT, settings={**SMALL, "hop_length": 33, "power": 2.0, "scale": False}, small=SHORT),
    Case(
        cls=CQT,
        settings={"sample_rate": 8000, "f_min": 100.0, "n_bins": 12, "hop_length": 64, "pad_mode": "circular"},
        small={"n_bins": 3, "bins_per_octave": 2},
        rounding=1e-7,
        why="a clip of one sample, repeated for ever, is constant: of that a wavelet leaves rounding only",
    ),
    Case(cls=CQT, settings={**SMALL, "hop_length": 40, "method": "conv", "pad_mode": "replicate"}, small=SHORT),
    Case(cls=CQT, settings={**SMALL, "hop_length": 32, "trainable": True}, small=SHORT, state=("kernels",)),
    Case(
        cls=CQT,
        settings={**SMALL, "hop_length": 45, "method": "conv", "trainable": True, "power": 1.5},
        small=SHORT,
        state=("kernels",),
    ),
    Case(
        cls=CQT,
        settings={**SMALL, "hop_length": 32, "tuning": None, "normalization": "wrap"},
        shares=PER_CLIP,
        not_compiled=ON_HOST,
        kinks=STEPS,
    ),
    Case(cls=VQT, settings={**SMALL, "hop_length": 32, "gamma": 30.0, "intervals": "ji5"}, small=SHORT),
    Case(
        cls=VQT,
        settings={**SMALL, "hop_length": 16, "window": "hamming", "norm": 2.0, "filter_scale": 0.7, "tuning": 0.3},
        small=SHORT,
    ),
    Case(cls=PseudoCQT, settings={**SMALL, "hop_length": 32, "pad_mode": "reflect"}, small=SHORT),
    Case(cls=PseudoCQT, settings={**SMALL, "hop_length": 45, "power": 2.0, "scale": False}, small=SHORT),
    Case(cls=HybridCQT, settings={**SMALL, "hop_length": 128, "power": 2.0}, small=SHORT),
    Case(cls=HybridCQT, settings={**SMALL, "hop_length": 100, "sparsity": 0.0}, small={**SHORT, "hop_length": 20}),
    # octaves that share bins and others that do not; a hop with factors of 2 and one without
    Case(
        cls=HarmonicCQT,
        settings={**STACK, "hop_length": 64, "harmonics": (0.5, 1, 2, 3), "power": None},
        small=STACKED,
    ),
    Case(
        cls=HarmonicCQT,
        settings={**STACK, "hop_length": 33, "harmonics": (2, 1, 1.5), "pad_mode": "reflect", "power": 2.0},
        small=STACKED,
        rounding=1e-8,  # of clips of 3 samples next to nothing is left: float32 rounding (1.2e-9 seen)
    ),
    Case(
        cls=HarmonicCQT,
        settings={**STACK, "hop_length": 32, "harmonics": (1, 7, 40), "above_nyquist": "zeros", "trainable": True},
        small={**STACKED, "harmonics": (1, 3, 40)},
        state=("kernels",),
    ),
    Case(cls=HarmonicCQT, settings={**STACK, "hop_length": 40, "harmonics": (1, 3), "exact": False}, small=STACKED),
    Case(
        cls=HarmonicCQT,
        settings={**STACK, "hop_length": 40, "harmonics": (0.5, 1, 3), "method": "conv"},
        small=STACKED,
    ),
    Case(
        cls=HarmonicCQT,
        settings={**STACK, "hop_length": 32, "harmonics": (1, 2, 3), "tuning": None},
        shares=PER_CLIP,
        not_compiled=ON_HOST,
        kinks=STEPS,
    ),
    Case(cls=InverseCQT, settings=OCTAVES, bins=24, **SPECTRUM),
    Case(cls=InverseCQT, settings={**CONSTANT, "gamma": 20.0, "scale": False}, bins=9, **SPECTRUM_INVERSE_CQT),
    Case(cls=InverseCQT, settings=EARLY, bins=6, **SPECTRUM_INVERSE_CQT),
    Case(cls=InvertibleCQT, settings=WIDE, small=SMALL_INVERTIBLE_CQT),
    Case(cls=InvertibleCQT, settings={**FINE, "power": 1.0}, small=SMALL_INVERTIBLE_CQT),
    Case(cls=InvertibleCQT, settings={"sample_rate": 8000, "f_min": 700.0, "power": 2.0}, small=SMALL_INVERTIBLE_CQT),
    Case(cls=InvertibleCQTInverse, settings=WIDE, bins=5, small_bins=5, **SPECTRUM_INVERTIBLE_CQT),
    Case(cls=InvertibleCQTInverse, settings=FINE, bins=13, small_bins=5, **SPECTRUM_INVERTIBLE_CQT),
]
