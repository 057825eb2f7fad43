"""The inverse constant-Q transform against librosa."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import librosa
import numpy as np
import torch

from audiofeed.transforms.constant_q.cqt import CQT
from audiofeed.transforms.constant_q.inverse_cqt import InverseCQT
from catalogue import Contest

RATE, CLIPS, SECONDS = 22050, 8, 10


def contests() -> Iterator[Contest]:
    """At librosa's default hop, and at two at which more of the bins, and then all, are sampled often enough."""
    for hop in (512, 256, 64):
        yield _inverse(hop)


def _inverse(hop: int) -> Contest:
    clips = _covered()
    values = CQT(sample_rate=RATE, hop_length=hop, power=None)(torch.from_numpy(clips))
    single = values.to(torch.complex64)
    array = single.numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the highest bins, which hold next to nothing of the clips
        ours = InverseCQT(sample_rate=RATE, hop_length=hop)
    length = clips.shape[-1]
    return Contest(
        transform="InverseCQT",
        setting=f"{RATE} Hz, hop {hop}, 84 bins, {CLIPS} x {SECONDS} s, n_iter={ours.n_iter}",
        calls={
            "audiofeed": lambda: ours(single, length),
            "librosa": lambda: librosa.icqt(array, sr=RATE, hop_length=hop, length=length),
        },
        expected=clips,
        note="the error is what does not come back of noise from 60 to 400 Hz",
    )


def _covered() -> np.ndarray:
    """Noise between two bins, of a band in which all hops are short enough."""
    time = RATE * SECONDS
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal((CLIPS, time)))
    hertz = np.fft.rfftfreq(time, 1 / RATE)
    return np.fft.irfft(np.where((hertz >= 60) & (hertz <= 400), spectrum, 0), time)
