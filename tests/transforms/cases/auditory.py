"""Mel, gammatone, sinc and Gabor filters, PCEN, decibels."""

from __future__ import annotations

import audiofeed as af
from audiofeed.transforms.auditory.gammatone import Gammatonegram
from audiofeed.transforms.auditory.leaf import GaborFilterbank
from audiofeed.transforms.auditory.pcen import PCEN
from audiofeed.transforms.auditory.sinc import SincFilterbank
from tests.transforms.cases import Case

GAMMATONE = {"sample_rate": 8000, "n_fft": 128, "hop_length": 32, "n_bins": 10}

SMALL_GAMMATONE = {"n_fft": 16, "hop_length": 7, "win_length": None, "n_bins": 3}

PCEN_INPUT = {"takes": "power", "bins": 9, "small_bins": 3, "small_size": 5}

RAW_PCEN = ("raw_gain", "raw_bias", "raw_power", "raw_b")

SINC = {"sample_rate": 8000, "n_filters": 6, "win_length": 31}

SMALL_SINC = {"n_filters": 2, "win_length": 7}

GABOR = {"sample_rate": 8000, "n_filters": 6, "win_length": 41, "hop_length": 16}

SMALL_GABOR = {"n_filters": 2, "win_length": 9, "hop_length": 4}

RAW_GABOR = ("raw_centre", "raw_deviation", "raw_pool")

SMALL = {"n_fft": 16, "hop_length": 7, "win_length": None}

SMALL_MEL = {**SMALL, "n_mels": 3}

MEL = {"sample_rate": 8000, "n_fft": 128, "hop_length": 32, "n_mels": 10}

PEAK = "top_db counts from the peak of the clip, all channels together"

CASES = [
    Case(cls=Gammatonegram, settings=GAMMATONE, small=SMALL_GAMMATONE),
    Case(
        cls=Gammatonegram,
        settings={**GAMMATONE, "method": "conv", "weighting": "power", "norm": "slaney", "pad_mode": "reflect"},
        small=SMALL_GAMMATONE,
    ),
    Case(
        cls=Gammatonegram,
        settings={**GAMMATONE, "trainable": True, "trainable_gammatone": True},
        small=SMALL_GAMMATONE,
        state=("basis", "gammatone"),
    ),
    Case(cls=PCEN, settings={"sample_rate": 8000, "hop_length": 32}, **PCEN_INPUT),
    Case(cls=PCEN, settings={"sample_rate": 8000, "max_size": 4, "power": 0.25, "initial": "first"}, **PCEN_INPUT),
    Case(cls=PCEN, settings={"sample_rate": 8000, "bias": 0.0, "b": 0.1}, **PCEN_INPUT),
    Case(cls=PCEN, settings={"sample_rate": 8000, "power": 0.0, "gain": 0.5}, **PCEN_INPUT),
    Case(cls=PCEN, settings={"sample_rate": 8000, "trainable": True}, **PCEN_INPUT, state=RAW_PCEN),
    Case(
        cls=PCEN,
        settings={"sample_rate": 8000, "trainable": True, "n_bins": 9, "max_size": 3},
        small={"n_bins": 3},
        **PCEN_INPUT,
        state=RAW_PCEN,
    ),
    Case(cls=SincFilterbank, settings={**SINC, "trainable": False}, small=SMALL_SINC),
    Case(
        cls=SincFilterbank,
        settings={**SINC, "trainable": False, "hop_length": 20, "norm": None, "pad_mode": "reflect"},
        small=SMALL_SINC,
    ),
    Case(
        cls=SincFilterbank,
        settings={**SINC, "hop_length": 3, "center": False},
        small=SMALL_SINC,
        tolerance=1e-5,
        why="a few samples under a filter's first taps give a thousandth of what an FFT's rounding counts from",
        state=("raw_low", "raw_high"),
    ),
    Case(cls=SincFilterbank, settings={**SINC, "hop_length": 10}, small=SMALL_SINC, state=("raw_low", "raw_high")),
    Case(cls=GaborFilterbank, settings={**GABOR, "trainable": False, "compression": None}, small=SMALL_GABOR),
    Case(cls=GaborFilterbank, settings={**GABOR, "trainable": False, "hop_length": 50}, small=SMALL_GABOR),
    Case(
        cls=GaborFilterbank,
        settings={**GABOR, "compression": "log"},
        small=SMALL_GABOR,
        state=RAW_GABOR,
    ),
    Case(
        cls=GaborFilterbank,
        settings=GABOR,
        small=SMALL_GABOR,
        state=(*RAW_GABOR, *(f"pcen.{name}" for name in RAW_PCEN)),
    ),
    Case(cls=af.MelSpectrogram, settings=MEL, small=SMALL_MEL),
    Case(cls=af.MelSpectrogram, settings={**MEL, "method": "conv", "mel_scale": "htk"}, small=SMALL_MEL),
    Case(cls=af.MelSpectrogram, settings={**MEL, "hop_length": 40, "power": 1.0, "norm": None}, small=SMALL_MEL),
    Case(
        cls=af.MelSpectrogram,
        settings={**MEL, "trainable": True, "trainable_mel": True},
        small=SMALL_MEL,
        state=("basis", "mel"),
    ),
    Case(
        cls=af.MelSpectrogram,
        settings={**MEL, "power": 1.0, "trainable_window": True, "trainable_mel": True},
        small=SMALL_MEL,
        state=("analysis_window", "mel"),
    ),
    Case(cls=af.LogMelSpectrogram, settings={**MEL, "floor": 1e-6}, small=SMALL_MEL),
    Case(
        cls=af.LogMelSpectrogram,
        settings={**MEL, "floor": 1e-6, "log": "db", "top_db": 20.0},
        small=SMALL_MEL,
        shares=PEAK,
    ),
    Case(cls=af.LogMelSpectrogram, settings={**MEL, "floor": 1e-6, "pad_mode": "reflect"}, small=SMALL_MEL),
    Case(
        cls=af.LogMelSpectrogram,
        settings={**MEL, "log": "log10", "top": 1.5, "placement": "hops", "pad_mode": "reflect"},
        small=SMALL_MEL,
        shares="top counts from the peak of the clip, all channels together",
    ),
    Case(
        cls=af.LogMelSpectrogram,
        settings={
            **MEL,
            "log": "log1p",
            "placement": "vocoder",
            "pad_mode": "reflect",
            "power": 1.0,
            "root_offset": 1e-3,
        },
        small=SMALL_MEL,
    ),
    Case(
        cls=af.LogMelSpectrogram,
        settings={
            **MEL,
            "win_length": 100,
            "placement": "snip_edges",
            "window_at": "left",
            "window": "povey",
            "periodic": False,
            "remove_dc": True,
            "preemphasis": 0.97,
            "offset": 1e-3,
            "floor": None,
        },
        small=SMALL_MEL,
    ),
    Case(
        cls=af.LogCompression,
        settings={"log": "log10", "offset": 1e-3, "floor": 0, "top": 1.0},
        takes="power",
        bins=9,
        small_bins=3,
        small_size=4,
        shares="top counts from the peak of the clip, all channels together",
    ),
    Case(
        cls=af.LogCompression,
        settings={"log": "log1p"},
        takes="magnitude",
        bins=9,
        small_bins=3,
        small_size=4,
    ),
    Case(
        cls=af.AmplitudeToDB,
        settings={"stype": "power", "top_db": 30.0},
        takes="power",
        bins=9,
        small_bins=3,
        small_size=4,
        shares=PEAK,
        may_vanish="0 dB is 0",
    ),
    Case(
        cls=af.AmplitudeToDB,
        settings={"stype": "magnitude", "ref": "max", "top_db": None, "amin": 1e-3},
        takes="magnitude",
        bins=9,
        small_bins=3,
        small_size=4,
        shares=PEAK,
    ),
]
