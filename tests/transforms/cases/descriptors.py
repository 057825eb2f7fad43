"""Descriptors of spectra and waveforms, chroma, onsets and tempograms."""

from __future__ import annotations

from typing import Any

import torch

from audiofeed.transforms.descriptors.contrast import SpectralContrast
from audiofeed.transforms.descriptors.spectral import (
    PolyFeatures,
    SpectralBandwidth,
    SpectralCentroid,
    SpectralFlatness,
    SpectralRolloff,
)
from audiofeed.transforms.descriptors.waveform import RMS, ZeroCrossingRate
from audiofeed.transforms.harmony.chroma import Chroma
from audiofeed.transforms.harmony.tonnetz import Tonnetz
from audiofeed.transforms.rhythm.onset import OnsetStrength
from audiofeed.transforms.rhythm.tempogram import FourierTempogram, Tempogram
from tests.transforms.cases import Case

FRAMES = {"sample_rate": 8000, "n_fft": 64, "hop_length": 16}
SMALL = {"n_fft": 16, "hop_length": 7}
ONSETS = {"sample_rate": 8000, "n_fft": 128, "hop_length": 32, "n_mels": 10}
SMALL_ONSETS = {**SMALL, "n_mels": 3}
STEPS = "a step function of the waveform"
PEAK = "80 dB count from the peak of the clip, all channels together"
TUNED = "a clip has one tuning, all channels together"
MAY_BE_EVEN = "a clip of one frame has no onset"
CANCELS = {"tolerance": 1e-4, "why": "the classes of an even chroma cancel to a small part of their sum"}
GAINS = {"tolerance": 1e-4, "why": "a gain is a small difference of decibels, whose rounding is that of the decibels"}


def with_onsets(cls: type) -> Any:
    """A tempogram whose onset strength has few bins; what is no setting of the tempogram is one of the onsets."""

    def make(settings: dict[str, Any]) -> torch.nn.Module:
        own = {name: settings[name] for name in ("win_length", "center", "window", "norm") if name in settings}
        onset = OnsetStrength(**{name: value for name, value in settings.items() if name not in own})
        return cls(sample_rate=onset.sample_rate, hop_length=onset.hop_length, onset=onset, **own)

    return make


def with_chroma(settings: dict[str, Any]) -> torch.nn.Module:
    """A tonal centroid of any chroma."""
    return Tonnetz(sample_rate=settings["sample_rate"], chroma=Chroma(**settings))


CASES = [
    Case(cls=SpectralCentroid, settings=FRAMES, small=SMALL),
    Case(
        cls=SpectralCentroid,
        settings={**FRAMES, "n_fft": 63, "win_length": 40, "pad_mode": "reflect", "trainable": True, "power": 2.0},
        small={**SMALL, "win_length": 12},
        state=("basis",),
    ),
    Case(cls=SpectralBandwidth, settings=FRAMES, small=SMALL),
    Case(
        cls=SpectralBandwidth,
        settings={**FRAMES, "p": 3.0, "norm": False, "center": False, "method": "conv", "pad_mode": "reflect"},
        small=SMALL,
    ),
    Case(cls=SpectralRolloff, settings=FRAMES, flat=STEPS, may_vanish="0 Hz is 0"),
    Case(cls=SpectralFlatness, settings={"n_fft": 64, "hop_length": 16}, small=SMALL),
    Case(cls=SpectralFlatness, settings={"n_fft": 64, "power": 1.0, "amin": 1e-3, "method": "conv"}, small=SMALL),
    Case(cls=PolyFeatures, settings={**FRAMES, "order": 2}, small=SMALL),
    Case(
        cls=SpectralContrast,
        settings={**FRAMES, "n_bands": 3, "f_min": 400.0, "quantile": 0.2},
        small={**SMALL, "n_bands": 1, "f_min": 1000.0},
        shares=PEAK,
        may_vanish="0 dB is 0",
    ),
    Case(
        cls=SpectralContrast,
        settings={**FRAMES, "n_bands": 3, "f_min": 400.0, "linear": True, "pad_mode": "circular"},
        small={**SMALL, "n_bands": 1, "f_min": 1000.0},
    ),
    Case(cls=RMS, settings={"frame_length": 64, "hop_length": 16}, small={"frame_length": 12, "hop_length": 5}),
    Case(
        cls=RMS,
        settings={"frame_length": 63, "hop_length": 17, "center": False, "pad_mode": "reflect"},
        small={"frame_length": 12, "hop_length": 15},
    ),
    Case(cls=ZeroCrossingRate, settings={"frame_length": 64, "hop_length": 16}, flat=STEPS, may_vanish="no crossing"),
    Case(
        cls=ZeroCrossingRate,
        settings={"frame_length": 63, "hop_length": 70, "center": False, "zero_pos": False, "threshold": 0.1},
        flat=STEPS,
        may_vanish="no crossing",
    ),
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
]
