"""The settings of chroma from constant-Q transforms: octaves of bins, and how bins become classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, TypedDict

import numpy as np

from audiofeed.arguments.checks import check_count, check_norm, check_positive
from audiofeed.arguments.librosa_versions import NEWEST
from audiofeed.arguments.setting_groups import argument, pick, settle
from audiofeed.signal.constant_q.wavelets import C1
from audiofeed.signal.harmony.chroma_cqt import cq_to_chroma
from audiofeed.transforms.constant_q.settings import ConstantQ, VariableQ, check_bins


class OctaveOptions(TypedDict, total=False):
    """Keyword arguments of octaves of bins in the settings of constant-Q chroma."""

    hop_length: int
    f_min: float | None
    n_octaves: int
    compat: str


class PitchClassOptions(OctaveOptions, total=False):
    """Keyword arguments of pitch classes in the settings of constant-Q chroma."""

    bins_per_octave: int | None
    tuning: float | None
    n_chroma: int
    window: Sequence[float] | np.ndarray | None
    hybrid: bool


class FoldingOptions(TypedDict, total=False):
    """Keyword arguments of folding bins into classes in the settings of constant-Q chroma."""

    norm: float | None
    threshold: float | None
    trainable_chroma: bool


class ChromaCQTOptions(PitchClassOptions, FoldingOptions, total=False):
    """Keyword arguments of all the settings of chroma of a constant-Q transform."""


class ChromaVQTOptions(OctaveOptions, FoldingOptions, total=False):
    """Keyword arguments of all the settings of chroma of a variable-Q transform."""

    bins_per_octave: int
    gamma: float | None


@dataclass(frozen=True, kw_only=True)
class Octaves:
    """Settings of chroma: octaves of constant-Q bins below half the rate, and the classes that they make."""

    # the settings of the transform that has these bins
    family: ClassVar[type[ConstantQ]]
    sample_rate: float
    hop_length: int = argument(512, "samples from frame to frame, 1 or more.")
    f_min: float = argument(None, "Hz, of the lowest bin; None: C1, 32.7 Hz.")
    n_octaves: int = argument(7, "octaves from there on, 1 or more.")
    compat: str = argument(
        NEWEST,
        '"librosa-1.0" or "librosa-0.11", with whose values these agree; see `CQT`. The two are one unless the octave '
        "below the highest reaches above a fifth of the sample rate.",
    )
    bins_per_octave: int = 12
    n_chroma: int = 12
    window: Sequence[float] | np.ndarray | None = None
    wavelets: ConstantQ = field(init=False, repr=False)

    def __post_init__(self) -> None:
        lowest = check_positive("f_min", C1 if self.f_min is None else self.f_min, "a positive number of Hz")
        octaves = check_count("n_octaves", self.n_octaves, "an integer number of octaves, 1 or more")
        settle(self, f_min=lowest, n_octaves=octaves)
        # what both have; but this window is of the classes, not of the wavelets
        probe = pick(self.family, vars(self), sample_rate=self.sample_rate, n_bins=1, window="hann")
        bins = self.bins_per_octave
        cutoffs = [probe.bank_of(n * bins, probe.highest_tuning).cutoff for n in range(1, octaves + 1)]
        most = sum(cutoff <= self.sample_rate / 2 for cutoff in cutoffs)
        if most < octaves:
            remedy = f"use at most {most} octaves, or a lower f_min" if most else "use a lower f_min"
            raise ValueError(
                f"n_octaves={octaves} from f_min={lowest:g} Hz reach {cutoffs[-1]:.6g} Hz with the bandwidth of the "
                f"highest bin, and must stay below half of sample_rate={self.sample_rate}; {remedy}"
            )
        settle(self, wavelets=replace(probe, n_bins=octaves * bins))

    def filters(self) -> np.ndarray:
        """Return filters from bins to classes by chroma settings.  Shape: (n_chroma, n_octaves * bins_per_octave)."""
        return cq_to_chroma(
            self.wavelets.n_bins,
            bins_per_octave=self.bins_per_octave,
            n_chroma=self.n_chroma,
            f_min=self.f_min,
            window=None if self.window is None else np.asarray(self.window),
        )


@dataclass(frozen=True, kw_only=True)
class PitchClasses(Octaves):
    """Settings of CQT chroma: octaves in equal steps, of which neighboring bins make a pitch class."""

    family = ConstantQ
    bins_per_octave: int = argument(
        36, "bins of the constant-Q transform in an octave, a multiple of `n_chroma`; None: `n_chroma`."
    )
    tuning: float | None = argument(
        None, "of all frequencies, in fractions of a bin; None: estimated for each clip, as in `CQT`."
    )
    n_chroma: int = argument(12, "pitch classes in an octave, 1 or more; class 0 is C.")
    window: Sequence[float] | np.ndarray | None = argument(
        None, "numbers that each class is convolved with along the bins; None: a class takes its own bins only."
    )
    hybrid: bool = argument(False, 'True: from a `HybridCQT`, librosa\'s cqt_mode="hybrid".')

    def __post_init__(self) -> None:
        classes = check_count("n_chroma", self.n_chroma, "an integer number of pitch classes, 1 or more")
        bins = _check_merge(self.bins_per_octave, classes)
        settle(self, n_chroma=classes, bins_per_octave=bins, window=_check_window(self.window))
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class Notes(Octaves):
    """Settings of VQT chroma: octaves of a scale, of which each bin is a class of its own."""

    family = VariableQ
    intervals: str | Sequence[float]
    bins_per_octave: int = argument(
        12, "bins and classes in an octave, 1 or more; with ratios as `intervals`, their number."
    )
    gamma: float | None = argument(
        0.0, "Hz added to the bandwidth of each bin, >= 0; None: as much as makes it a constant part of the ear's."
    )

    def __post_init__(self) -> None:
        intervals = self.intervals if isinstance(self.intervals, str) else tuple(self.intervals)
        bins = check_bins("bins_per_octave", self.bins_per_octave)
        bins = bins if isinstance(intervals, str) else check_bins("intervals", len(intervals))
        settle(self, intervals=intervals, bins_per_octave=bins, n_chroma=bins)
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class Folding:
    """Settings of folding the bins of all octaves into chroma classes."""

    norm: float | None = argument(
        math.inf,
        "p-norm of each frame, > 0 (`math.inf`: maximum 1); None: as it is. A silent clip stays 0; silence beside a "
        "sound holds what rounding leaves of that, 1e-7, which is scaled up, as in librosa, unless below `threshold`.",
    )
    threshold: float | None = argument(0.0, "classes below it are set to 0 before they are normalized; None: none is.")
    trainable_chroma: bool = argument(
        False, "the filters are a parameter (`chroma`, of shape (n_chroma, n_octaves * bins_per_octave))."
    )

    def __post_init__(self) -> None:
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise ValueError(f"threshold={self.threshold!r} must be a finite number, or None")
        settle(self, norm=check_norm(self.norm))


def _check_merge(bins_per_octave: int | None, n_chroma: int) -> int:
    """Check the bins in an octave in the settings of chroma, of which each class takes the same number."""
    if bins_per_octave is None:
        return n_chroma
    bins = check_count("bins_per_octave", bins_per_octave, "an integer number of bins, 1 or more, or None")
    if bins % n_chroma:
        near = max(1, round(bins / n_chroma)) * n_chroma
        raise ValueError(f"bins_per_octave={bins} must be a multiple of n_chroma={n_chroma}; use {near}")
    return bins


def _check_window(window: Sequence[float] | np.ndarray | None) -> tuple[float, ...] | None:
    """Check the numbers to convolve chroma classes with, in the settings of constant-Q chroma, or None."""
    if window is None:
        return None
    samples = np.asarray(window, dtype=np.float64) if not isinstance(window, str) else np.empty((0, 0))
    if samples.ndim != 1 or not samples.size or not np.isfinite(samples).all():
        raise ValueError(f"window={window!r} must be a sequence of finite numbers, such as (0.5, 1.0, 0.5), or None")
    return tuple(samples.tolist())
