"""Chains, which keep the contract of their first member."""

from __future__ import annotations

import audiofeed as af
from tests.transforms.cases import Case

MEL = {"sample_rate": 8000, "n_fft": 128, "hop_length": 32, "n_mels": 10}


def decibels(settings):
    return af.Chain(af.MelSpectrogram(**{**MEL, **settings}), af.AmplitudeToDB(amin=1e-5, top_db=60.0))


def trained(settings):
    return af.Chain(
        af.Chain(af.LogMelSpectrogram(**{**MEL, **settings}, floor=1e-6, trainable_mel=True)),
    )


def level_and_mel(settings):
    sizes = {**MEL, **settings}
    level = af.RMS(sizes["n_fft"], hop_length=sizes["hop_length"])
    return af.Concat(level=level, mel=af.MelSpectrogram(**sizes))


CASES = [
    Case(cls=af.Concat, make=level_and_mel, small={"n_fft": 16, "hop_length": 7, "n_mels": 3}),
    Case(
        cls=af.Chain,
        make=decibels,
        small={"n_fft": 16, "hop_length": 7, "n_mels": 3},
        shares="top_db counts from the peak of the clip, all channels together",
    ),
    Case(
        cls=af.Chain,
        make=trained,
        small={"n_fft": 16, "hop_length": 7, "n_mels": 3},
        state=("0.0.mel",),
    ),
]
