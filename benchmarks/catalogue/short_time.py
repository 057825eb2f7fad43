"""Log-frequency spectra and reassigned spectra."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import librosa
import numpy as np
import torch

from audiofeed.transforms.short_time.log_frequency import LogFrequencySpectrogram
from audiofeed.transforms.short_time.reassigned import ReassignedSpectrogram
from catalogue import Contest, glides

RATE = 16_000


def contests() -> Iterator[Contest]:
    """One contest for each transform of the family."""
    from nnAudio2 import features

    y = glides(16, RATE)
    x = torch.from_numpy(y)
    exact = torch.from_numpy(y.astype(np.float64))
    for n_bins in (256, 1025):
        config = {"sample_rate": RATE, "n_fft": 2048, "power": 1.0, "f_min": 50.0, "f_max": 6000.0, "n_bins": n_bins}
        ours = LogFrequencySpectrogram(**config)
        # nnAudio2's last bin is a step short of fmax: asked for a step more, it has our frequencies
        theirs = features.STFT(
            n_fft=2048,
            freq_bins=n_bins,
            freq_scale="log",
            fmin=50.0,
            fmax=6000.0 * (6000.0 / 50.0) ** (1 / (n_bins - 1)),
            sr=RATE,
            pad_mode="constant",
            output_format="Magnitude",
            verbose=False,
        )
        yield Contest(
            transform="LogFrequencySpectrogram",
            setting=f"16 x 10 s, 16 kHz, 2048/512, {n_bins} bins 50 to 6000 Hz",
            calls={"audiofeed": lambda ours=ours: ours(x), "nnAudio2": lambda theirs=theirs: theirs(x)},
            # the dense float64 basis, not the interpolation that is timed
            expected=LogFrequencySpectrogram(**config, method="conv")(exact).numpy(),
            note="nnAudio2 is given the fmax that makes its frequencies ours",
        )

    reassigned = ReassignedSpectrogram(sample_rate=RATE, n_fft=2048, fill_nan=True, ref_power=1e-4)
    yield Contest(
        transform="ReassignedSpectrogram.coordinates",
        setting="16 x 10 s, 16 kHz, 2048/512, all three results",
        calls={"audiofeed": lambda: torch.stack(reassigned.coordinates(x)), "librosa": lambda: _librosa(y)},
        expected=_librosa(y.astype(np.float64)),
        note="frequencies, times and magnitudes one after another, as librosa has them in float64",
    )


def _librosa(y: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 0 / 0, which librosa means
        return np.stack(librosa.reassigned_spectrogram(y, sr=RATE, n_fft=2048, fill_nan=True, ref_power=1e-4))
