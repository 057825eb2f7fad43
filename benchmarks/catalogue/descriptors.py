"""Descriptors, chroma, onset strength and tempograms against librosa and torchaudio."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import librosa
import numpy as np
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
from benchmarks.catalogue import Contest

RATE, CLIPS, SECONDS = 22050, 16, 10
SETTING = f"{CLIPS} x {SECONDS} s at 22.05 kHz, 2048/512"


def notes() -> np.ndarray:
    """Clips of decaying notes, each clip tuned in its own way, in faint noise.  Shape: (clips, time)."""
    random = np.random.default_rng(0)
    time = np.arange(RATE * SECONDS) / RATE
    clips = 1e-3 * random.standard_normal((CLIPS, time.size))
    for clip in clips:
        tuning = random.uniform(-0.4, 0.4)
        for start in np.arange(0, SECONDS, 0.5):
            f0 = 220 * 2 ** ((random.integers(0, 24) + tuning) / 12)
            since = np.maximum(time - start, 0)
            clip += (
                (time >= start) * np.exp(-5 * since) * sum(np.sin(2 * np.pi * f0 * k * since) / k for k in (1, 2, 3))
            )
    return 0.1 * clips


def contests() -> Iterator[Contest]:
    """Each descriptor by its defaults, which are librosa's."""
    exact = notes()
    y = exact.astype(np.float32)
    exact = y.astype(np.float64)
    x = torch.from_numpy(y)
    f = librosa.feature
    functions: list[tuple[torch.nn.Module, Callable[..., Any], dict[str, Any], str]] = [
        (SpectralCentroid(sample_rate=RATE), f.spectral_centroid, {"sr": RATE}, ""),
        (SpectralBandwidth(sample_rate=RATE), f.spectral_bandwidth, {"sr": RATE}, ""),
        (SpectralRolloff(sample_rate=RATE), f.spectral_rolloff, {"sr": RATE}, "float32 may differ by a bin"),
        (SpectralFlatness(), f.spectral_flatness, {}, ""),
        (SpectralContrast(sample_rate=RATE), f.spectral_contrast, {"sr": RATE}, "peak of each clip, not of the array"),
        (PolyFeatures(sample_rate=RATE), f.poly_features, {"sr": RATE}, ""),
        (RMS(), f.rms, {}, ""),
        (ZeroCrossingRate(), f.zero_crossing_rate, {}, ""),
        (Chroma(sample_rate=RATE), f.chroma_stft, {"sr": RATE}, "tuning of each clip, not of the array"),
        (OnsetStrength(sample_rate=RATE), librosa.onset.onset_strength, {"sr": RATE}, "peak of each clip"),
        (Tempogram(sample_rate=RATE), f.tempogram, {"sr": RATE}, "peak of each clip"),
        (FourierTempogram(sample_rate=RATE), f.fourier_tempogram, {"sr": RATE}, "peak of each clip"),
        (Tonnetz(sample_rate=RATE), tonnetz, {"sr": RATE}, "of chroma_stft"),
    ]
    wide = {f.chroma_stft, tonnetz, f.rms, librosa.onset.onset_strength}
    for transform, function, settings, note in functions:
        first = function if function is f.zero_crossing_rate else None
        more = {"dtype": np.float64} if function in wide else {}
        envelopes = [librosa.onset.onset_strength(y=clip, sr=RATE, dtype=np.float64) for clip in exact]
        rows = []
        for clip, envelope in zip(exact, envelopes, strict=True):
            if function in (f.tempogram, f.fourier_tempogram):
                rows.append(function(onset_envelope=envelope, **settings))
            else:
                rows.append(first(clip) if first else function(y=clip, **settings, **more))
        expected = np.stack(rows)
        expected = expected[:, None] if function is librosa.onset.onset_strength else expected
        calls: dict[str, Callable[[], Any]] = {
            "audiofeed": lambda transform=transform: transform(x),
            "librosa, the array": lambda g=function, s=settings, first=first: g(y, **s) if first else g(y=y, **s),
            "librosa, clip by clip": lambda g=function, s=settings, first=first: [
                g(clip, **s) if first else g(y=clip, **s) for clip in y
            ],
        }
        definitions: dict[str, np.ndarray | None] = {}
        if function is f.spectral_centroid:
            calls |= torchaudio_centroid(x)
            # reflects at the ends
            definitions = {
                "torchaudio": np.stack([f.spectral_centroid(y=c, sr=RATE, pad_mode="reflect")[0] for c in exact])
            }
        yield Contest(
            transform=type(transform).__name__,
            setting=SETTING,
            calls=calls,
            expected=expected,
            definitions=definitions,
            note=note,
        )


def tonnetz(*, y: np.ndarray, sr: float, **settings: Any) -> np.ndarray:
    """librosa's tonal centroid of its chroma from the STFT."""
    return librosa.feature.tonnetz(chroma=librosa.feature.chroma_stft(y=y, sr=sr, **settings))


def torchaudio_centroid(x: torch.Tensor) -> dict[str, Callable[[], Any]]:
    """torchaudio's, where it imports."""
    try:
        from torchaudio.transforms import SpectralCentroid as Theirs
    except (ImportError, OSError):
        return {}
    theirs = Theirs(RATE, n_fft=2048, hop_length=512)
    return {"torchaudio": lambda: theirs(x)}
