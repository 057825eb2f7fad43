"""34 types of spectrogram at 44.1 kHz, and how each library that has one computes it."""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import audiofeed as af
from musicnet.recordings import RATE

librosa: Any = None
with contextlib.suppress(ImportError):  # the smoke command's machine may have torch and numpy alone
    librosa = importlib.import_module("librosa")
COMPAT = "librosa-0.11" if librosa is None or librosa.__version__.startswith("0.") else "librosa-1.0"
LOWEST, HIGHEST = 50.0, 6000.0


@dataclass(frozen=True, kw_only=True)
class Type:
    """One type of spectrogram.

    Args:
        name: with its setting, in words.
        ours: makes our module.
        nnaudio: make nnAudio2's modules, of which the fastest is timed; none if it has not the type.
        librosa: from samples to the values; None if it has not the type.
    """

    name: str
    ours: Callable[[], torch.nn.Module]
    nnaudio: tuple[Callable[[], torch.nn.Module], ...] = ()
    librosa: Callable[[np.ndarray], np.ndarray] | None = None


def peer(name: str, **settings: Any) -> Callable[[], torch.nn.Module]:
    """A function that makes a module of nnAudio2 without what it prints."""

    def make() -> torch.nn.Module:
        from nnAudio2 import features

        # CFP divides by the quefrency 0
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quiet = {} if name == "CFP" else {"verbose": False}
            return getattr(features, name)(**settings, **quiet)

    return make


def types() -> Iterator[Type]:
    """All 34, in the order of the table."""
    for n_fft, hop in ((512, 256), (1024, 256), (1024, 512), (2048, 512), (2048, 1024), (4096, 1024)):
        yield spectrogram(n_fft, hop)
    yield band("linear", 2048, 512, 512)
    yield band("linear", 1024, 512, 256)
    yield band("log", 2048, 512, 256)
    yield band("log", 2048, 512, 512)
    yield band("log", 1024, 512, 128)
    for n_fft, n_mels in ((2048, 40), (2048, 64), (2048, 80), (2048, 128), (2048, 229), (2048, 256), (1024, 128)):
        yield mel(n_fft, n_mels)
    for n_mfcc in (13, 20, 40):
        yield mfcc(n_mfcc)
    for bins, per_octave, hop in ((84, 12, 512), (84, 12, 256), (88, 12, 512), (176, 24, 512), (252, 36, 512)):
        yield cqt(bins, per_octave, hop)
    yield vqt(84, 12)
    yield vqt(176, 24)
    yield gammatone(64)
    yield gammatone(128)
    yield Type(
        name="combined frequency and periodicity, 20 ms",
        ours=lambda: af.CFP(sample_rate=RATE, hop_length=882),
        nnaudio=(peer("CFP", fs=RATE, hop_length=882),),
    )
    yield Type(
        name="hybrid CQT, 84 bins, hop 512",
        ours=lambda: af.HybridCQT(sample_rate=RATE, compat=COMPAT),
        librosa=lambda y: np.abs(librosa.hybrid_cqt(y, sr=RATE)),
    )
    frames = {"n_fft": 2048, "hop_length": 512}
    yield Type(
        name="chroma, 2048/512, 12",
        ours=lambda: af.Chroma(sample_rate=RATE, tuning=0.0, **frames),
        librosa=lambda y: librosa.feature.chroma_stft(y=y, sr=RATE, tuning=0.0, **frames),
    )
    yield Type(
        name="chroma of the CQT, 7 octaves, hop 512",
        ours=lambda: af.ChromaCQT(sample_rate=RATE, tuning=0.0, compat=COMPAT),
        librosa=lambda y: librosa.feature.chroma_cqt(y=y, sr=RATE, tuning=0.0),
    )


def spectrogram(n_fft: int, hop: int) -> Type:
    frames = {"n_fft": n_fft, "hop_length": hop}
    return Type(
        name=f"spectrogram, {n_fft}/{hop}",
        ours=lambda: af.Spectrogram(power=1.0, **frames),
        nnaudio=(peer("STFT", output_format="Magnitude", pad_mode="constant", **frames),),
        librosa=lambda y: np.abs(librosa.stft(y, **frames)),
    )


def band(scale: str, n_fft: int, hop: int, n_bins: int) -> Type:
    """Bins between 50 and 6000 Hz; nnAudio2's last is a step short of fmax, so it is asked for a step more."""
    frames = {"n_fft": n_fft, "hop_length": hop}
    step = 1 / (n_bins - 1)
    end = HIGHEST * (HIGHEST / LOWEST) ** step if scale == "log" else HIGHEST + (HIGHEST - LOWEST) * step
    there = {"sr": RATE, "pad_mode": "constant", "output_format": "Magnitude", "freq_scale": scale}
    here = {"sample_rate": RATE, "power": 1.0, "freq_scale": scale, "n_bins": n_bins, "f_min": LOWEST}
    return Type(
        name=f"{scale} frequency, {n_fft}/{hop}, {n_bins} bins",
        ours=lambda: af.LogFrequencySpectrogram(f_max=HIGHEST, **here, **frames),
        nnaudio=(peer("STFT", freq_bins=n_bins, fmin=LOWEST, fmax=end, **there, **frames),),
    )


def mel(n_fft: int, n_mels: int) -> Type:
    settings = {"n_fft": n_fft, "hop_length": 512, "n_mels": n_mels}
    return Type(
        name=f"mel, {n_fft}/512, {n_mels}",
        ours=lambda: af.MelSpectrogram(sample_rate=RATE, **settings),
        nnaudio=(peer("MelSpectrogram", sr=RATE, pad_mode="constant", **settings),),
        librosa=lambda y: librosa.feature.melspectrogram(y=y, sr=RATE, **settings),
    )


def mfcc(n_mfcc: int) -> Type:
    frames = {"n_fft": 2048, "hop_length": 512}
    return Type(
        name=f"MFCC, 2048/512, {n_mfcc}",
        ours=lambda: af.MFCC(sample_rate=RATE, n_mfcc=n_mfcc, **frames),
        nnaudio=(peer("MFCC", sr=RATE, n_mfcc=n_mfcc, pad_mode="constant", **frames),),
        librosa=lambda y: librosa.feature.mfcc(y=y, sr=RATE, n_mfcc=n_mfcc, **frames),
    )


def cqt(bins: int, per_octave: int, hop: int) -> Type:
    settings = {"n_bins": bins, "bins_per_octave": per_octave, "hop_length": hop}
    there = {"sr": RATE, "pad_mode": "constant", **settings}
    return Type(
        name=f"CQT, {bins} bins, {per_octave} in an octave, hop {hop}",
        ours=lambda: af.CQT(sample_rate=RATE, compat=COMPAT, **settings),
        nnaudio=(peer("CQT1992v2", **there), peer("CQT2010v2", **there)),
        librosa=lambda y: np.abs(librosa.cqt(y, sr=RATE, **settings)),
    )


def vqt(bins: int, per_octave: int, gamma: float = 20.0) -> Type:
    settings = {"n_bins": bins, "bins_per_octave": per_octave, "gamma": gamma}
    return Type(
        name=f"VQT, {bins} bins, {per_octave} in an octave, gamma {gamma:g}, hop 512",
        ours=lambda: af.VQT(sample_rate=RATE, compat=COMPAT, **settings),
        nnaudio=(peer("VQT", sr=RATE, pad_mode="constant", **settings),),
        librosa=lambda y: np.abs(librosa.vqt(y, sr=RATE, **settings)),
    )


def gammatone(n_bins: int) -> Type:
    settings = {"n_fft": 2048, "hop_length": 512, "n_bins": n_bins}
    return Type(
        name=f"gammatonegram, 2048/512, {n_bins}",
        ours=lambda: af.Gammatonegram(sample_rate=RATE, norm="n_fft", **settings),
        nnaudio=(peer("Gammatonegram", sr=RATE, fmin=50.0, pad_mode="constant", **settings),),
    )
