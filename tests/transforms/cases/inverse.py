"""Inverses."""

from __future__ import annotations

from audiofeed.transforms.inverse.griffin_lim import GriffinLim
from audiofeed.transforms.inverse.inverse_mel import InverseMel
from audiofeed.transforms.inverse.inverse_mfcc import InverseMFCC
from audiofeed.transforms.inverse.inverse_stft import InverseSTFT
from tests.transforms.cases import Case

FEATURES = {"takes": "features", "bins": 5, "small_bins": 2, "small_size": 12}

SPECTRUM = {"takes": "spectrum", "small_bins": 5, "small_size": 4}

SMALL = {"n_fft": 8, "hop_length": 3, "win_length": None}

MAGNITUDE = {**SPECTRUM, "takes": "magnitude"}

# few iterations: each amplifies the rounding in which a clip of a batch differs from the clip alone
SEARCH = {"n_fft": 32, "hop_length": 8, "n_iter": 3}

MEL = {"takes": "power", "small_size": 3}

STEPS = "the number of Newton's steps depends on the mels"

CASES = [
    Case(
        cls=InverseMFCC,
        settings={"n_mels": 8, "lifter": 13, "log": "ln", "ref": 2.0},
        small={"n_mels": 4},
        **FEATURES,
    ),
    Case(cls=InverseMFCC, settings={"n_mels": 5, "dct_type": 3, "norm": None}, small={"n_mels": 2}, **FEATURES),
    Case(cls=InverseSTFT, settings={"n_fft": 64, "hop_length": 16}, bins=33, small=SMALL, **SPECTRUM),
    Case(
        cls=InverseSTFT,
        settings={"n_fft": 63, "hop_length": 17, "win_length": 40, "window": "hamming"},
        bins=32,
        small=SMALL,
        **SPECTRUM,
    ),
    Case(
        cls=InverseSTFT,
        settings={
            "n_fft": 64,
            "hop_length": 20,
            "center": False,
            "method": "conv",
            "periodic": False,
            "window": ("kaiser", 8.0),
        },
        bins=33,
        small=SMALL,
        **SPECTRUM,
    ),
    Case(
        cls=InverseSTFT,
        settings={"n_fft": 64, "hop_length": 1},
        bins=33,
        small={**SMALL, "hop_length": 1},
        **SPECTRUM,
    ),
    Case(
        cls=InverseSTFT, settings={"n_fft": 64, "trainable": True}, bins=33, small=SMALL, state=("basis",), **SPECTRUM
    ),
    Case(cls=GriffinLim, settings=SEARCH, bins=17, small=SMALL, **MAGNITUDE),
    Case(
        cls=GriffinLim,
        settings={
            **SEARCH,
            "n_fft": 33,
            "win_length": 25,
            "window": "hamming",
            "center": False,
            "momentum": 0.5,
            "power": 2.0,
            "seed": 3,
        },
        bins=17,
        small=SMALL,
        **{**MAGNITUDE, "takes": "power"},
    ),
    # padded with zeros: a clip of one sample, reflected, is constant, and most of its bins have no phase but rounding
    Case(cls=GriffinLim, settings={**SEARCH, "rand_init": False}, bins=17, small=SMALL, **MAGNITUDE),
    Case(
        cls=InverseMel,
        settings={"sample_rate": 8000, "n_fft": 128, "n_mels": 10},
        bins=10,
        small={"n_fft": 32, "n_mels": 3},
        small_bins=3,
        not_compiled=STEPS,
        **MEL,
    ),
    Case(
        cls=InverseMel,
        settings={"sample_rate": 16000, "n_fft": 100, "n_mels": 8, "f_max": 6000.0, "mel_scale": "htk", "norm": None},
        bins=8,
        small={"n_fft": 32, "n_mels": 3},
        small_bins=3,
        not_compiled=STEPS,
        **MEL,
    ),
    Case(
        cls=InverseMel,
        settings={"sample_rate": 8000, "n_fft": 128, "n_mels": 10, "solver": "lstsq"},
        bins=10,
        small={"n_fft": 32, "n_mels": 3},
        small_bins=3,
        kinks="the result is cut off at 0",
        **MEL,
    ),
]
