"""Cepstra, deltas and their normalisation against librosa, torchaudio and nnAudio2."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import librosa
import numpy as np
import torch
import torchaudio
from catalogue import Contest
from nnAudio2 import features as nnaudio

from audiofeed.transforms.cepstral import BFCC, LFCC, MFCC
from audiofeed.transforms.cmvn import CMVN
from audiofeed.transforms.deltas import Deltas
from audiofeed.transforms.inverse_mfcc import InverseMFCC

CLIPS, SECONDS = 16, 10


def noise(rate: int) -> np.ndarray:
    """Clips of one loudness, so that a peak over the batch is nearly a peak over the clip."""
    return np.random.default_rng(0).standard_normal((CLIPS, rate * SECONDS)) * 0.1


def quiet(make: Any) -> Any:
    """What a constructor makes, without what it prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        return make()


def each(transform: Any, clips: np.ndarray) -> np.ndarray:
    """librosa's function of one clip after another: its top_db counts from the peak of all it is given."""
    return np.stack([transform(clip) for clip in clips])


def contests() -> Iterator[Contest]:
    """MFCC, LFCC, BFCC, Deltas, CMVN, InverseMFCC."""
    yield from mfccs()
    yield from others()
    yield from over_time()


def mfccs() -> Iterator[Contest]:
    for rate, n_fft, hop, n_mels, n_mfcc in ((16000, 400, 160, 80, 13), (22050, 2048, 512, 128, 20)):
        exact = noise(rate)
        single = exact.astype(np.float32)
        x = torch.from_numpy(single)
        mel = {"n_fft": n_fft, "hop_length": hop, "n_mels": n_mels}
        ours = MFCC(sample_rate=rate, n_mfcc=n_mfcc, **mel)

        def of_librosa(clip: np.ndarray, rate: int = rate, n_mfcc: int = n_mfcc, mel: dict = mel) -> np.ndarray:
            return librosa.feature.mfcc(y=clip, sr=rate, n_mfcc=n_mfcc, **mel)

        theirs = torchaudio.transforms.MFCC(
            sample_rate=rate,
            n_mfcc=n_mfcc,
            melkwargs={**mel, "norm": "slaney", "mel_scale": "slaney", "pad_mode": "constant"},
        )
        other = quiet(lambda: nnaudio.MFCC(sr=rate, n_mfcc=n_mfcc, verbose=False, pad_mode="constant", **mel))
        yield Contest(
            transform="MFCC",
            setting=f"{rate} Hz, {n_fft}/{hop}, {n_mels} mels, {n_mfcc} coefficients, {CLIPS} x {SECONDS} s",
            calls={
                "audiofeed": lambda: ours(x),
                "librosa": lambda: each(of_librosa, single),
                "torchaudio": lambda: theirs(x),
                "nnAudio2": lambda: other(x),
            },
            expected=each(of_librosa, exact),
            note="torchaudio's top_db counts from the peak of the batch.",
        )


def others() -> Iterator[Contest]:
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


def over_time() -> Iterator[Contest]:
    exact = np.random.default_rng(1).standard_normal((64, 80, 1001)) * 10
    single = exact.astype(np.float32)
    x = torch.from_numpy(single)
    shape = "64 clips x 80 bins x 1001 frames"
    for mode, edge in (("interp", None), ("nearest", "replicate")):
        ours = Deltas(mode=mode)
        calls = {
            "audiofeed": lambda ours=ours: ours(x),
            "librosa": lambda mode=mode: librosa.feature.delta(single, mode=mode),
        }
        theirs = torchaudio.transforms.ComputeDeltas(9, edge or "replicate")
        calls["torchaudio"] = lambda theirs=theirs: theirs(x)
        definitions = {} if edge else {"torchaudio": librosa.feature.delta(exact, mode="nearest")}
        yield Contest(
            transform="Deltas",
            setting=f"width 9, {mode!r}, {shape}",
            calls=calls,
            expected=librosa.feature.delta(exact, mode=mode),
            definitions=definitions,
            note="" if edge else "torchaudio has no 'interp'; it is timed and held against 'replicate'.",
        )
    frames_first = x.transpose(1, 2).contiguous()
    exact_first = torch.from_numpy(exact).transpose(1, 2).contiguous()
    for norm_vars in (False, True):
        cmvn = CMVN(window=300, center=True, norm_vars=norm_vars)
        sliding = torchaudio.transforms.SlidingWindowCmn(300, center=True, norm_vars=norm_vars)
        yield Contest(
            transform="CMVN",
            setting=f"window 300, centred, norm_vars={norm_vars}, {shape}",
            calls={
                "audiofeed": lambda cmvn=cmvn: cmvn(x),
                "torchaudio": lambda sliding=sliding: sliding(frames_first).transpose(1, 2),
            },
            expected=sliding(exact_first).transpose(1, 2).numpy(),
            note="torchaudio is given (clips, frames, bins), which it takes.",
        )
    whole = CMVN()
    centred = exact - exact.mean(-1, keepdims=True)
    yield Contest(
        transform="CMVN",
        setting=f"whole clips, {shape}",
        calls={
            "audiofeed": lambda: whole(x),
            "numpy": lambda: (single - single.mean(-1, keepdims=True)) / single.std(-1, keepdims=True),
        },
        expected=centred / exact.std(-1, keepdims=True),
        note="No peer has it over whole clips; NumPy's own two lines stand beside it.",
    )
    coefficients = np.random.default_rng(2).standard_normal((CLIPS, 20, 1001)) * 5
    narrow = coefficients.astype(np.float32)
    given = torch.from_numpy(narrow)
    inverse = InverseMFCC(128)
    yield Contest(
        transform="InverseMFCC",
        setting=f"20 coefficients to 128 mels, {CLIPS} clips x 1001 frames",
        calls={
            "audiofeed": lambda: inverse(given),
            "librosa": lambda: librosa.feature.inverse.mfcc_to_mel(narrow, n_mels=128),
        },
        expected=librosa.feature.inverse.mfcc_to_mel(coefficients, n_mels=128),
    )
