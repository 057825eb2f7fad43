"""STFT, powers and mels."""

from __future__ import annotations

import audiofeed as af
from tests.transforms.cases import Case

SMALL = {"n_fft": 16, "hop_length": 7, "win_length": None}
SMALL_MEL = {**SMALL, "n_mels": 3}
MEL = {"sample_rate": 8000, "n_fft": 128, "hop_length": 32, "n_mels": 10}
PEAK = "top_db counts from the peak of the clip, all channels together"

CASES = [
    Case(cls=af.STFT, settings={"n_fft": 64, "hop_length": 16}, small=SMALL),
    Case(
        cls=af.STFT,
        settings={"n_fft": 63, "hop_length": 17, "win_length": 40, "window": "hamming", "pad_mode": "reflect"},
        small=SMALL,
    ),
    Case(cls=af.STFT, settings={"n_fft": 64, "hop_length": 20, "center": False, "method": "conv"}, small=SMALL),
    Case(cls=af.STFT, settings={"n_fft": 64, "trainable": True}, small=SMALL, state=("basis",)),
    Case(cls=af.STFT, settings={"n_fft": 50, "trainable_window": True}, small=SMALL, state=("analysis_window",)),
    Case(
        cls=af.Spectrogram,
        settings={"n_fft": 64, "hop_length": 16, "power": 2.0, "pad_mode": "circular"},
        small=SMALL,
    ),
    Case(
        cls=af.Spectrogram,
        settings={"n_fft": 50, "hop_length": 13, "power": 1.0, "pad_mode": "replicate"},
        small=SMALL,
    ),
    Case(
        cls=af.Spectrogram,
        settings={"n_fft": 64, "hop_length": 16, "power": 1.3, "method": "conv", "pad_mode": "reflect"},
        small=SMALL,
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
