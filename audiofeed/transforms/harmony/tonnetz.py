"""The tonal centroid: where the harmony lies on the circles of fifths and thirds."""

from __future__ import annotations

import functools

import torch

from audiofeed.arguments.checks import check_rate
from audiofeed.methods.norms import normalized
from audiofeed.methods.precision import matmul
from audiofeed.signal.harmony.tonnetz import tonnetz_basis
from audiofeed.transforms.contract.derived import Derived, check_source
from audiofeed.transforms.contract.transform import Transform
from audiofeed.transforms.harmony.chroma import Chroma
from audiofeed.transforms.harmony.chroma_cqt import ChromaCQT


class Tonnetz(Derived):
    """Tonnetz as a module, tonal centroid features equal to `librosa.feature.tonnetz` of the same chroma.

    Sine and cosine on the circles of fifths, of minor thirds and of major thirds, the last of radius 1/2: Harte,
    Sandler and Gasser, "Detecting harmonic change in musical audio" (2006). Silence is 0.

    Args:
        sample_rate: Hz.
        n_fft: samples of a frame of chroma="stft".
        hop_length: samples from frame to frame; None: n_fft // 4, or 512 with chroma="cqt".
        tuning: of the chroma, in fractions of a class or a bin; None: estimated for each clip.
        chroma: what is projected: "stft" is `Chroma`, "cqt" is `ChromaCQT`; or any transform that makes chroma, which
            brings its own `n_fft`, `hop_length` and `tuning`.

    Returns:
        (..., 6, frames), from a waveform (..., time) and lengths (batch,).

    Raises:
        TypeError: for a chroma that is not a transform of waveforms.

    Differs from librosa: there the chroma is `chroma_cqt` unless one is given, here with chroma="cqt"; else this is
    `librosa.feature.tonnetz(chroma=librosa.feature.chroma_stft(...))`.

    >>> Tonnetz(sample_rate=16000, n_fft=1024)(torch.zeros(2, 1600)).shape
    torch.Size([2, 6, 7])
    """

    def __init__(
        self,
        *,
        sample_rate: float,
        n_fft: int = 2048,
        hop_length: int | None = None,
        tuning: float | None = None,
        chroma: str | Transform = "stft",
    ) -> None:
        check_rate(sample_rate)
        if isinstance(chroma, str):
            chroma = _chroma(chroma, sample_rate, n_fft, hop_length, tuning)
        elif (n_fft, hop_length, tuning) != (2048, None, None):
            raise ValueError(
                f"n_fft={n_fft!r}, hop_length={hop_length!r}, tuning={tuning!r} must be left out with chroma=...: it "
                "brings its own; set them there"
            )
        super().__init__(check_source("chroma", chroma, sample_rate))
        self.sample_rate = sample_rate
        self.n_fft, self.tuning = getattr(chroma, "n_fft", n_fft), getattr(chroma, "tuning", tuning)
        self.hop_length = getattr(chroma, "hop_length", hop_length)
        # a chroma of our own says how many classes it has; another is asked at its first features
        self.define("basis", functools.partial(tonnetz_basis, int(getattr(chroma, "n_chroma", 12))))

    @property
    def chroma(self) -> Transform:
        """Chroma transform that a tonnetz module projects."""
        return self.source

    def derive(self, features: torch.Tensor, frames: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        basis = self.filter_like("basis", features)
        if features.shape[-2] != basis.shape[1]:
            raise ValueError(
                f"chroma has {features.shape[-2]} rows, and must have {basis.shape[1]}; a transform with another "
                "number of pitch classes must say so in its attribute n_chroma"
            )
        return matmul(basis, normalized(features, 1.0, -2))


def _chroma(name: str, sample_rate: float, n_fft: int, hop_length: int | None, tuning: float | None) -> Transform:
    if name == "stft":
        return Chroma(sample_rate=sample_rate, n_fft=n_fft, hop_length=hop_length, tuning=tuning)
    if name != "cqt":
        raise ValueError(f"chroma={name!r} must be 'stft', 'cqt', or a transform that makes chroma")
    if n_fft != 2048:
        raise ValueError(f"n_fft={n_fft!r} must be left out with chroma='cqt', which has no frames of its own")
    return ChromaCQT(sample_rate=sample_rate, hop_length=512 if hop_length is None else hop_length, tuning=tuning)
