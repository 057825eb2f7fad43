"""Cepstral coefficients, deltas, normalization over time."""

from __future__ import annotations

from audiofeed.transforms.cepstral.cmvn import CMVN
from audiofeed.transforms.cepstral.coefficients import BFCC, LFCC, MFCC
from audiofeed.transforms.cepstral.deltas import Deltas
from audiofeed.transforms.cepstral.project_bins import ProjectBins
from tests.transforms.cases import Case

SMALL = {"n_fft": 16, "hop_length": 7}

FRAMES = {"sample_rate": 8000, "n_fft": 128, "hop_length": 32}

# a quiet floor, so that silence and a loud clip's tail are below it
MEL = {**FRAMES, "n_mels": 10, "n_mfcc": 6, "floor": 1e-6}

SMALL_MEL = {**SMALL, "n_mels": 3, "n_mfcc": 2}

PEAK = "top_db counts from the peak of the clip, all channels together"

FEATURES = {"takes": "features", "bins": 5, "small_bins": 2, "small_size": 12}

MEAN = "a clip of one frame is its own mean"

CASES = [
    Case(cls=MFCC, settings={**MEL, "top_db": 20.0}, small=SMALL_MEL, shares=PEAK),
    Case(
        cls=MFCC,
        settings={**MEL, "log": "ln", "offset": 1e-4, "top_db": None, "lifter": 9, "dct_type": 3, "norm": None},
        small=SMALL_MEL,
    ),
    Case(
        cls=MFCC,
        settings={**MEL, "log": "log10", "top_db": None, "dct_type": 1, "power": 1.0, "method": "conv"},
        small=SMALL_MEL,
    ),
    Case(
        cls=MFCC,
        settings={**MEL, "trainable": True, "trainable_mel": True, "mel_scale": "htk", "mel_norm": None},
        small=SMALL_MEL,
        state=("basis", "mel"),
        shares=PEAK,
    ),
    Case(
        cls=LFCC,
        settings={**FRAMES, "n_filter": 12, "n_lfcc": 7, "floor": 1e-6, "pad_mode": "reflect"},
        small={**SMALL, "n_filter": 3, "n_lfcc": 2},
        shares=PEAK,
    ),
    Case(
        cls=LFCC,
        settings={**FRAMES, "n_filter": 12, "n_lfcc": 12, "log": "ln", "top_db": None, "trainable_filters": True},
        small={**SMALL, "n_filter": 3, "n_lfcc": 2, "offset": 1e-3},
        state=("filters",),
    ),
    Case(
        cls=BFCC,
        settings={**FRAMES, "n_barks": 9, "n_bfcc": 5, "floor": 1e-6, "bark_scale": "wang"},
        small={**SMALL, "n_barks": 3, "n_bfcc": 2},
        shares=PEAK,
    ),
    Case(
        cls=ProjectBins,
        settings={"matrix": ((0.5, -1.0), (0.0, 2.0), (1.0, 1.5))},
        **{**FEATURES, "bins": 2},
        others={"matrix": [((0.0, 1.0), (1.0, 0.0))]},
    ),
    Case(cls=Deltas, settings={"win_length": 9}, small={"win_length": 5}, **FEATURES, may_vanish=MEAN),
    Case(
        cls=Deltas,
        settings={"win_length": 7, "order": 2, "append": True},
        small={"win_length": 5},
        **FEATURES,
    ),
    *[Case(cls=Deltas, settings={"win_length": 5, "mode": mode}, **FEATURES) for mode in ("nearest", "mirror")],
    *[Case(cls=Deltas, settings={"win_length": 45, "mode": mode}, **FEATURES) for mode in ("constant", "wrap")],
    Case(cls=CMVN, settings={}, **FEATURES, may_vanish=MEAN),
    Case(cls=CMVN, settings={"norm_vars": False}, **FEATURES, may_vanish=MEAN),
    Case(cls=CMVN, settings={"window": 7, "center": True}, small={"window": 4}, **FEATURES, may_vanish=MEAN),
    Case(cls=CMVN, settings={"window": 8, "min_window": 3, "norm_vars": False}, small={"window": 5}, **FEATURES),
]
