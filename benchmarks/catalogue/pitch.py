"""Log-frequency spectra, reassigned spectra, CFP."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import librosa
import numpy as np
import torch

from audiofeed.transforms.harmony.cfp import CFP
from audiofeed.transforms.short_time.log_frequency import LogFrequencySpectrogram
from audiofeed.transforms.short_time.reassigned import ReassignedSpectrogram
from catalogue import Contest

RATE = 16_000


def _clips(n: int) -> np.ndarray:
    """Clips of 10 s: a gliding tone with overtones, in noise."""
    random = np.random.default_rng(0)
    phase = np.cumsum(2 * np.pi * random.uniform(100, 400, (n, 1)) * np.linspace(1, 1.5, 10 * RATE) / RATE, axis=1)
    return (sum(np.cos(k * phase) / k for k in range(1, 6)) * 0.1 + random.standard_normal(phase.shape) * 0.01).astype(
        np.float32
    )


def contests() -> Iterator[Contest]:
    """One contest for each transform of the family."""
    from nnAudio2 import features

    y = _clips(16)
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

    few, few_exact = x[:4], exact[:4]
    cfp = CFP(sample_rate=RATE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a division by the quefrency 0
        peer = features.CFP()
    yield Contest(
        transform="CFP",
        setting="4 x 10 s, 16 kHz, 8000 points, 175 bands",
        calls={"audiofeed": lambda: cfp(few), "nnAudio2": lambda: peer(few)},
        expected=CFP(sample_rate=RATE)(few_exact).numpy(),
        definitions={"nnAudio2": None},
        note="nnAudio2 gives a band at the exact frequency of a quefrency weight 0, and a band less",
    )


def _librosa(y: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 0 / 0, which librosa means
        return np.stack(librosa.reassigned_spectrogram(y, sr=RATE, n_fft=2048, fill_nan=True, ref_power=1e-4))
