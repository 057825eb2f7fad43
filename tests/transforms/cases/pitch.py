"""Spectra at other frequencies, reassigned spectra, combined frequency and periodicity."""

from __future__ import annotations

from audiofeed.transforms.harmony.cfp import CFP
from audiofeed.transforms.short_time.log_frequency import LogFrequencySpectrogram, LogFrequencySTFT
from audiofeed.transforms.short_time.reassigned import ReassignedSpectrogram
from tests.transforms.cases import Case

SMALL_FRAMES = {"n_fft": 16, "hop_length": 7, "win_length": None}
OUTSIDE = "with clip=False all energy of a few samples may lie outside the only frame"
SMALL = {"n_fft": 16, "hop_length": 7, "win_length": None, "f_min": 300.0, "n_bins": 4, "bins_per_octave": None}
LOG = {"sample_rate": 8000, "n_fft": 64, "f_min": 100.0, "n_bins": 20}
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
    Case(cls=LogFrequencySTFT, settings={**LOG, "hop_length": 16}, small=SMALL),
    Case(
        cls=LogFrequencySTFT,
        settings={**LOG, "n_fft": 63, "hop_length": 17, "win_length": 40, "window": "hamming", "pad_mode": "reflect"},
        small=SMALL,
    ),
    Case(
        cls=LogFrequencySTFT,
        settings={**LOG, "hop_length": 20, "center": False, "method": "conv", "freq_scale": "linear"},
        small=SMALL,
    ),
    Case(cls=LogFrequencySTFT, settings={**LOG, "trainable": True}, small=SMALL, state=("basis",)),
    Case(cls=LogFrequencySpectrogram, settings={**LOG, "hop_length": 16, "pad_mode": "circular"}, small=SMALL),
    Case(
        cls=LogFrequencySpectrogram,
        settings={
            "sample_rate": 8000,
            "n_fft": 50,
            "hop_length": 13,
            "power": 1.0,
            "pad_mode": "replicate",
            "freq_scale": "octave",
            "bins_per_octave": 7,
            "f_max": 3000.0,
        },
        small=SMALL,
    ),
    Case(
        cls=LogFrequencySpectrogram,
        settings={**LOG, "hop_length": 16, "power": 1.3, "trainable": True},
        small=SMALL,
        state=("basis",),
    ),
    Case(cls=ReassignedSpectrogram, settings={"sample_rate": 8000, "n_fft": 64, "hop_length": 16}, small=SMALL_FRAMES),
    Case(
        cls=ReassignedSpectrogram,
        settings={
            "sample_rate": 8000,
            "n_fft": 63,
            "hop_length": 17,
            "win_length": 40,
            "pad_mode": "reflect",
            "power": 1.0,
            "reassign_times": False,
            "fill_nan": True,
        },
        small=SMALL_FRAMES,
    ),
    Case(
        cls=ReassignedSpectrogram,
        settings={
            "sample_rate": 8000,
            "n_fft": 64,
            "hop_length": 20,
            "center": False,
            "reassign_frequencies": False,
            "ref_power": 0.0,
            "clip": False,
        },
        small=SMALL_FRAMES,
        may_vanish=OUTSIDE,
    ),
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
