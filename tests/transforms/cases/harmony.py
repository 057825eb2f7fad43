"""Harmonics and pitch classes of constant-Q transforms."""

from __future__ import annotations

from typing import Any

import torch

from audiofeed.transforms.constant_q.harmonic_cqt import HarmonicCQT
from audiofeed.transforms.harmony.chroma_cens import ChromaCENS
from audiofeed.transforms.harmony.chroma_cqt import ChromaCQT, ChromaVQT
from audiofeed.transforms.harmony.tonnetz import Tonnetz
from tests.transforms.cases import Case
from tests.transforms.cases.constant_q import ON_HOST, PER_CLIP, STEPS

CENTROIDS = {"tolerance": 1e-5, "why": "the classes of a frame, divided by their sum, cancel to a few hundredths"}
COUNTS = "each class counts the steps that it exceeds"
STACK = {"sample_rate": 8000, "f_min": 200.0, "n_bins": 12, "bins_per_octave": 5}
SHORT = {"n_bins": 3, "bins_per_octave": 2, "f_min": 700.0, "hop_length": 6, "harmonics": (1, 1.5)}
CLASSES = {"sample_rate": 8000, "f_min": 200.0, "n_octaves": 4, "bins_per_octave": 10, "n_chroma": 5, "tuning": 0.0}
FEW = {"n_octaves": 2, "bins_per_octave": 4, "n_chroma": 2, "f_min": 500.0, "hop_length": 6}
SCALE = {"sample_rate": 8000, "f_min": 200.0, "n_octaves": 4, "bins_per_octave": 5}

TWELVE = {"sample_rate": 8000, "f_min": 200.0, "n_octaves": 4, "bins_per_octave": 12, "tuning": 0.0}


def of_octaves(settings: dict[str, Any]) -> torch.nn.Module:
    """A tonal centroid of constant-Q chroma."""
    return Tonnetz(sample_rate=settings["sample_rate"], chroma=ChromaCQT(**settings))


CASES = [
    # octaves that share bins and others that do not; a hop with factors of 2 and one without
    Case(
        cls=HarmonicCQT, settings={**STACK, "hop_length": 64, "harmonics": (0.5, 1, 2, 3), "power": None}, small=SHORT
    ),
    Case(
        cls=HarmonicCQT,
        settings={**STACK, "hop_length": 33, "harmonics": (2, 1, 1.5), "pad_mode": "reflect", "power": 2.0},
        small=SHORT,
    ),
    Case(
        cls=HarmonicCQT,
        settings={**STACK, "hop_length": 32, "harmonics": (1, 7, 40), "above_nyquist": "zeros", "trainable": True},
        small={**SHORT, "harmonics": (1, 3, 40)},
        state=("kernels",),
    ),
    Case(cls=HarmonicCQT, settings={**STACK, "hop_length": 40, "harmonics": (1, 3), "exact": False}, small=SHORT),
    Case(
        cls=HarmonicCQT, settings={**STACK, "hop_length": 40, "harmonics": (0.5, 1, 3), "method": "conv"}, small=SHORT
    ),
    Case(
        cls=HarmonicCQT,
        settings={**STACK, "hop_length": 32, "harmonics": (1, 2, 3), "tuning": None},
        shares=PER_CLIP,
        not_compiled=ON_HOST,
        kinks=STEPS,
    ),
    Case(cls=ChromaCQT, settings={**CLASSES, "hop_length": 32, "norm": 2.0}, small=FEW),
    Case(
        cls=ChromaCQT,
        settings={**CLASSES, "hop_length": 33, "norm": 1.0, "window": (0.5, 1.0, 0.5), "trainable": True},
        small=FEW,
        state=("source.kernels",),
    ),
    Case(
        cls=ChromaCQT,
        settings={**CLASSES, "hop_length": 128, "hybrid": True, "trainable_chroma": True, "threshold": None},
        small={**FEW, "hop_length": 20},
        state=("chroma",),
    ),
    Case(
        cls=ChromaCQT,
        settings={**CLASSES, "hop_length": 32, "tuning": None},
        shares=PER_CLIP,
        not_compiled=ON_HOST,
        kinks=STEPS,
    ),
    Case(
        cls=ChromaVQT,
        settings={**SCALE, "hop_length": 32, "intervals": "ji5", "gamma": 20.0, "norm": 3.0},
        small={"n_octaves": 2, "bins_per_octave": 2, "f_min": 500.0, "hop_length": 6},
    ),
    Case(
        cls=ChromaVQT,
        settings={**SCALE, "hop_length": 50, "intervals": (1.0, 1.2, 1.5), "bins_per_octave": 3, "gamma": None},
        small={"n_octaves": 2, "f_min": 500.0, "hop_length": 6},
    ),
    Case(cls=ChromaCENS, settings={**CLASSES, "hop_length": 32}, flat=COUNTS),
    Case(
        cls=ChromaCENS,
        settings={**CLASSES, "hop_length": 100, "win_len_smooth": 4, "smoothing_window": "hamming", "norm": None},
        flat=COUNTS,
    ),
    Case(
        cls=ChromaCENS,
        settings={**CLASSES, "hop_length": 32, "tuning": None, "win_len_smooth": None, "norm": 1.0},
        flat=COUNTS,
        shares=PER_CLIP,
        not_compiled=ON_HOST,
    ),
    # few octaves: those of chroma="cqt" take seconds to make
    Case(cls=Tonnetz, make=of_octaves, settings={**TWELVE, "hop_length": 128}, small={"n_octaves": 2}, **CENTROIDS),
]
