"""Short-time spectra."""

from __future__ import annotations

import pytest

import audiofeed as af
from audiofeed.transforms.short_time.log_frequency import LogFrequencySpectrogram, LogFrequencySTFT
from audiofeed.transforms.short_time.reassigned import ReassignedSpectrogram
from audiofeed.transforms.short_time.time_stretch import TimeStretch
from tests.transforms.cases import Case
from tests.transforms.contract.alternatives import To
from tests.transforms.contract.effects import Pair


def says_times(pair: Pair) -> None:
    with pytest.raises(ValueError, match="needs the sample rate"):
        pair.before.times(2)
    assert pair.after.times(2).tolist() == [0.0, 16 / 8000]


SPECTRUM = {"takes": "spectrum", "small_bins": 5, "small_size": 4}

SMALL = {"n_fft": 16, "hop_length": 7, "win_length": None, "f_min": 300.0, "n_bins": 4, "bins_per_octave": None}

LOG = {"sample_rate": 8000, "n_fft": 64, "f_min": 100.0, "n_bins": 20}

SMALL_FRAMES = {"n_fft": 16, "hop_length": 7, "win_length": None}

OUTSIDE = "with clip=False all energy of a few samples may lie outside the only frame"

TINY = {"n_fft": 16, "hop_length": 7, "win_length": None}

CASES = [
    Case(
        cls=af.FrameWaveform,
        settings={"frame_length": 64, "hop_length": 16},
        others={"frame_length": [50], "sample_rate": [To(8000, effect=says_times)]},
    ),
    Case(cls=af.FrameWaveform, settings={"frame_length": 64, "hop_length": 30, "pad_mode": "reflect"}),
    Case(cls=af.FrameWaveform, settings={"frame_length": 65, "center": False}),
    Case(cls=TimeStretch, settings={"rate": 1.3}, bins=17, **SPECTRUM),
    Case(cls=TimeStretch, settings={"rate": 0.6}, bins=17, **SPECTRUM),
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
        cls=LogFrequencySpectrogram,
        settings={
            **LOG,
            "hop_length": 16,
            "placement": "hops",
            "preemphasis": 0.97,
            "remove_dc": True,
            "root_offset": 0.1,
        },
        small=SMALL,
    ),
    Case(
        cls=ReassignedSpectrogram,
        settings={
            "sample_rate": 8000,
            "n_fft": 64,
            "win_length": 50,
            "hop_length": 16,
            "placement": "keep_edges",
            "pad_mode": "symmetric",
            "preemphasis": 0.97,
        },
        small=SMALL_FRAMES,
    ),
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
    Case(cls=af.STFT, settings={"n_fft": 64, "hop_length": 16}, small=TINY),
    Case(
        cls=af.STFT,
        settings={"n_fft": 63, "hop_length": 17, "win_length": 40, "window": "hamming", "pad_mode": "reflect"},
        small=TINY,
    ),
    Case(cls=af.STFT, settings={"n_fft": 64, "hop_length": 20, "center": False, "method": "conv"}, small=TINY),
    Case(cls=af.STFT, settings={"n_fft": 64, "trainable": True}, small=TINY, state=("basis",)),
    Case(cls=af.STFT, settings={"n_fft": 64, "hop_length": 20, "placement": "but_last_sample"}, small=TINY),
    Case(
        cls=af.STFT,
        settings={
            "n_fft": 64,
            "win_length": 50,
            "hop_length": 20,
            "placement": "keep_edges",
            "window_at": "left",
            "pad_mode": "symmetric",
            "remove_dc": True,
            "preemphasis": 0.9,
        },
        small=TINY,
    ),
    Case(
        cls=af.Spectrogram,
        settings={
            "n_fft": 64,
            "hop_length": 20,
            "placement": "vocoder",
            "pad_mode": "symmetric",
            "preemphasis": 0.5,
            "remove_dc": True,
            "power": 1.0,
            "root_offset": 1e-2,
            "trainable": True,
        },
        small=TINY,
        state=("basis",),
    ),
    Case(
        cls=af.STFT,
        settings={"n_fft": 50, "trainable_window": True},
        small=TINY,
        state=("analysis_window",),
    ),
    Case(
        cls=af.Spectrogram,
        settings={"n_fft": 64, "hop_length": 16, "power": 2.0, "pad_mode": "circular"},
        small=TINY,
    ),
    Case(
        cls=af.Spectrogram,
        settings={"n_fft": 50, "hop_length": 13, "power": 1.0, "pad_mode": "replicate"},
        small=TINY,
    ),
    Case(
        cls=af.Spectrogram,
        settings={"n_fft": 64, "hop_length": 16, "power": 1.3, "method": "conv", "pad_mode": "reflect"},
        small=TINY,
    ),
]
