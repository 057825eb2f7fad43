"""Whisper's front-end against transformers' and openai-whisper's."""

from __future__ import annotations

import numpy as np
import pytest

import audiofeed as af
from tests.presets import comparison
from tests.presets.comparison import Case
from tests.transforms.frontends import formulas

transformers = pytest.importorskip("transformers")


def slaney_filters(n_mels: int, n_fft: int, rate: int, top: float) -> np.ndarray:
    """(n_mels, bins): triangles of area 1 on Slaney's scale (Auditory Toolbox, 1998), from 0 Hz."""

    def mel(hz):
        return np.where(hz < 1000, 3 * hz / 200, 15 + 27 * np.log(np.maximum(hz, 1e-9) / 1000) / np.log(6.4))

    def hertz(mels):
        return np.where(mels < 15, 200 * mels / 3, 1000 * np.exp(np.log(6.4) / 27 * (mels - 15)))

    edges = hertz(np.linspace(0, float(mel(np.float64(top))), n_mels + 2))
    bins = np.arange(n_fft // 2 + 1) * rate / n_fft
    low, middle, high = (edges[i : len(edges) - 2 + i, None] for i in range(3))
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)


def definition(n_mels: int, samples: int | None = None):
    def features(x: np.ndarray) -> np.ndarray:
        if samples is not None:
            x = np.pad(x[:samples], (0, max(0, samples - len(x))))
        frames = formulas.frames_of(
            x, placement="hops", n_fft=400, hop=160, win=400, window_at="center", pad_mode="reflect"
        )
        power = np.abs(formulas.spectrum(frames * formulas.hann(400))) ** 2
        logs = np.log10(np.maximum(slaney_filters(n_mels, 400, 16000, 8000.0) @ power, 1e-10))
        return (np.maximum(logs, logs.max() - 8) + 4) / 4

    return features


def reference(n_mels: int, padding: str = "do_not_pad"):
    extractor = transformers.WhisperFeatureExtractor(feature_size=n_mels)

    def features(x: np.ndarray) -> np.ndarray:
        found = extractor(x, sampling_rate=16000, padding=padding, truncation=padding == "max_length")
        return np.asarray(found["input_features"][0])

    return features


CASES = [
    *[
        Case(
            name=f"whisper-{n_mels}",
            preset=lambda n_mels=n_mels: af.presets.whisper(n_mels=n_mels, seconds=None),
            definition=definition(n_mels),
            reference=reference(n_mels),
            count=lambda n: max(1, n // 160),
        )
        for n_mels in (80, 128)
    ],
    Case(
        name="whisper-30s",
        preset=af.presets.whisper,
        definition=definition(80, 480000),
        reference=reference(80, "max_length"),
        extractor=transformers.WhisperFeatureExtractor,
        count=lambda n: 3000,
    ),
    Case(
        name="whisper-2s",
        preset=lambda: af.presets.whisper(n_mels=128, seconds=2),
        definition=definition(128, 32000),
        extractor=lambda: transformers.WhisperFeatureExtractor(feature_size=128, chunk_length=2),
        count=lambda n: 200,
        samples=(12077, 40000),
    ),
]


@pytest.mark.parametrize("check", comparison.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_preset(case, check):
    check(case)
