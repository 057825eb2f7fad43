"""Chroma, tonal centroids, combined frequency and periodicity."""

from __future__ import annotations

from typing import Any

import torch

from audiofeed.transforms.harmony.cfp import CFP
from audiofeed.transforms.harmony.chroma import Chroma
from audiofeed.transforms.harmony.chroma_cens import ChromaCENS
from audiofeed.transforms.harmony.chroma_cqt import ChromaCQT, ChromaVQT
from audiofeed.transforms.harmony.tonnetz import Tonnetz
from tests.transforms.cases import Case
from tests.transforms.cases.constant_q import ON_HOST, PER_CLIP, STEPS

FRAMES = {"sample_rate": 8000, "n_fft": 64, "hop_length": 16}

SMALL = {"n_fft": 16, "hop_length": 7}

TUNED = "a clip has one tuning, all channels together"

CANCELS = {"tolerance": 1e-4, "why": "the classes of an even chroma cancel to a small part of their sum"}


def with_chroma(settings: dict[str, Any]) -> torch.nn.Module:
    """A tonal centroid of any chroma."""
    return Tonnetz(sample_rate=settings["sample_rate"], chroma=Chroma(**settings))


CLASSES = {"sample_rate": 8000, "f_min": 200.0, "n_octaves": 4, "bins_per_octave": 10, "n_chroma": 5, "tuning": 0.0}

FEW = {"n_octaves": 2, "bins_per_octave": 4, "n_chroma": 2, "f_min": 500.0, "hop_length": 6}

SCALE = {"sample_rate": 8000, "f_min": 200.0, "n_octaves": 4, "bins_per_octave": 5}

TWELVE = {"sample_rate": 8000, "f_min": 200.0, "n_octaves": 4, "bins_per_octave": 12, "tuning": 0.0}


def of_octaves(settings: dict[str, Any]) -> torch.nn.Module:
    """A tonal centroid of constant-Q chroma."""
    return Tonnetz(sample_rate=settings["sample_rate"], chroma=ChromaCQT(**settings))


COUNTS = "each class counts the steps that it exceeds"

CENTROIDS = {"tolerance": 1e-5, "why": "the classes of a frame, divided by their sum, cancel to a few hundredths"}

PITCH = {"sample_rate": 8000, "n_fft": 400, "win_length": 65, "hop_length": 40, "f_min": 100.0, "bins_per_octave": 12}

# the transform of a flat spectrum is 0 but for 1e-8, and 1e-8^0.6 is 2e-5 in each bin
ROOTS = {"rounding": 1e-3, "why": "the root of a number that is 0 but for rounding"}

# smooth enough for the difference quotient: a root is infinitely steep where its argument crosses 0
SMALL_PITCH = {
    "n_fft": 32,
    "win_length": 15,
    "hop_length": 9,
    "f_min": 600.0,
    "f_max": 2000.0,
    "bins_per_octave": 3,
    "gammas": (2.0, 2.0, 2.0),
}

CASES = [
    Case(cls=Chroma, settings={**FRAMES, "n_fft": 128}, small=SMALL, shares=TUNED),
    Case(
        cls=Chroma,
        settings={**FRAMES, "tuning": 0.1, "norm": 2.0, "trainable_chroma": True, "octwidth": None, "base_c": False},
        small=SMALL,
        state=("chroma",),
    ),
    Case(cls=Chroma, settings={**FRAMES, "tuning": 0.0, "norm": None, "n_chroma": 24, "ctroct": 6.0}, small=SMALL),
    Case(cls=Tonnetz, make=with_chroma, settings={**FRAMES, "n_fft": 128}, small=SMALL, shares=TUNED, **CANCELS),
    Case(cls=Tonnetz, settings={**FRAMES, "tuning": 0.2}, small=SMALL, **CANCELS),
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
    Case(cls=CFP, settings=PITCH, small=SMALL_PITCH, **ROOTS),
    Case(
        cls=CFP,
        settings={**PITCH, "n_fft": 401, "hop_length": 17, "pad_mode": "reflect", "gammas": (0.5, 1.0)},
        small=SMALL_PITCH,
    ),
    Case(
        cls=CFP,
        settings={**PITCH, "center": False, "gammas": (1.0, 0.0, 0.5, 0.6), "output": "periodicity"},
        small=SMALL_PITCH,
    ),
    Case(cls=CFP, settings={**PITCH, "output": "spectrum", "window": "hann"}, small=SMALL_PITCH),
    Case(cls=CFP, settings={**PITCH, "output": "frequency", "periodic": True}, small=SMALL_PITCH, **ROOTS),
]
