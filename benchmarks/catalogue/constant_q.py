"""The constant-Q family against librosa and nnAudio2."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import librosa
import numpy as np
import torch
from nnAudio2 import features as nnaudio

from audiofeed.transforms.constant_q.cqt import CQT, VQT
from audiofeed.transforms.constant_q.hybrid_cqt import HybridCQT, PseudoCQT
from catalogue import Contest

HOP = 512
# Hz, bins, bins per octave, clips, seconds, nnAudio2's classes (at 288 bins CQT1992v2 takes gigabytes for its kernels)
SIZES = (
    (22050, 84, 12, 8, 10, ("CQT1992v2", "CQT2010v2")),
    (44100, 252, 36, 4, 10, ("CQT1992v2", "CQT2010v2")),
    (44100, 288, 36, 1, 60, ("CQT2010v2",)),
)


def noise(clips: int, samples: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((clips, samples)) * 0.1


def quiet(make: Any) -> Any:
    """What a constructor makes, without what it prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        return make()


def contests() -> Iterator[Contest]:
    """CQT in three sizes, with its gradient in one; VQT, HybridCQT, PseudoCQT."""
    for rate, bins, per_octave, clips, seconds, names in SIZES:
        yield of_cqt(rate, bins, per_octave, clips, seconds, names)
    yield of_gradients()
    rate, exact = 22050, noise(8, 22050 * 10)
    single = exact.astype(np.float32)
    x = torch.from_numpy(single)
    for cls, function in (
        (VQT, librosa.vqt),
        (HybridCQT, librosa.hybrid_cqt),
        (PseudoCQT, librosa.pseudo_cqt),
    ):
        ours = cls(sample_rate=rate)
        yield Contest(
            transform=cls.__name__,
            setting=f"{rate} Hz, hop {HOP}, 84 bins, 8 x 10 s",
            calls={
                "audiofeed": lambda ours=ours: ours(x),
                "librosa": lambda function=function: np.abs(function(single, sr=rate)),
            },
            expected=np.abs(function(exact, sr=rate)),
        )


def of_cqt(rate: int, bins: int, per_octave: int, clips: int, seconds: int, names: tuple[str, ...]) -> Contest:
    exact = noise(clips, rate * seconds)
    single = exact.astype(np.float32)
    x = torch.from_numpy(single)
    settings = {"n_bins": bins, "bins_per_octave": per_octave}
    ours = CQT(sample_rate=rate, **settings)

    def of_librosa(clips: np.ndarray) -> np.ndarray:
        return np.abs(librosa.cqt(clips, sr=rate, **settings))

    calls: dict[str, Any] = {"audiofeed": lambda: ours(x), "librosa": lambda: of_librosa(single)}
    for name in names:
        made = quiet(
            lambda name=name: getattr(nnaudio, name)(
                sr=rate, hop_length=HOP, pad_mode="constant", verbose=False, **settings
            )
        )
        calls[f"nnAudio2 {name}"] = lambda made=made: made(x)
    return Contest(
        transform="CQT",
        setting=f"{rate} Hz, hop {HOP}, {bins} bins, {per_octave} in an octave, {clips} x {seconds} s",
        calls=calls,
        expected=of_librosa(exact),
        note="the error is against librosa in float64; nnAudio2's is its own definition's.",
    )


def of_gradients() -> Contest:
    rate, clips = 22050, 8
    x = torch.from_numpy(noise(clips, rate * 10).astype(np.float32)).requires_grad_()
    modules = {"audiofeed": CQT(sample_rate=rate)}
    for name in ("CQT1992v2", "CQT2010v2"):
        modules[f"nnAudio2 {name}"] = quiet(
            lambda name=name: getattr(nnaudio, name)(sr=rate, hop_length=HOP, pad_mode="constant", verbose=False)
        )

    def gradient(module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            return torch.autograd.grad(module(x).square().sum(), x)[0]

    exact = x.detach().double().requires_grad_()
    return Contest(
        transform="CQT",
        setting=f"{rate} Hz, hop {HOP}, 84 bins, {clips} x 10 s, forward and backward to the waveform",
        calls={name: lambda module=module: gradient(module, x) for name, module in modules.items()},
        expected=gradient(modules["audiofeed"], exact).numpy(),
        definitions={name: None for name in modules if name != "audiofeed"},
    )
