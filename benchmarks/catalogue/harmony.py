"""Constant-Q chroma against librosa, and combined frequency and periodicity against nnAudio2."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import librosa
import numpy as np
import torch

from audiofeed.transforms.harmony.cfp import CFP
from audiofeed.transforms.harmony.chroma_cens import ChromaCENS
from audiofeed.transforms.harmony.chroma_cqt import ChromaCQT, ChromaVQT
from catalogue import Contest, glides

RATE, CLIPS, SECONDS = 22050, 4, 10


def noise() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((CLIPS, RATE * SECONDS)) * 0.1


def contests() -> Iterator[Contest]:
    """ChromaCQT, ChromaVQT, ChromaCENS, CFP."""
    exact = noise()
    single = exact.astype(np.float32)
    x = torch.from_numpy(single)
    for cls, function, settings in (
        (ChromaCQT, librosa.feature.chroma_cqt, {"tuning": 0.0}),
        (ChromaVQT, librosa.feature.chroma_vqt, {"intervals": "ji5"}),
        (ChromaCENS, librosa.feature.chroma_cens, {"tuning": 0.0}),
    ):
        ours = cls(sample_rate=RATE, **settings)

        def theirs(y: np.ndarray, function: Any = function, settings: Any = settings) -> np.ndarray:
            return function(y=y, sr=RATE, **settings)

        yield Contest(
            transform=cls.__name__,
            setting=f"{RATE} Hz, hop 512, 7 octaves, {CLIPS} x {SECONDS} s",
            calls={"audiofeed": lambda ours=ours: ours(x), "librosa": lambda theirs=theirs: theirs(single)},
            expected=theirs(exact),
        )
    yield of_cfp()


def of_cfp(rate: int = 16_000) -> Contest:
    from nnAudio2 import features

    y = glides(16, rate)[:4]
    x = torch.from_numpy(y)
    cfp = CFP(sample_rate=rate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a division by the quefrency 0
        peer = features.CFP()
    return Contest(
        transform="CFP",
        setting="4 x 10 s, 16 kHz, 8000 points, 175 bands",
        calls={"audiofeed": lambda: cfp(x), "nnAudio2": lambda: peer(x)},
        expected=CFP(sample_rate=rate)(torch.from_numpy(y.astype(np.float64))).numpy(),
        definitions={"nnAudio2": None},
        note="nnAudio2 gives a band at the exact frequency of a quefrency weight 0, and a band less",
    )
