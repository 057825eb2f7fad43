"""The harmonic constant-Q transform: what stands at the harmonics of every bin, in one stack."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from typing_extensions import Unpack

from audiofeed.arguments.checks import check_choice, check_different
from audiofeed.arguments.setting_groups import argument, pick, settle
from audiofeed.arguments.signature import takes
from audiofeed.methods.constant_q.gathered_bins import gathered
from audiofeed.plans.constant_q.shared_bins import Places, SharedBins, bins_of_harmonics, harmonic_steps
from audiofeed.signal.constant_q.wavelets import WaveletBank
from audiofeed.transforms.constant_q.constant_q_transform import ConstantQTransform
from audiofeed.transforms.constant_q.kernel_bank import KernelBank
from audiofeed.transforms.constant_q.settings import ConstantQ, CQTOptions, Kernels, check_bins

ABOVE_NYQUIST = ("raise", "zeros")


class HarmonicCQTOptions(CQTOptions, total=False):
    """Keyword arguments of the harmonic CQT module."""

    harmonics: Sequence[float]
    above_nyquist: str
    exact: bool


@dataclass(frozen=True, kw_only=True)
class Harmonics(ConstantQ):
    """Settings of the harmonic CQT: constant-Q wavelets at several multiples of each bin's frequency."""

    harmonics: Sequence[float] = argument((0.5, 1, 2, 3, 4, 5), "multiples of each bin's frequency, > 0, none twice.")
    above_nyquist: str = argument(
        "raise",
        '"raise" (a ValueError, as librosa\'s) or "zeros": what is done about bins of a harmonic that reach above half '
        "the sample rate.",
    )
    exact: bool = argument(
        True,
        "False: each harmonic takes the nearest bins of one constant-Q transform, as Basic Pitch does. They lie up to "
        "half a bin, 600 / bins_per_octave cents, beside its own (`frequencies` says where): with 36 bins in an octave "
        "2 cents for harmonic 3, 14 for 5 and 2.2 for 7; with 12 bins 2, 14 and 31.",
    )

    def __post_init__(self) -> None:
        settle(self, harmonics=check_different("harmonics", self.harmonics, "(0.5, 1, 2, 3)"))
        check_choice("above_nyquist", self.above_nyquist, ABOVE_NYQUIST)
        if not isinstance(self.exact, bool):
            raise ValueError(f"exact={self.exact!r} must be True or False")
        super().__post_init__()

    @cached_property
    def steps(self) -> np.ndarray:
        """Number of bins from harmonic 1 to each harmonic in the settings of a harmonic CQT."""
        steps = harmonic_steps(self.harmonics, self.bins_per_octave)
        return steps if self.exact else np.round(steps)

    def harmonic(self, steps: float, tuning: float) -> WaveletBank:
        """Return the wavelet of one bin, `steps` above the lowest of harmonic 1, in the settings of a harmonic CQT."""
        bank = self.bank_of(1, tuning)
        return replace(bank, f_min=bank.f_min * 2.0 ** (steps / self.bins_per_octave))

    def fitting(self, steps: float, tuning: float) -> int:
        """Return the number of a harmonic CQT's bins from `steps` above harmonic 1 on that stay below half the rate."""
        # each bin reaches as far above its center, in octaves
        room = math.log2(self.sample_rate / 2 / self.harmonic(steps, tuning).cutoff)
        return max(0, math.floor(room * self.bins_per_octave + 1e-9) + 1)

    def _check_room(self) -> int:
        """Check each harmonic's number of bins in a harmonic CQT's settings: all below half the rate, or left out."""
        tuning, top = self.highest_tuning, float(self.steps.max())
        # were the lowest bin of all too high, all would be
        lowest = float(harmonic_steps([min(self.harmonics)], self.bins_per_octave)[0])
        if not self.fitting(lowest, tuning):
            raise self.no_room(self.f_min * min(self.harmonics))
        most = self.fitting(top, tuning)
        if self.n_bins is not None:
            count = check_bins("n_bins", self.n_bins)
            if count <= most or self.above_nyquist == "zeros":
                return count
        elif most:
            return most
        reached = self.harmonic(top, tuning).cutoff * 2.0 ** (((self.n_bins or 1) - 1) / self.bins_per_octave)
        remedy = f"use at most {most} bins (n_bins=None takes that many), " if most else "use "
        raise ValueError(
            f"harmonics={self.harmonics!r} with n_bins={self.n_bins} bins from f_min={self.f_min:g} Hz reach "
            f"{reached:.6g} Hz at harmonic {max(self.harmonics):g} with the bandwidth of its highest bin, and must "
            f"stay below half of sample_rate={self.sample_rate}; {remedy}a lower f_min, no harmonic as high, or "
            "above_nyquist='zeros'"
        )

    def shared(self, share: Callable[[Sequence[WaveletBank], int], SharedBins]) -> tuple[SharedBins, Places]:
        """Return the bins that a harmonic CQT computes, each once, and the places of its harmonics' bins among them."""
        tuning = 0.0 if self.tuning is None else self.tuning
        counts = [min(self.n_bins, self.fitting(step, tuning)) for step in self.steps.tolist()]
        banks = functools.partial(self.harmonic, tuning=tuning)
        return bins_of_harmonics(
            self.steps.tolist(), counts, self.n_bins, banks, share, self.hop_length, exact=self.exact
        )


class HarmonicCQT(ConstantQTransform):
    """Harmonic CQT as a module: bins at several multiples of each frequency, equal to a `librosa.cqt` for each.

    Element (h, k, f) is bin k of the constant-Q transform that begins at harmonics[h] * f_min, so that the partials of
    a tone lie on top of each other along the first axis: the input of pitch models since Bittner, McFee, Salamon, Li
    and Bello, "Deep salience representations for F0 estimation in polyphonic music" (2017).

    All harmonics are computed in one pass: the rates of the signal once, and once every bin that harmonics share. These
    are the harmonics an integer number of bins apart (1, 2 and 4; 3 and 6), as far as librosa computes them at the same
    rate; 3 and 5 lie between the bins of 1, and have bins of their own.

    Args:
        sample_rate: Hz.
        f_min: Hz, of the lowest bin of harmonic 1; None: C1, 32.7 Hz.
        n_bins: bins of each harmonic; None: as many as stay below half the sample rate in the highest harmonic.

    Returns:
        (..., harmonics, n_bins, frames), from a waveform (..., time) and lengths (batch,); complex for `power=None`.

    Raises:
        ValueError: for bins of a harmonic that reach above half the sample rate, with the number of bins that do not,
            unless `above_nyquist="zeros"`.

    Differs from a stack of `librosa.cqt`: as `CQT` does; all harmonics have the frames of the one with the fewest; a
    harmonic low enough for a lower rate before its highest octave gets there by steps that others share, where librosa
    takes one filter (3e-7 to 1e-6, see tests/transforms/constant_q/test_harmonic_cqt.py).

    >>> HarmonicCQT(sample_rate=22050, harmonics=(0.5, 1, 2, 3))(torch.zeros(2, 22050)).shape
    torch.Size([2, 4, 360, 44])
    """

    wavelets: Harmonics

    @takes(Harmonics, Kernels, n_bins=360, bins_per_octave=60)
    def __init__(self, *, sample_rate: float, **settings: Unpack[HarmonicCQTOptions]) -> None:
        wavelets = pick(Harmonics, settings, sample_rate=sample_rate)
        kernels = pick(Kernels, settings, wavelets=wavelets)
        super().__init__(wavelets, kernels)
        shared, self._places = wavelets.shared(kernels.layout.shared)
        definition = functools.partial(
            shared.kernels,
            kernels.layout.kernels,
            kernels.normalization,
            scale=wavelets.scale,
            sparsity=wavelets.sparsity,
        )
        self.kernel_bank = KernelBank(self, kernels, shared.levels, definition)

    @property
    def frequencies(self) -> torch.Tensor:
        """Center in Hz of each harmonic CQT bin, float64, (harmonics, n_bins); with `tuning=None` of a clip in tune."""
        lowest = self.bank.f_min * 2.0 ** (torch.from_numpy(self.wavelets.steps) / self.bins_per_octave)
        return torch.outer(lowest, 2.0 ** (torch.arange(self.n_bins, dtype=torch.float64) / self.bins_per_octave))

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        """Compute the bins of every harmonic of a harmonic CQT module, one harmonic after another."""
        return gathered(super().compute(waveform, lengths, graph=graph), self._places)

    def finish_rows(
        self,
        features: torch.Tensor,
        lengths: torch.Tensor | None,
        leading: list[int],
        *,
        graph: bool,
        finish_clips: Callable[..., torch.Tensor] | None = None,
    ) -> torch.Tensor:
        finished = super().finish_rows(features, lengths, leading, graph=graph, finish_clips=finish_clips)
        return finished.unflatten(1, (len(self.harmonics), -1))
