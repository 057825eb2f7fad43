"""Constant-Q and variable-Q transforms."""

from __future__ import annotations

from audiofeed.transforms.constant_q.cqt import CQT, VQT
from audiofeed.transforms.constant_q.hybrid_cqt import HybridCQT, PseudoCQT
from tests.transforms.cases import Case

PER_CLIP = "each clip's own tuning is estimated from all of its rows"
ON_HOST = "kernels for an estimated tuning are made on the host"
STEPS = "a tuning is one of 100 values, and each has kernels of its own"
SHORT = {"n_bins": 3, "bins_per_octave": 2, "f_min": 700.0, "hop_length": 6}
SMALL = {"sample_rate": 8000, "f_min": 200.0, "n_bins": 20, "bins_per_octave": 5}
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
]
