"""Gammatone, PCEN, SincNet's and LEAF's layers against nnAudio2, librosa, and the published layers as convolutions."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import librosa
import numpy as np
import torch
import torch.nn.functional as F
from nnAudio2 import features as nnaudio

from audiofeed.signal.auditory.gammatone import gammatone_filterbank
from audiofeed.signal.auditory.leaf import gabor_filters, gaussian_pools
from audiofeed.signal.auditory.sinc import sinc_filters
from audiofeed.transforms.auditory.gammatone import Gammatonegram
from audiofeed.transforms.auditory.leaf import GaborFilterbank
from audiofeed.transforms.auditory.pcen import PCEN
from audiofeed.transforms.auditory.sinc import SincFilterbank
from catalogue import Contest

PLAIN = "plain conv1d"


def noise(*shape: int) -> np.ndarray:
    """Clips of white noise, float64."""
    return np.random.default_rng(0).standard_normal(shape) * 0.1


def quiet(make: Any) -> Any:
    """What a constructor makes, without what it prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        return make()


def contests() -> Iterator[Contest]:
    """Gammatonegram, PCEN, SincFilterbank, GaborFilterbank."""
    yield gammatonegram(16000, 400, 160)
    yield gammatonegram(22050, 2048, 512)
    yield pcen(128, 431)
    yield pcen(80, 1001, power=0.25)
    yield pcen(128, 431, max_size=3)
    yield sinc(1, 1)
    yield sinc(2, 1)
    yield sinc(160, 10)
    yield leaf()


def gammatonegram(rate: int, n_fft: int, hop: int) -> Contest:
    exact = noise(16, rate * 10)
    x = torch.from_numpy(exact).float()
    frames = {"n_fft": n_fft, "hop_length": hop}
    ours = Gammatonegram(sample_rate=rate, norm="n_fft", **frames)
    theirs = quiet(lambda: nnaudio.Gammatonegram(sr=rate, fmin=50.0, pad_mode="constant", verbose=False, **frames))
    weights = gammatone_filterbank(sample_rate=rate, n_fft=n_fft, norm="n_fft")
    return Contest(
        transform="Gammatonegram",
        setting=f"{rate} Hz, {n_fft}/{hop}, 64 filters, 16 x 10 s",
        calls={"audiofeed": lambda: ours(x), "nnAudio2": lambda: theirs(x)},
        expected=weights @ np.abs(librosa.stft(exact, **frames)) ** 2,
    )


def pcen(bins: int, n_frames: int, **change: Any) -> Contest:
    exact = noise(16, bins, n_frames) ** 2 * 2.0**31
    single = exact.astype(np.float32)
    x = torch.from_numpy(single)
    ours = PCEN(sample_rate=22050, **change)

    def of_librosa(spectrogram: np.ndarray) -> np.ndarray:
        return librosa.pcen(spectrogram, sr=22050, max_axis=-2, **change)

    return Contest(
        transform="PCEN",
        setting=", ".join([f"16 x {bins} bins x {n_frames} frames", *(f"{k}={v}" for k, v in change.items())]),
        calls={"audiofeed": lambda: ours(x), "librosa": lambda: of_librosa(single)},
        expected=of_librosa(exact),
    )


def sinc(hop: int, seconds: int) -> Contest:
    exact = noise(16, 16000 * seconds)
    x = torch.from_numpy(exact).float()
    ours = SincFilterbank(sample_rate=16000, hop_length=hop, trainable=False)
    filters = torch.from_numpy(sinc_filters(ours.cutoffs.numpy(), sample_rate=16000, win_length=251))[:, None]
    short = filters.float()

    def plain(x: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
        return F.conv1d(x[:, None], filters, stride=hop, padding=125)

    return Contest(
        transform="SincFilterbank",
        setting=f"16 kHz, 80 filters of 251 taps, hop {hop}, 16 x {seconds} s",
        calls={"audiofeed": lambda: ours(x), PLAIN: lambda: plain(x, short)},
        expected=plain(torch.from_numpy(exact), filters).numpy(),
        baselines=(PLAIN,),
        note=f"{PLAIN} is SincNet's layer as published, in PyTorch: no peer that has it is installed.",
    )


def leaf() -> Contest:
    exact = noise(4, 16000 * 5)
    x = torch.from_numpy(exact).float()
    ours = GaborFilterbank(sample_rate=16000, compression="log", trainable=False)
    real, imag = gabor_filters(ours.centres.numpy(), ours.deviations.numpy(), 401)
    filters = torch.from_numpy(np.concatenate([real, imag]))[:, None]
    pools = torch.from_numpy(gaussian_pools(ours.pool_widths.numpy(), 401))[:, None]

    def plain(x: torch.Tensor, filters: torch.Tensor, pools: torch.Tensor) -> torch.Tensor:
        parts = F.conv1d(x[:, None], filters, padding=200)
        energy = parts[:, :40].square() + parts[:, 40:].square()
        return F.conv1d(energy, pools, stride=160, padding=200, groups=40).clamp(min=1e-5).log()

    short = filters.float(), pools.float()
    return Contest(
        transform="GaborFilterbank",
        setting="16 kHz, 40 filters of 401 taps, hop 160, log, 4 x 5 s",
        calls={"audiofeed": lambda: ours(x), PLAIN: lambda: plain(x, *short)},
        expected=plain(torch.from_numpy(exact), filters, pools).numpy(),
        baselines=(PLAIN,),
        note=f"{PLAIN} is LEAF's layers as published, in PyTorch: no peer that has them is installed.",
    )
