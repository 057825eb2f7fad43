"""Onset strength and tempograms."""

from __future__ import annotations

from typing import Any

import torch

from audiofeed.transforms.rhythm.metrogram import Metrogram
from audiofeed.transforms.rhythm.onset import OnsetStrength
from audiofeed.transforms.rhythm.tempogram import FourierTempogram, HybridTempogram, Tempogram
from tests.transforms.cases import Case

SMALL = {"n_fft": 16, "hop_length": 7}

ONSETS = {"sample_rate": 8000, "n_fft": 128, "hop_length": 32, "n_mels": 10}

SMALL_ONSETS = {**SMALL, "n_mels": 3}

PEAK = "80 dB count from the peak of the clip, all channels together"

MAY_BE_EVEN = "a clip of one frame has no onset"

GAINS = {"tolerance": 1e-4, "why": "a gain is a small difference of decibels, whose rounding is that of the decibels"}

ROOTS = {
    "tolerance": 1e-4,
    "rounding": 1e-5,
    "why": "a gain is a small difference of decibels, and a root of it has half the digits where it is near 0",
    "kinks": "a magnitude where an autocorrelation crosses 0; see rhythm/test_metrogram.py for the gradient beside it",
}

OF_THE_TEMPOGRAM = ("win_length", "center", "window", "norm", "factors", "aggregate", "tempogram")


def with_onsets(cls: type) -> Any:
    """A tempogram whose onset strength has few bins; what is no setting of the tempogram is one of the onsets."""

    def make(settings: dict[str, Any]) -> torch.nn.Module:
        own = {name: settings[name] for name in OF_THE_TEMPOGRAM if name in settings}
        onset = OnsetStrength(**{name: value for name, value in settings.items() if name not in own})
        return cls(sample_rate=onset.sample_rate, hop_length=onset.hop_length, onset=onset, **own)

    return make


CASES = [
    Case(cls=OnsetStrength, settings=ONSETS, small=SMALL_ONSETS, shares=PEAK, may_vanish=MAY_BE_EVEN, **GAINS),
    Case(
        cls=OnsetStrength,
        settings={**ONSETS, "lag": 2, "max_size": 4, "detrend": True, "center": False, "aggregate": "median"},
        small=SMALL_ONSETS,
        shares=PEAK,
        may_vanish=MAY_BE_EVEN,
        **GAINS,
    ),
    Case(
        cls=Tempogram,
        make=with_onsets(Tempogram),
        settings={**ONSETS, "win_length": 9},
        small={**SMALL_ONSETS, "win_length": 5},
        shares=PEAK,
        may_vanish=MAY_BE_EVEN,
        **GAINS,
    ),
    Case(
        cls=Tempogram,
        make=with_onsets(Tempogram),
        settings={**ONSETS, "win_length": 8, "center": False, "norm": None, "window": "hamming"},
        small={**SMALL_ONSETS, "win_length": 4},
        shares=PEAK,
        may_vanish=MAY_BE_EVEN,
        **GAINS,
    ),
    Case(
        cls=FourierTempogram,
        make=with_onsets(FourierTempogram),
        settings={**ONSETS, "win_length": 8},
        small={**SMALL_ONSETS, "win_length": 4},
        shares=PEAK,
        may_vanish=MAY_BE_EVEN,
        **GAINS,
    ),
    Case(
        cls=HybridTempogram,
        make=with_onsets(HybridTempogram),
        settings={**ONSETS, "win_length": 9},
        small={**SMALL_ONSETS, "win_length": 5},
        shares=PEAK,
        may_vanish=MAY_BE_EVEN,
        **ROOTS,
    ),
    Case(
        cls=HybridTempogram,
        make=with_onsets(HybridTempogram),
        settings={**ONSETS, "win_length": 8, "center": False, "window": "hamming"},
        small={**SMALL_ONSETS, "win_length": 4},
        shares=PEAK,
        may_vanish=MAY_BE_EVEN,
        **ROOTS,
    ),
    Case(
        cls=Metrogram,
        make=with_onsets(Metrogram),
        settings={**ONSETS, "win_length": 16},
        small={**SMALL_ONSETS, "win_length": 8},
        shares=PEAK,
        may_vanish=MAY_BE_EVEN,
        **ROOTS,
    ),
    Case(
        cls=Metrogram,
        make=with_onsets(Metrogram),
        settings={**ONSETS, "win_length": 9, "center": False, "tempogram": "fourier", "aggregate": None},
        small={**SMALL_ONSETS, "win_length": 4},
        shares=PEAK,
        may_vanish=MAY_BE_EVEN,
        **GAINS,
    ),
    Case(
        cls=Metrogram,
        make=with_onsets(Metrogram),
        settings={
            **ONSETS,
            "win_length": 10,
            "tempogram": "autocorrelation",
            "aggregate": "mean",
            "factors": (0.5, 1 / 3, 2),
        },
        small={**SMALL_ONSETS, "win_length": 5},
        shares=PEAK,
        may_vanish=MAY_BE_EVEN,
        **GAINS,
    ),
]
