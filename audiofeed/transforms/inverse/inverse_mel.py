"""From a mel spectrogram back to the bins of a spectrum."""

from __future__ import annotations

import functools

import numpy as np
import torch

from audiofeed.methods.inverse.nnls import nnls
from audiofeed.methods.precision import matmul
from audiofeed.signal.auditory.filterbanks import mel_filterbank
from audiofeed.signal.inverse.synthesis import overlapping_pairs
from audiofeed.signal.scales import MEL_SCALES, fft_frequencies
from audiofeed.transforms.contract.checks import check_count, check_rate, check_span
from audiofeed.transforms.contract.feature_transform import FeatureTransform

# How many values of spectra are computed at once, in float64: few enough to stay near the cache of a CPU.
BLOCK = 2**20


def _ratios(**settings: object) -> np.ndarray:
    return overlapping_pairs(mel_filterbank(**settings))[0]  # type: ignore[arg-type]


def _sums(**settings: object) -> np.ndarray:
    return overlapping_pairs(mel_filterbank(**settings))[1]  # type: ignore[arg-type]


def _pseudoinverse(**settings: object) -> np.ndarray:
    return np.linalg.pinv(mel_filterbank(**settings))  # type: ignore[arg-type]


class InverseMel(FeatureTransform):
    """The spectrum >= 0 whose mel spectrogram lies nearest to a given one: non-negative least squares.

    Of all spectra that are equally near it is the smallest (in the sum of squares), so that it is one result, whatever
    the machine, and not that of a search that stops somewhere. It undoes the filters alone: the mels of powers give
    powers, which `GriffinLim(power=2.0)` takes, the mels of magnitudes give magnitudes.

    With `solver="lstsq"` it is the smallest least-squares spectrum of either sign, and 0 where that is negative: one
    matrix product, and not as near.

    Args:
        sample_rate: Hz.
        n_fft: samples of a frame of the spectrum.
        n_mels: number of filters, the bins of the input.
        f_min, f_max: the span of the filters in Hz; `f_max=None` is sample_rate / 2, which it may not exceed.
        mel_scale: "slaney" or "htk".
        norm: "slaney" (area 1), None (peak 1), or a number p > 0 (p-norm 1).
        solver: "nnls" (the nearest spectrum that is not negative) or "lstsq" (torchaudio's).

    Returns:
        (..., n_fft // 2 + 1, frames), from mel (..., n_mels, frames), lengths (batch,) in frames.


    "nnls" is computed in float64, and there is a gradient. Differs from librosa.feature.inverse.mel_to_stft, which
    searches by L-BFGS-B and takes the root; from torchaudio's InverseMelScale, which is our "lstsq".

    >>> InverseMel(sample_rate=16000, n_fft=512, n_mels=40)(torch.ones(2, 40, 9)).shape
    torch.Size([2, 257, 9])
    """

    hint = "give the mel spectrogram of powers or magnitudes, not decibels"

    def __init__(
        self,
        *,
        sample_rate: float,
        n_fft: int = 2048,
        n_mels: int = 128,
        f_min: float = 0.0,
        f_max: float | None = None,
        mel_scale: str = "slaney",
        norm: str | float | None = "slaney",
        solver: str = "nnls",
    ) -> None:
        super().__init__()
        self.sample_rate = check_rate(sample_rate, "the filters lie in Hz")
        self.n_fft = check_count("n_fft", n_fft)
        self.n_mels = check_count("n_mels", n_mels, "an integer number of filters, 1 or more")
        self.f_min, self.f_max = check_span(f_min, f_max, sample_rate)
        if mel_scale not in MEL_SCALES:
            raise ValueError(f"mel_scale={mel_scale!r} must be 'slaney' or 'htk'")
        if solver not in ("nnls", "lstsq"):
            raise ValueError(f"solver={solver!r} must be 'nnls' or 'lstsq'")
        self.mel_scale, self.norm, self.solver = mel_scale, norm, solver
        settings = {
            "sample_rate": float(sample_rate),
            "n_fft": self.n_fft,
            "n_mels": self.n_mels,
            "f_min": self.f_min,
            "f_max": self.f_max,
            "mel_scale": mel_scale,
            "norm": norm,
        }
        definition = functools.partial(mel_filterbank, **settings)  # type: ignore[arg-type]
        if not definition().any():
            raise ValueError(
                f"n_fft={n_fft} must be long enough that a filter holds a bin; all n_mels={n_mels} between "
                f"{self.f_min:g} and {self.f_max:g} Hz are empty"
            )
        if solver == "lstsq":
            self.define("pseudoinverse", functools.partial(_pseudoinverse, **settings))
            return
        self.define("mel", definition)
        self.define("ratios", functools.partial(_ratios, **settings))
        self.define("sums", functools.partial(_sums, **settings))

    @property
    def frequencies(self) -> torch.Tensor:
        """The center of each bin of the result in Hz, float64.  Shape: (bins,)."""
        return torch.from_numpy(fft_frequencies(self.sample_rate, self.n_fft))

    def compute(self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        clips, rows, mels, frames = features.shape
        if mels != self.n_mels:
            raise ValueError(
                f"features has shape (..., {mels}, {frames}), and must have n_mels={self.n_mels} bins; "
                "the second last dimension is the mels"
            )
        if self.solver == "lstsq":
            frames_last = features.transpose(-1, -2)  # (clip, row, frame, mel)
            spectra = matmul(frames_last.reshape(-1, mels), self.filter_like("pseudoinverse", features).t())
            return spectra.clamp(min=0).view(clips, rows, frames, -1).transpose(-1, -2)
        exact = features.permute(2, 0, 1, 3).reshape(mels, -1).double()  # (mel, frame of any clip)
        tables = [self.filter_like(name, exact) for name in ("mel", "ratios", "sums")]
        bins = tables[0].shape[1]
        size = exact.shape[1] if graph else max(1, BLOCK // bins)
        pieces = [nnls(piece, *tables).to(features.dtype) for piece in exact.split(size, dim=1)]
        return torch.cat(pieces, dim=1).view(bins, clips, rows, frames).permute(1, 2, 0, 3)

    def extra_repr(self) -> str:
        """The settings of the filters."""
        return (
            f"sample_rate={self.sample_rate}, n_fft={self.n_fft}, n_mels={self.n_mels}, f_min={self.f_min:g}, "
            f"f_max={self.f_max:g}, mel_scale={self.mel_scale!r}, norm={self.norm!r}, solver={self.solver!r}"
        )
