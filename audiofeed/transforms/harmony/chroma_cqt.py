"""Chroma of constant-Q and variable-Q transforms."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from audiofeed.arguments.checks import check_count, check_positive
from audiofeed.methods.norms import normalized
from audiofeed.methods.precision import matmul
from audiofeed.signal.constant_q.wavelets import C1
from audiofeed.signal.harmony.chroma import cq_to_chroma
from audiofeed.transforms.constant_q.cqt import CQT, VQT
from audiofeed.transforms.constant_q.hybrid_cqt import HybridCQT
from audiofeed.transforms.constant_q.wavelet_transform import WaveletTransform
from audiofeed.transforms.contract.derived import Derived
from audiofeed.transforms.contract.transform import Transform
from audiofeed.transforms.harmony.chroma import check_norm


class ConstantQChroma(Derived):
    """Classes of the bins of a constant-Q `source`; a subclass names its arguments in `ARGUMENTS` and keeps each."""

    ARGUMENTS: tuple[str, ...] = ()

    def __init__(
        self,
        source: Transform,
        *,
        f_min: float,
        n_octaves: int,
        bins_per_octave: int,
        n_chroma: int,
        window: tuple[float, ...] | None,
        norm: float | None,
        threshold: float | None,
        trainable_chroma: bool,
    ) -> None:
        super().__init__(source)
        if threshold is not None and not math.isfinite(threshold):
            raise ValueError(f"threshold={threshold!r} must be a finite number, or None")
        self.f_min, self.n_octaves, self.bins_per_octave, self.n_chroma = f_min, n_octaves, bins_per_octave, n_chroma
        self.window, self.norm, self.threshold = window, check_norm(norm), threshold
        self.trainable_chroma = trainable_chroma
        definition = functools.partial(
            cq_to_chroma,
            n_octaves * bins_per_octave,
            bins_per_octave=bins_per_octave,
            n_chroma=n_chroma,
            f_min=f_min,
            window=None if window is None else np.asarray(window),
        )
        self.define("chroma", definition, trainable=trainable_chroma)

    @property
    def hop_length(self) -> int:
        """Samples from frame to frame."""
        return self._constant_q.hop_length

    @property
    def tuning(self) -> float | None:
        """Of all frequencies, in fractions of a bin; None: estimated for each clip."""
        return self._constant_q.tuning

    @property
    def _constant_q(self) -> WaveletTransform:
        source: Any = self.source
        return source

    def _derive(self, features: torch.Tensor, frames: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        rows, bins, n = features.shape
        flat = features.transpose(1, 2).reshape(-1, bins)  # (row and frame, bin)
        classes = matmul(flat, self.filter_like("chroma", features).t())
        if self.threshold is not None:
            classes = classes.masked_fill(classes < self.threshold, 0.0)
        return normalized(classes, self.norm, -1).view(rows, n, -1).transpose(1, 2)

    def extra_repr(self) -> str:
        """All settings."""
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self.ARGUMENTS)


class ChromaCQT(ConstantQChroma):
    """The strength of each pitch class in a constant-Q transform, equal to `librosa.feature.chroma_cqt`.

    Args:
        sample_rate: Hz.
        hop_length: samples from frame to frame.
        f_min: Hz, of the lowest bin; None: C1, 32.7 Hz.
        n_octaves: octaves from there on.
        bins_per_octave: bins of the constant-Q transform in an octave, a multiple of `n_chroma`; None: `n_chroma`.
        tuning: of all frequencies, in fractions of a bin; None: estimated for each clip, as in `CQT`.
        n_chroma: pitch classes in an octave; class 0 is C.
        window: numbers that each class is convolved with along the bins; None: a class takes its own bins only.
        norm: p-norm of each frame, > 0 (`math.inf`: maximum 1); None: as it is. A silent clip stays 0; silence beside a
            sound holds what rounding leaves of that, 1e-7, which is scaled up, as in librosa, unless below `threshold`.
        threshold: before that, classes below it are set to 0; None: none is.
        hybrid: True: of a `HybridCQT`, librosa's cqt_mode="hybrid".
        trainable: the kernels of the constant-Q transform are a parameter, as in `CQT`; not with `hybrid`.
        trainable_chroma: the filters are a parameter (`chroma`, of shape (n_chroma, n_octaves * bins_per_octave)).

    Shape:
        waveform (..., time), lengths (batch,) -> (..., n_chroma, frames).

    Raises:
        ValueError: for a setting outside its range, saying which.

    Differs from librosa: as `CQT` does (a batch given to librosa as one array has one tuning for all).

    >>> ChromaCQT(sample_rate=22050)(torch.zeros(2, 22050)).shape
    torch.Size([2, 12, 44])
    """

    ARGUMENTS = (
        "sample_rate",
        "hop_length",
        "f_min",
        "n_octaves",
        "bins_per_octave",
        "tuning",
        "n_chroma",
        "window",
        "norm",
        "threshold",
        "hybrid",
        "trainable",
        "trainable_chroma",
    )

    def __init__(
        self,
        *,
        sample_rate: float,
        hop_length: int = 512,
        f_min: float | None = None,
        n_octaves: int = 7,
        bins_per_octave: int | None = 36,
        tuning: float | None = None,
        n_chroma: int = 12,
        window: Sequence[float] | np.ndarray | None = None,
        norm: float | None = math.inf,
        threshold: float | None = 0.0,
        hybrid: bool = False,
        trainable: bool = False,
        trainable_chroma: bool = False,
    ) -> None:
        classes = check_count("n_chroma", n_chroma, "a whole number of pitch classes, 1 or more")
        bins = check_merge(bins_per_octave, classes)
        if hybrid and trainable:
            raise ValueError("trainable=True must not be with hybrid=True, whose kernels are fixed; use hybrid=False")
        frames: dict[str, Any] = {"sample_rate": sample_rate, "hop_length": hop_length, "tuning": tuning}
        lowest, octaves = check_octaves(f_min, n_octaves, bins, **frames)
        settings = {**frames, "f_min": lowest, "n_bins": octaves * bins, "bins_per_octave": bins}
        super().__init__(
            HybridCQT(**settings) if hybrid else CQT(**settings, trainable=trainable),
            f_min=lowest,
            n_octaves=octaves,
            bins_per_octave=bins,
            n_chroma=classes,
            window=check_window(window),
            norm=norm,
            threshold=threshold,
            trainable_chroma=trainable_chroma,
        )
        self.hybrid, self.trainable = hybrid, trainable


class ChromaVQT(ConstantQChroma):
    """The strength of each note of a scale in a variable-Q transform, equal to `librosa.feature.chroma_vqt`.

    Each bin of an octave is a class of its own.

    Args:
        sample_rate: Hz.
        intervals: "equal", "pythagorean", "ji3", "ji5", "ji7", or the ratios of an octave's notes, as in `VQT`.
        hop_length: samples from frame to frame.
        f_min: Hz, of the lowest bin; None: C1, 32.7 Hz.
        n_octaves: octaves from there on.
        bins_per_octave: bins and classes in an octave; with ratios as `intervals`, their number.
        gamma: Hz added to the bandwidth of each bin, >= 0; None: after the ear's, as in `VQT`.
        norm, threshold, trainable, trainable_chroma: as in `ChromaCQT`.

    Shape:
        waveform (..., time), lengths (batch,) -> (..., bins_per_octave, frames).

    Raises:
        ValueError: for a setting outside its range, saying which.

    Differs from librosa as `VQT` does.

    >>> ChromaVQT(sample_rate=22050, intervals="ji5")(torch.zeros(2, 22050)).shape
    torch.Size([2, 12, 44])
    """

    ARGUMENTS = (
        "sample_rate",
        "intervals",
        "hop_length",
        "f_min",
        "n_octaves",
        "bins_per_octave",
        "gamma",
        "norm",
        "threshold",
        "trainable",
        "trainable_chroma",
    )

    def __init__(
        self,
        *,
        sample_rate: float,
        intervals: str | Sequence[float],
        hop_length: int = 512,
        f_min: float | None = None,
        n_octaves: int = 7,
        bins_per_octave: int = 12,
        gamma: float | None = 0.0,
        norm: float | None = math.inf,
        threshold: float | None = 0.0,
        trainable: bool = False,
        trainable_chroma: bool = False,
    ) -> None:
        if not isinstance(intervals, str):
            intervals = tuple(intervals)
            bins_per_octave = len(intervals)
        bins = check_count("bins_per_octave", bins_per_octave, "a whole number of bins, 1 or more")
        scale: dict[str, Any] = {
            "sample_rate": sample_rate,
            "hop_length": hop_length,
            "gamma": gamma,
            "intervals": intervals,
        }
        lowest, octaves = check_octaves(f_min, n_octaves, bins, **scale)
        super().__init__(
            VQT(**scale, f_min=lowest, n_bins=octaves * bins, bins_per_octave=bins, trainable=trainable),
            f_min=lowest,
            n_octaves=octaves,
            bins_per_octave=bins,
            n_chroma=bins,
            window=None,
            norm=norm,
            threshold=threshold,
            trainable_chroma=trainable_chroma,
        )
        self.intervals, self.gamma, self.trainable = intervals, gamma, trainable


def check_merge(bins_per_octave: int | None, n_chroma: int) -> int:
    """Bins in an octave, of which each class takes a whole number.

    >>> check_merge(None, 12), check_merge(36, 12)
    (12, 36)
    """
    if bins_per_octave is None:
        return n_chroma
    bins = check_count("bins_per_octave", bins_per_octave, "a whole number of bins, 1 or more, or None")
    if bins % n_chroma:
        near = max(1, round(bins / n_chroma)) * n_chroma
        raise ValueError(f"bins_per_octave={bins} must be a multiple of n_chroma={n_chroma}; use {near}")
    return bins


def check_octaves(
    f_min: float | None,
    n_octaves: int,
    bins_per_octave: int,
    *,
    sample_rate: float,
    hop_length: int,
    tuning: float | None = 0.0,
    gamma: float | None = 0.0,
    intervals: str | Sequence[float] = "equal",
) -> tuple[float, int]:
    """The lowest frequency and the octaves from there on, which must stay below half the rate.

    >>> check_octaves(None, 7, 12, sample_rate=22050, hop_length=512)[1]
    7
    """
    lowest = check_positive("f_min", C1 if f_min is None else f_min, "a positive number of Hz")
    octaves = check_count("n_octaves", n_octaves, "a whole number of octaves, 1 or more")
    probe = WaveletTransform(
        sample_rate=sample_rate,
        hop_length=hop_length,
        f_min=lowest,
        n_bins=1,
        bins_per_octave=bins_per_octave,
        tuning=tuning,
        gamma=gamma,
        intervals=intervals,
        filter_scale=1.0,
        norm=1.0,
        window="hann",
        pad_mode="constant",
        sparsity=0.0,
        scale=True,
        power=1.0,
    )
    # whatever tuning may be found, the highest bin must stay below half the rate
    highest = 0.5 if tuning is None else tuning
    cutoffs = [probe._bank(n * bins_per_octave, highest).cutoff for n in range(1, octaves + 1)]
    most = sum(cutoff <= sample_rate / 2 for cutoff in cutoffs)
    if most < octaves:
        remedy = f"use at most {most} octaves, or a lower f_min" if most else "use a lower f_min"
        raise ValueError(
            f"n_octaves={n_octaves} from f_min={lowest:g} Hz reach {cutoffs[-1]:.6g} Hz with the bandwidth of the "
            f"highest bin, and must stay below half of sample_rate={sample_rate}; {remedy}"
        )
    return lowest, octaves


def check_window(window: Sequence[float] | np.ndarray | None) -> tuple[float, ...] | None:
    """Numbers to convolve with, or None."""
    if window is None:
        return None
    samples = np.asarray(window, dtype=np.float64) if not isinstance(window, str) else np.empty((0, 0))
    if samples.ndim != 1 or not samples.size or not np.isfinite(samples).all():
        raise ValueError(f"window={window!r} must be a sequence of finite numbers, such as (0.5, 1.0, 0.5), or None")
    return tuple(samples.tolist())
