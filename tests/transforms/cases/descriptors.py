"""Descriptors of spectra and waveforms."""

from __future__ import annotations

from audiofeed.transforms.descriptors.contrast import SpectralContrast
from audiofeed.transforms.descriptors.spectral import (
    PolyFeatures,
    SpectralBandwidth,
    SpectralCentroid,
    SpectralFlatness,
    SpectralRolloff,
)
from audiofeed.transforms.descriptors.waveform import RMS, ZeroCrossingRate
from tests.transforms.cases import Case

FRAMES = {"sample_rate": 8000, "n_fft": 64, "hop_length": 16}

SMALL = {"n_fft": 16, "hop_length": 7}

STEPS = "a step function of the waveform"

PEAK = "80 dB count from the peak of the clip, all channels together"

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
]
