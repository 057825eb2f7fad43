"""Cepstra, deltas and their normalization against librosa, torchaudio and nnAudio2."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator

import librosa
import numpy as np
import torch
import torchaudio
from nnAudio2 import features as nnaudio

from audiofeed.transforms.cepstral.cmvn import CMVN
from audiofeed.transforms.cepstral.coefficients import BFCC, LFCC, MFCC
from audiofeed.transforms.cepstral.deltas import Deltas
from audiofeed.transforms.inverse.inverse_mfcc import InverseMFCC
from catalogue import Contest

CLIPS, SECONDS = 16, 10


def noise(rate: int) -> np.ndarray:
    """Clips of one loudness, so that a peak over the batch is nearly a peak over the clip."""
    return np.random.default_rng(0).standard_normal((CLIPS, rate * SECONDS)) * 0.1


def contests() -> Iterator[Contest]:
    """MFCC, LFCC, BFCC, Deltas, CMVN, InverseMFCC."""
    yield mfcc(16000, 13, {"n_fft": 400, "hop_length": 160, "n_mels": 80})
    yield mfcc(22050, 20, {"n_fft": 2048, "hop_length": 512, "n_mels": 128})
    yield from other_scales()
    features = np.random.default_rng(1).standard_normal((64, 80, 1001)) * 10
    yield slopes(features, "interp")
    yield slopes(features, "nearest")
    yield sliding(features, norm_vars=False)
    yield sliding(features, norm_vars=True)
    yield whole_clips(features)
    yield inverse()


def mfcc(rate: int, n_mfcc: int, mel: dict[str, int]) -> Contest:
    """One setting, in which torchaudio and nnAudio2 are told librosa's definition."""
    exact = noise(rate)
    single = exact.astype(np.float32)
    x = torch.from_numpy(single)
    ours = MFCC(sample_rate=rate, n_mfcc=n_mfcc, **mel)
    theirs = torchaudio.transforms.MFCC(
        sample_rate=rate,
        n_mfcc=n_mfcc,
        melkwargs={**mel, "norm": "slaney", "mel_scale": "slaney", "pad_mode": "constant"},
    )
    with contextlib.redirect_stdout(io.StringIO()):  # it prints on construction
        other = nnaudio.MFCC(sr=rate, n_mfcc=n_mfcc, verbose=False, pad_mode="constant", **mel)

    def librosa_of(clips: np.ndarray) -> np.ndarray:
        """Clip by clip: its top_db counts from the peak of all it is given."""
        return np.stack([librosa.feature.mfcc(y=clip, sr=rate, n_mfcc=n_mfcc, **mel) for clip in clips])

    return Contest(
        transform="MFCC",
        setting=f"{rate} Hz, {mel['n_fft']}/{mel['hop_length']}, {mel['n_mels']} mels, {n_mfcc} coefficients, "
        f"{CLIPS} x {SECONDS} s",
        calls={
            "audiofeed": lambda: ours(x),
            "librosa": lambda: librosa_of(single),
            "torchaudio": lambda: theirs(x),
            "nnAudio2": lambda: other(x),
        },
        expected=librosa_of(exact),
        note="torchaudio's top_db counts from the peak of the batch; of noise as loud in every clip that is the same.",
    )


def other_scales() -> Iterator[Contest]:
    """LFCC and BFCC."""
    rate = 16000
    exact = noise(rate)
    x = torch.from_numpy(exact.astype(np.float32))
    frames = {"n_fft": 512, "hop_length": 160}
    lfcc = LFCC(sample_rate=rate, pad_mode="reflect", **frames)
    theirs = torchaudio.transforms.LFCC(sample_rate=rate, speckwargs=frames)
    yield Contest(
        transform="LFCC",
        setting=f"{rate} Hz, 512/160, 128 filters, 40 coefficients, {CLIPS} x {SECONDS} s",
        calls={"audiofeed": lambda: lfcc(x), "torchaudio": lambda: theirs(x)},
        expected=lfcc(torch.from_numpy(exact)).numpy(),
        note="The float64 values are ours, held against torchaudio's in the parity tests.",
    )
    bfcc = BFCC(sample_rate=rate, **frames)
    yield Contest(
        transform="BFCC",
        setting=f"{rate} Hz, 512/160, 64 filters, 20 coefficients, {CLIPS} x {SECONDS} s",
        calls={"audiofeed": lambda: bfcc(x)},
        expected=bfcc(torch.from_numpy(exact)).numpy(),
        note="No peer has it.",
    )


def slopes(exact: np.ndarray, mode: str) -> Contest:
    """Deltas with one kind of end; torchaudio has no "interp"."""
    single = exact.astype(np.float32)
    x = torch.from_numpy(single)
    ours = Deltas(mode=mode)
    theirs = torchaudio.transforms.ComputeDeltas(9, "replicate")
    replicated = {"torchaudio": librosa.feature.delta(exact, mode="nearest")}
    return Contest(
        transform="Deltas",
        setting=f"width 9, {mode!r}, {sizes(exact)}",
        calls={
            "audiofeed": lambda: ours(x),
            "librosa": lambda: librosa.feature.delta(single, mode=mode),
            "torchaudio": lambda: theirs(x),
        },
        expected=librosa.feature.delta(exact, mode=mode),
        definitions=replicated if mode == "interp" else {},
        note="torchaudio has no 'interp'; it is timed and held against 'nearest'." if mode == "interp" else "",
    )


def sliding(exact: np.ndarray, *, norm_vars: bool) -> Contest:
    """CMVN over a window that slides."""
    x = torch.from_numpy(exact.astype(np.float32))
    ours = CMVN(window=300, center=True, norm_vars=norm_vars)
    theirs = torchaudio.transforms.SlidingWindowCmn(300, center=True, norm_vars=norm_vars)
    frames_first = x.transpose(1, 2).contiguous()
    return Contest(
        transform="CMVN",
        setting=f"window 300, centered, norm_vars={norm_vars}, {sizes(exact)}",
        calls={"audiofeed": lambda: ours(x), "torchaudio": lambda: theirs(frames_first).transpose(1, 2)},
        expected=theirs(torch.from_numpy(exact).transpose(1, 2).contiguous()).transpose(1, 2).numpy(),
        note="torchaudio is given (clips, frames, bins), which it takes.",
    )


def whole_clips(exact: np.ndarray) -> Contest:
    """CMVN over whole clips: no peer has it."""
    single = exact.astype(np.float32)
    x = torch.from_numpy(single)
    ours = CMVN()

    def by_numpy(clips: np.ndarray) -> np.ndarray:
        return (clips - clips.mean(-1, keepdims=True)) / clips.std(-1, keepdims=True)

    return Contest(
        transform="CMVN",
        setting=f"whole clips, {sizes(exact)}",
        calls={"audiofeed": lambda: ours(x), "NumPy": lambda: by_numpy(single)},
        expected=by_numpy(exact),
        note="No peer has it over whole clips; a line of NumPy stands beside it.",
    )


def inverse() -> Contest:
    """InverseMFCC."""
    exact = np.random.default_rng(2).standard_normal((CLIPS, 20, 1001)) * 5
    single = exact.astype(np.float32)
    x = torch.from_numpy(single)
    ours = InverseMFCC(128)
    return Contest(
        transform="InverseMFCC",
        setting=f"20 coefficients to 128 mels, {CLIPS} clips x 1001 frames",
        calls={
            "audiofeed": lambda: ours(x),
            "librosa": lambda: librosa.feature.inverse.mfcc_to_mel(single, n_mels=128),
        },
        expected=librosa.feature.inverse.mfcc_to_mel(exact, n_mels=128),
    )


def sizes(features: np.ndarray) -> str:
    """In words."""
    return "{} clips x {} bins x {} frames".format(*features.shape)
