"""Spectrograms through gammatone filters."""

from __future__ import annotations

import functools

import torch
from typing_extensions import Unpack

from audiofeed.arguments.checks import check_choice, check_count, check_positive, check_power, check_rate, check_span
from audiofeed.arguments.signature import takes
from audiofeed.signal.auditory.gammatone import WEIGHTINGS, gammatone_filterbank, gammatone_frequencies
from audiofeed.transforms.contract.frame_settings import FeatureOptions, Frames
from audiofeed.transforms.contract.magnitude_settings import Magnitude, MagnitudeOptions
from audiofeed.transforms.contract.method_settings import Execution
from audiofeed.transforms.short_time.short_time_transform import ShortTime


class GammatoneOptions(FeatureOptions, MagnitudeOptions, total=False):
    """Keyword arguments of the gammatone module."""


class Gammatonegram(ShortTime):
    """Module that computes a gammatone spectrogram, by filters on the ERB scale, the ear's own.

    Ellis's `gammatonegram` (2009) with Slaney's filters of order 4 (1993) and the bandwidths of Glasberg and Moore
    (1990). With `norm="n_fft"` and nnAudio's settings it equals nnAudio2's `Gammatonegram`.

    Args:
        sample_rate: Hz.
        power: exponent of the magnitude before the filters, > 0.
        n_bins: number of filters, 1 or more.
        f_min: Hz, where the filters begin, >= 0 and below f_max; they are evenly spaced in ERBs.
        f_max: Hz; the last filter lies one step below it; at most sample_rate / 2, None: that.
        width: bandwidth of the filters in units of the ear's, > 0.
        weighting: "magnitude" (|H|, as Ellis and nnAudio have it whatever the power), or "power" (|H|^2: with power=2
            the energy that leaves the gammatone filter).
        norm: None (1 at a filter's center), "slaney" (area 1 in Hz), "n_fft" (1 / n_fft at the center, as Ellis and
            nnAudio have it), or a number p > 0 (p-norm 1).
        trainable_gammatone: the filters are a parameter (`gammatone`, of shape (n_bins, n_fft // 2 + 1)).

    Returns:
        (..., n_bins, frames), from a waveform (..., time) and lengths (batch,).

    Differs from nnAudio2: `f_min` is 50 Hz (there 0), `norm` has an effect, `pad_mode` is "constant" (there "reflect"),
    and there is no `htk`, which is accepted and ignored there.

    >>> Gammatonegram(sample_rate=16000, n_fft=400, hop_length=160)(torch.zeros(2, 1600)).shape
    torch.Size([2, 64, 11])
    """

    @takes(Frames, Magnitude, Execution)
    def __init__(
        self,
        *,
        sample_rate: float,
        power: float = 2.0,
        n_bins: int = 64,
        f_min: float = 50.0,
        f_max: float | None = None,
        width: float = 1.0,
        weighting: str = "magnitude",
        norm: str | float | None = None,
        trainable_gammatone: bool = False,
        **settings: Unpack[GammatoneOptions],
    ) -> None:
        check_rate(sample_rate, "the filters lie in Hz")
        super().__init__(settings, sample_rate=sample_rate, power=check_power(power))
        self.n_bins = check_count("n_bins", n_bins, "an integer number of filters, 1 or more")
        self.f_min, self.f_max = check_span(f_min, f_max, sample_rate)
        self.width = check_positive("width", width, "a finite number > 0; 1 is the ear's own bandwidth")
        self.weighting, self.norm = check_choice("weighting", weighting, tuple(WEIGHTINGS)), norm
        self.trainable_gammatone = trainable_gammatone
        definition = functools.partial(
            gammatone_filterbank,
            sample_rate=float(sample_rate),
            n_fft=self.n_fft,
            n_bins=self.n_bins,
            f_min=self.f_min,
            f_max=self.f_max,
            width=self.width,
            weighting=weighting,
            norm=norm,
        )
        # gammatone filters have no zeros to skip: one tile of all filters
        self._steps = (self.define_bank("gammatone", definition, trainable=trainable_gammatone, group=None),)

    @property
    def frequencies(self) -> torch.Tensor:
        """Center frequency in Hz of each filter of a gammatone module, float64, of shape (n_bins,)."""
        return torch.from_numpy(gammatone_frequencies(self.n_bins, f_min=self.f_min, f_max=self.f_max))
