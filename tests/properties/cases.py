"""Settings in which every public transform of waveforms is tested; a new transform without a row fails a test."""

from __future__ import annotations

import audiofeed as af

# class -> settings; between them each argument takes more than one value
CASES: dict[type, list[dict]] = {
    af.STFT: [
        {"n_fft": 64, "hop_length": 16},
        {"n_fft": 63, "hop_length": 17, "win_length": 40, "window": "hamming", "pad_mode": "reflect"},
        {"n_fft": 64, "hop_length": 20, "center": False, "method": "conv"},
    ],
    af.Spectrogram: [
        {"n_fft": 64, "hop_length": 16, "power": 2.0, "pad_mode": "circular"},
        {"n_fft": 50, "hop_length": 13, "power": 1.0, "pad_mode": "replicate"},
        {"n_fft": 64, "hop_length": 16, "power": 1.3, "method": "conv", "pad_mode": "reflect"},
    ],
    af.MelSpectrogram: [
        {"sample_rate": 8000, "n_fft": 128, "hop_length": 32, "n_mels": 10},
        {"sample_rate": 8000, "n_fft": 128, "hop_length": 32, "n_mels": 10, "method": "conv", "mel_scale": "htk"},
        {"sample_rate": 8000, "n_fft": 128, "hop_length": 40, "n_mels": 10, "power": 1.0, "norm": None},
    ],
    af.LogMelSpectrogram: [
        {"sample_rate": 8000, "n_fft": 128, "hop_length": 32, "n_mels": 10, "floor": 1e-6},
        {"sample_rate": 8000, "n_fft": 128, "hop_length": 32, "n_mels": 10, "floor": 1e-6, "log": "db", "top_db": 20.0},
        {"sample_rate": 8000, "n_fft": 128, "hop_length": 32, "n_mels": 10, "floor": 1e-6, "pad_mode": "reflect"},
    ],
}
# of spectrograms, not of waveforms: tested in test_decibels.py
OF_SPECTROGRAMS = {af.AmplitudeToDB}

PAIRS = [(cls, settings) for cls, rows in CASES.items() for settings in rows]
IDS = [f"{cls.__name__}-{i}" for cls, rows in CASES.items() for i in range(len(rows))]
