"""The harmonic constant-Q transform: what stands at the harmonics of every bin, in one stack."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from audiofeed.arguments.checks import check_count, check_positive, check_rate
from audiofeed.plans.constant_q.shared_bins import SharedBins, harmonic_steps, shared_dense, shared_octaves
from audiofeed.signal.constant_q.wavelets import C1, WaveletBank
from audiofeed.transforms.constant_q.cqt import CQT, KernelTransform
from audiofeed.transforms.constant_q.wavelet_transform import WaveletTransform

ABOVE_NYQUIST = ("raise", "zeros")


class HarmonicCQT(KernelTransform):
    """The constant-Q transform at several multiples of each bin's frequency, equal to a `librosa.cqt` for each.

    Element (h, k, f) is bin k of the constant-Q transform that begins at harmonics[h] * f_min, so that the partials of
    a tone lie on top of each other along the first axis: the input of pitch models since Bittner, McFee, Salamon, Li
    and Bello, "Deep salience representations for F0 estimation in polyphonic music" (2017).

    All harmonics are computed in one pass: the rates of the signal once, and once every bin that harmonics share. These
    are the harmonics a whole number of bins apart (1, 2 and 4; 3 and 6), as far as librosa computes them at the same
    rate; 3 and 5 lie between the bins of 1, and have bins of their own.

    Args:
        sample_rate: Hz.
        harmonics: multiples of each bin's frequency, > 0, none twice.
        hop_length: samples from frame to frame, odd or even, as in `CQT`.
        f_min: Hz, of the lowest bin of harmonic 1; None: C1, 32.7 Hz.
        n_bins: bins of each harmonic; None: as many as stay below half the sample rate in the highest harmonic.
        bins_per_octave: bins in an octave.
        above_nyquist: "raise" (a ValueError, as librosa's) or "zeros": what is done about bins of a harmonic that reach
            above half the sample rate.
        exact: False: each harmonic takes the nearest bins of one constant-Q transform, as Basic Pitch does. They lie up
            to half a bin, 600 / bins_per_octave cents, beside its own (`frequencies` says where): with 36 bins in an
            octave 2 cents for harmonic 3, 14 for 5 and 2.2 for 7; with 12 bins 2, 14 and 31.
        tuning, filter_scale, norm, window, pad_mode, sparsity, scale, power, method, trainable, normalization: as in
            `CQT`.

    Shape:
        waveform (..., time), lengths (batch,) -> (..., harmonics, n_bins, frames), complex for `power=None`.

    Raises:
        ValueError: for a setting outside its range, saying which.

    Differs from a stack of `librosa.cqt`: as `CQT` does; all harmonics have the frames of the one with the fewest; a
    harmonic low enough for a lower rate before its highest octave gets there by steps that others share, where librosa
    takes one filter (3e-7 to 1e-6, see tests/transforms/constant_q/test_harmonic_cqt.py).

    >>> HarmonicCQT(sample_rate=22050, harmonics=(0.5, 1, 2, 3))(torch.zeros(2, 22050)).shape
    torch.Size([2, 4, 360, 44])
    """

    ARGUMENTS = ("sample_rate", "harmonics", *CQT.ARGUMENTS[1:], "above_nyquist", "exact")

    def __init__(
        self,
        *,
        sample_rate: float,
        harmonics: Sequence[float] = (0.5, 1, 2, 3, 4, 5),
        hop_length: int = 512,
        f_min: float | None = None,
        n_bins: int | None = 360,
        bins_per_octave: int = 60,
        above_nyquist: str = "raise",
        exact: bool = True,
        tuning: float | None = 0.0,
        filter_scale: float = 1.0,
        norm: float | None = 1.0,
        window: str | float | tuple = "hann",
        pad_mode: str = "constant",
        sparsity: float = 0.01,
        scale: bool = True,
        power: float | None = 1.0,
        method: str = "auto",
        trainable: bool = False,
        normalization: str = "librosa",
    ) -> None:
        multiples = _check_harmonics(harmonics)
        lowest = check_positive("f_min", C1 if f_min is None else f_min, "a positive number of Hz")
        if above_nyquist not in ABOVE_NYQUIST:
            raise ValueError(f"above_nyquist={above_nyquist!r} must be one of {ABOVE_NYQUIST}")
        if not isinstance(exact, bool):
            raise ValueError(f"exact={exact!r} must be True or False")
        # of the lowest bin of all: were it too high, all would be
        WaveletTransform.__init__(
            self,
            sample_rate=sample_rate,
            hop_length=hop_length,
            f_min=lowest * min(multiples),
            n_bins=1,
            bins_per_octave=bins_per_octave,
            tuning=tuning,
            filter_scale=filter_scale,
            norm=norm,
            window=window,
            pad_mode=pad_mode,
            sparsity=sparsity,
            scale=scale,
            power=power,
        )
        self._settle(normalization, method, trainable)
        self.harmonics, self.f_min, self.above_nyquist, self.exact = multiples, lowest, above_nyquist, exact
        steps = harmonic_steps(multiples, bins_per_octave)
        self._steps = steps if exact else np.round(steps)
        self.n_bins = self._check_bins(n_bins)
        self.bank = self._bank(self.n_bins, 0.0 if tuning is None else tuning)
        shared, self._places = self._planned()
        kernels = functools.partial(
            shared.kernels, normalization, scale=scale, sparsity=sparsity if self.method == "octaves" else None
        )
        self._hold(shared.levels, kernels)

    # ---------------------------------------------------------------- which bins there are

    def _harmonic(self, steps: float, tuning: float) -> WaveletBank:
        """One bin, so many above the lowest of harmonic 1."""
        bank = self._bank(1, tuning)
        return replace(bank, f_min=bank.f_min * 2.0 ** (steps / self.bins_per_octave))

    def _fitting(self, steps: float, tuning: float) -> int:
        """How many bins from there on stay below half the rate."""
        # each bin reaches as far above its centre, in octaves
        room = math.log2(check_rate(self.sample_rate) / 2 / self._harmonic(steps, tuning).cutoff)
        return max(0, math.floor(room * self.bins_per_octave + 1e-9) + 1)

    def _check_bins(self, n_bins: int | None) -> int:
        # whatever tuning may be found, the highest bin must stay below half the rate
        tuning, top = 0.5 if self.tuning is None else self.tuning, float(self._steps.max())
        most = self._fitting(top, tuning)
        if n_bins is not None:
            count = check_count("n_bins", n_bins, "a whole number of bins, 1 or more")
            if count <= most or self.above_nyquist == "zeros":
                return count
        elif most:
            return most
        highest = max(self.harmonics)
        reached = self._harmonic(top, tuning).cutoff * 2.0 ** (((n_bins or 1) - 1) / self.bins_per_octave)
        remedy = f"use at most {most} bins (n_bins=None takes that many), " if most else "use "
        raise ValueError(
            f"harmonics={self.harmonics!r} with n_bins={n_bins} bins from f_min={self.f_min:g} Hz reach {reached:.6g} "
            f"Hz at harmonic {highest:g} with the bandwidth of its highest bin, and must stay below half of "
            f"sample_rate={self.sample_rate}; {remedy}a lower f_min, no harmonic as high, or above_nyquist='zeros'"
        )

    def _planned(self) -> tuple[SharedBins, tuple[tuple[int, int], ...]]:
        """What is computed, and the runs (first, end) of its bins that the harmonics consist of; (0, -n): n zeros."""
        tuning = 0.0 if self.tuning is None else self.tuning
        counts = [min(self.n_bins, self._fitting(step, tuning)) for step in self._steps.tolist()]
        if self.exact:
            present = [(step, count) for step, count in zip(self._steps.tolist(), counts, strict=True) if count]
        else:
            low = self._steps.min()
            present = [(low, int(max(step + n for step, n in zip(self._steps, counts, strict=True) if n) - low))]
        banks = [replace(self._harmonic(step, tuning), n_bins=count) for step, count in present]
        share = shared_octaves if self.method == "octaves" else shared_dense
        shared = share(banks, self.hop_length)
        if self.exact:
            found = iter(shared.places)
            places = [next(found) if count else () for count in counts]
        else:
            starts = [int(step - low) for step in self._steps]
            places = [shared.places[0][first : first + n] for first, n in zip(starts, counts, strict=True)]
        runs: list[tuple[int, int]] = []
        for place in places:
            for number in place:
                if runs and runs[-1][1] == number:
                    runs[-1] = (runs[-1][0], number + 1)
                else:
                    runs.append((number, number + 1))
            if len(place) < self.n_bins:
                runs.append((0, len(place) - self.n_bins))
        return shared, tuple(runs)

    @property
    def frequencies(self) -> torch.Tensor:
        """The centre of each bin in Hz, float64; with `tuning=None` of a clip in tune.  Shape: (harmonics, bins)."""
        lowest = self.bank.f_min * 2.0 ** (torch.from_numpy(self._steps) / self.bins_per_octave)
        return torch.outer(lowest, 2.0 ** (torch.arange(self.n_bins, dtype=torch.float64) / self.bins_per_octave))

    # ---------------------------------------------------------------- computing

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        values = super().compute(waveform, lengths, graph=graph).transpose(1, 2)  # (row, frame, bin)
        if self._places == ((0, values.shape[-1]),):
            return values.transpose(1, 2)
        parts = [
            values[..., first:end] if end > 0 else values.new_zeros(*values.shape[:2], -end)
            for first, end in self._places
        ]
        return torch.cat(parts, dim=-1).transpose(1, 2)  # (row, harmonic * bin, frame)

    def finish_rows(
        self, features: torch.Tensor, lengths: torch.Tensor | None, leading: list[int], *, graph: bool
    ) -> torch.Tensor:
        finished = super().finish_rows(features, lengths, leading, graph=graph)
        return finished.unflatten(1, (len(self.harmonics), -1))


def _check_harmonics(harmonics: Sequence[float]) -> tuple[float, ...]:
    rule = "different numbers > 0, such as (0.5, 1, 2, 3)"
    if isinstance(harmonics, str | float | int):
        raise ValueError(f"harmonics={harmonics!r} must be a sequence of {rule}")
    checked = tuple(harmonics)
    for harmonic in checked:
        check_positive("harmonics", harmonic, f"{rule}: it holds {harmonic!r}")
    if not checked or len(set(checked)) < len(checked):
        raise ValueError(f"harmonics={harmonics!r} must be one or more {rule}")
    return checked
