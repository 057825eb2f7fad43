"""The settings of constant-Q transforms: wavelets, variable bandwidths, kernels."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypedDict

import numpy as np

from audiofeed.arguments.checks import (
    check_choice,
    check_count,
    check_not_negative,
    check_pad_mode,
    check_positive,
    check_power_or_complex,
    check_rate,
)
from audiofeed.arguments.librosa_versions import NEWEST, check_compat
from audiofeed.arguments.setting_groups import argument, arguments_of, settle
from audiofeed.methods.constant_q.constant_q_methods import CONSTANT_Q, Layout
from audiofeed.plans.constant_q.levels import Level
from audiofeed.signal.constant_q.wavelets import C1, INTERVALS, NORMALIZATIONS, WaveletBank
from audiofeed.signal.windows import get_window


class WaveletOptions(TypedDict, total=False):
    """Keyword arguments of the wavelets in the settings of a constant-Q transform."""

    hop_length: int
    f_min: float | None
    n_bins: int | None
    bins_per_octave: int
    filter_scale: float
    norm: float | None
    window: str | float | tuple
    sparsity: float
    scale: bool


class OctaveOptions(TypedDict, total=False):
    """Keyword arguments of octaves at falling rates in the settings of a constant-Q transform."""

    compat: str


class AnalysisOptions(WaveletOptions, total=False):
    """Keyword arguments of the analysis by wavelets in the settings of a constant-Q transform."""

    tuning: float | None
    pad_mode: str


class SpectrumOptions(AnalysisOptions, total=False):
    """Keyword arguments of magnitudes of one spectrum in the settings of a constant-Q transform."""

    power: float


class MagnitudeOptions(SpectrumOptions, OctaveOptions, total=False):
    """Keyword arguments of magnitudes in the settings of a constant-Q transform."""


class SpacingOptions(TypedDict, total=False):
    """Keyword arguments of variable bandwidths and intervals in the settings of a variable-Q transform."""

    gamma: float | None
    intervals: str | Sequence[float]


class MethodOptions(TypedDict, total=False):
    """Keyword arguments of kernels that are not trained, in the settings of a constant-Q transform."""

    method: str
    normalization: str


class CQTOptions(AnalysisOptions, OctaveOptions, MethodOptions, total=False):
    """Keyword arguments of all the settings of a constant-Q transform."""

    power: float | None
    trainable: bool


class VQTOptions(CQTOptions, SpacingOptions, total=False):
    """Keyword arguments of all the settings of a variable-Q transform."""


@dataclass(frozen=True, kw_only=True)
class ConstantQ:
    """Settings of a constant-Q transform: wavelets of constant relative bandwidth, and their frames."""

    sample_rate: float
    hop_length: int = argument(
        512,
        "samples from frame to frame, odd or even. Each octave needs a factor 2 of it: where they run out, the lower "
        "octaves are computed at the last rate, with longer kernels.",
    )
    f_min: float = argument(None, "Hz, of the lowest bin; None: C1, 32.7 Hz.")
    n_bins: int = argument(84, "number of bins; None: as many as stay below half the sample rate.")
    bins_per_octave: int = argument(12, "bins in an octave, 1 or more.")
    gamma: float | None = 0.0
    intervals: str | Sequence[float] = "equal"
    tuning: float | None = argument(
        0.0,
        "deviation of all frequencies, in fractions of a bin; None: estimated for each clip, as "
        "`librosa.estimate_tuning` does for that clip alone, all its channels together. The transform then waits for "
        "the values on the host, and keeps kernels for the last 16 tunings.",
    )
    filter_scale: float = argument(
        1.0, "factor of the wavelets' lengths, > 0; below 1 improves the resolution in time, above 1 in frequency."
    )
    norm: float | None = argument(
        1.0,
        "p-norm of each wavelet: a number > 0, 0 (how many samples are not 0), `math.inf`, `-math.inf`, or None.",
    )
    window: str | float | tuple = argument(
        "hann", "of the wavelets: a name, a (name, parameter) tuple, or a Kaiser beta."
    )
    pad_mode: str = argument(
        "constant",
        '"constant" (zeros), "reflect", "replicate" or "circular": what stands past a clip\'s ends, at every rate.',
    )
    sparsity: float = argument(
        0.01,
        "share of the sum of magnitudes of each wavelet's spectrum that is dropped, smallest bins first, in [0, 1).",
    )
    scale: bool = argument(True, "each bin is divided by the square root of its wavelet's length.")
    power: float | None = argument(1.0, "exponent of the magnitude, > 0; None: complex values.")
    compat: str = argument(
        NEWEST,
        '"librosa-1.0" or "librosa-0.11", with whose values those of method="octaves" agree. librosa 1.0 computes an '
        "octave at half the rate only if its highest bin is at or below a fifth of the rate before, 0.11 at every even "
        "hop, where the filter in between weakens the bins just below half the lower rate, and others fold onto them. "
        "The two are one up to 97 bins at 22.05 kHz and 109 at 44.1 kHz, of 12 in an octave from C1.",
    )

    def __post_init__(self) -> None:
        check_rate(self.sample_rate, "the bins lie in Hz")
        intervals = self.intervals if isinstance(self.intervals, str) else _check_ratios(self.intervals)
        if isinstance(intervals, str) and intervals not in INTERVALS:
            raise ValueError(f"intervals={intervals!r} must be one of {INTERVALS}, or ratios in [1, 2)")
        settle(
            self,
            hop_length=check_count("hop_length", self.hop_length),
            f_min=check_positive("f_min", C1 if self.f_min is None else self.f_min, "a positive number of Hz"),
            intervals=intervals,
            bins_per_octave=check_bins("bins_per_octave", self.bins_per_octave),
            gamma=None if self.gamma is None else check_not_negative("gamma", self.gamma, "or None for the ear's"),
            filter_scale=check_positive("filter_scale", self.filter_scale, "a number > 0"),
            power=check_power_or_complex(self.power),
        )
        if not isinstance(intervals, str):
            settle(self, bins_per_octave=len(intervals))
        check_compat(self.compat)
        self._check_wavelets()
        settle(self, n_bins=self._check_room())

    def _check_wavelets(self) -> None:
        if self.tuning is not None and not math.isfinite(self.tuning):
            raise ValueError(f"tuning={self.tuning!r} must be a finite number of bins, or None to estimate it")
        norm = self.norm
        if norm is not None and (isinstance(norm, str) or not (norm >= 0 or norm == -math.inf)):
            raise ValueError(f"norm={norm!r} must be a number >= 0, math.inf, -math.inf, or None")
        if not isinstance(self.window, str | float | int | tuple):
            raise ValueError(
                f"window={self.window!r} must be a name, a (name, parameter) tuple or a Kaiser beta: each wavelet has "
                "a window of its own length"
            )
        get_window(self.window, 16)
        check_pad_mode(self.pad_mode)
        if not 0.0 <= self.sparsity < 1.0:
            raise ValueError(f"sparsity={self.sparsity!r} must lie in [0, 1); use 0.0 to keep all of each wavelet")
        if not isinstance(self.scale, bool):
            raise ValueError(f"scale={self.scale!r} must be True or False")

    def _check_room(self) -> int:
        """Check the number of bins in the settings of a constant-Q transform. All must stay below half the rate."""
        if self.n_bins is None:
            return self._most_bins()
        count = check_bins("n_bins", self.n_bins)
        reached = self.bank_of(count, self.highest_tuning).cutoff
        if reached > self.sample_rate / 2:
            raise ValueError(
                f"n_bins={count} bins from f_min={self.f_min:g} Hz reach {reached:.6g} Hz with the bandwidth of the "
                f"highest, and must stay below half of sample_rate={self.sample_rate}; use at most "
                f"{self._most_bins()} bins (n_bins=None takes that many), or a lower f_min"
            )
        return count

    def _most_bins(self) -> int:
        """Return the most bins below half the rate by constant-Q settings, at any tuning if that is to be estimated."""
        half = self.sample_rate / 2
        most = math.ceil(self.bins_per_octave * max(0.0, math.log2(half / self.f_min)) + self.bins_per_octave)
        while most > 0 and self.bank_of(most, self.highest_tuning).cutoff > half:
            most -= 1
        if most == 0:
            raise self.no_room(self.f_min)
        return most

    def no_room(self, f_min: float) -> ValueError:
        """Return the error for settings of a constant-Q transform whose lowest frequency is too high."""
        return ValueError(
            f"f_min={f_min:g} Hz must leave a bin below half of sample_rate={self.sample_rate}; use a lower f_min"
        )

    @property
    def highest_tuning(self) -> float:
        """Highest tuning that constant-Q settings may meet; whatever is found, all bins stay below half the rate."""
        return 0.5 if self.tuning is None else self.tuning

    @cached_property
    def bank(self) -> WaveletBank:
        """Wavelets of the settings of a constant-Q transform; with `tuning=None` those of a clip in tune."""
        return self.bank_of(self.n_bins, 0.0 if self.tuning is None else self.tuning)

    def bank_of(self, n_bins: int, tuning: float) -> WaveletBank:
        """Return `n_bins` wavelets of a given tuning, by the settings of a constant-Q transform."""
        return WaveletBank(
            sample_rate=float(self.sample_rate),
            f_min=self.f_min * 2.0 ** (tuning / self.bins_per_octave),
            n_bins=n_bins,
            bins_per_octave=self.bins_per_octave,
            intervals=self.intervals if isinstance(self.intervals, str) else tuple(self.intervals),
            gamma=self.gamma,
            filter_scale=self.filter_scale,
            norm=self.norm,
            window=self.window,
            guarded=self.compat == NEWEST,
        )


@dataclass(frozen=True, kw_only=True)
class VariableQ(ConstantQ):
    """Settings of a variable-Q transform: wavelets whose bandwidths and intervals may differ from constant Q."""

    gamma: float | None = argument(
        None,
        "Hz added to the bandwidth of each bin, >= 0; None: as much as makes it a constant part of the ear's (ERB).",
    )
    intervals: str | Sequence[float] = argument(
        "equal",
        '"equal", "pythagorean", "ji3", "ji5" or "ji7" (just intonation with primes up to 3, 5 or 7), or the ratios of '
        "an octave's frequencies to its lowest, in [1, 2); with ratios, their number counts as `bins_per_octave`.",
    )


@dataclass(frozen=True, kw_only=True)
class Kernels:
    """Settings of a constant-Q transform's kernels: their method and normalization, and if they are trained."""

    wavelets: ConstantQ
    method: str = argument(
        "auto",
        '"octaves" (librosa\'s recursion, at a lower rate for each octave), "conv" (every wavelet at the full rate) or '
        '"exact" (the values of "conv" to 1e-5, at lower rates where these hold a wavelet whole); "auto" is "octaves". '
        "See `CQT` for how the results differ.",
    )
    trainable: bool = argument(
        False,
        "the kernels are a parameter (`kernels`, those of all bins one after another), with either method; needs a "
        "number as tuning.",
    )
    normalization: str = argument(
        "librosa",
        '"librosa" (as `scale` says), or as nnAudio has it "convolutional" (wavelets of the given norm as they are) or '
        '"wrap" (twice that: a sine has its amplitude).',
    )
    # why this method
    reason: str = field(init=False)

    def __post_init__(self) -> None:
        check_choice("normalization", self.normalization, NORMALIZATIONS)
        if self.normalization != "librosa" and not self.wavelets.scale:
            raise ValueError(
                f"scale=False cannot be used with normalization={self.normalization!r}, which has a scale of its own; "
                "use normalization='librosa'"
            )
        choice = CONSTANT_Q.choose(self.method)
        if self.trainable and self.wavelets.tuning is None:
            raise ValueError(
                "trainable=True needs a number as tuning: with tuning=None each clip has kernels of its own; use "
                "tuning=0.0"
            )
        settle(self, method=choice.method, reason=choice.reason)

    @property
    def layout(self) -> Layout:
        """Layout of the kernels by the method in the settings of a constant-Q transform."""
        return CONSTANT_Q.methods[self.method].run

    def plan(self) -> tuple[tuple[Level, ...], Callable[[], np.ndarray]]:
        """Return the rates of constant-Q kernels by their settings, and a function that computes them in float64."""
        wavelets, bank = self.wavelets, self.wavelets.bank
        levels = self.layout.levels(bank, wavelets.hop_length)
        gains = bank.gains(self.normalization, scale=wavelets.scale)
        return levels, functools.partial(self.layout.kernels, bank, levels, gains, wavelets.sparsity)


def options_of(*groups: Any, cls: type | None = None) -> dict[str, Any]:
    """Return the keyword arguments of a constant-Q transform with these settings; of a class, those that it takes.

    >>> sorted(options_of(Kernels(wavelets=ConstantQ(sample_rate=16000), method="conv")))
    ['method', 'normalization', 'trainable']
    """
    found = {field.name: getattr(group, field.name) for group in groups for field in arguments_of(type(group))}
    taken = found if cls is None else inspect.signature(cls).parameters
    return {name: value for name, value in found.items() if name in taken}


def check_bins(name: str, count: object) -> int:
    """Check a number of bins in the settings of a constant-Q transform; a ValueError names it.

    >>> check_bins("n_bins", 84)
    84
    """
    return check_count(name, count, "an integer number of bins, 1 or more")


def _check_ratios(ratios: Sequence[float]) -> tuple[float, ...]:
    checked = tuple(float(ratio) for ratio in ratios)
    if not checked or not all(1.0 <= ratio < 2.0 for ratio in checked) or len(set(checked)) < len(checked):
        raise ValueError(f"intervals={ratios!r} must be a name, or different ratios in [1, 2)")
    return checked
