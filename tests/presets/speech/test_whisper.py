"""Whisper's front-end against transformers' and openai-whisper's."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

import audiofeed as af
from tests.presets import comparison
from tests.presets.comparison import Case
from tests.presets.speech.mel_formulas import whisper

transformers = pytest.importorskip("transformers")


def definition(n_mels: int, samples: int | None = None):
    return functools.partial(whisper, n_mels=n_mels, samples=samples)


def reference(n_mels: int, padding: str = "do_not_pad"):
    extractor = transformers.WhisperFeatureExtractor(feature_size=n_mels)

    def features(x: np.ndarray) -> np.ndarray:
        found = extractor(x, sampling_rate=16000, padding=padding, truncation=padding == "max_length")
        return np.asarray(found["input_features"][0])

    return features


def reference_of_openai(n_mels: int):
    def features(x: np.ndarray) -> np.ndarray:
        openai = pytest.importorskip("whisper.audio", reason="openai-whisper is not installed")
        return openai.log_mel_spectrogram(x, n_mels).numpy()

    return features


CASES = [
    *[
        Case(
            name=f"{name}-{n_mels}",
            preset=lambda n_mels=n_mels: af.presets.whisper(n_mels=n_mels, seconds=None),
            definition=definition(n_mels),
            reference=of(n_mels),
            count=lambda n: max(1, n // 160),
        )
        for name, of in (("whisper", reference), ("openai-whisper", reference_of_openai))
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
CASES = [dataclasses.replace(case, shortest=case.shortest or 400) for case in CASES]


@pytest.mark.parametrize("check", comparison.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_preset(case, check):
    check(case)
