"""Cheaper relatives of the constant-Q transform: magnitudes from one spectrum, for all bins or for the high ones."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from typing_extensions import Unpack

from audiofeed.arguments.checks import check_power
from audiofeed.arguments.setting_groups import pick
from audiofeed.arguments.signature import takes
from audiofeed.methods.constant_q.spectral_spans import weigh_spans
from audiofeed.methods.frame_steps import Apply, Wanted
from audiofeed.methods.frames import Framing
from audiofeed.methods.short_time.short_time_methods import short_time_powers
from audiofeed.methods.workspace import Workspace
from audiofeed.plans.constant_q.spectral_spans import packed, packed_weights, spectral_spans
from audiofeed.signal.constant_q.wavelets import least_power_of_two, spectral_weights
from audiofeed.signal.filter_responses import FilterResponses
from audiofeed.signal.scales import fft_frequencies
from audiofeed.signal.windows import get_window
from audiofeed.transforms.constant_q.constant_q_transform import ConstantQTransform
from audiofeed.transforms.constant_q.cqt import CQT
from audiofeed.transforms.constant_q.settings import ConstantQ, MagnitudeOptions, SpectrumOptions, options_of


class PseudoCQT(ConstantQTransform):
    """Pseudo CQT as a module, which makes the high bins of a hybrid CQT, equal to `librosa.pseudo_cqt`.

    The magnitudes of one short-time spectrum, weighted by those of constant-Q wavelets. All bins share one Hann window,
    as long as the longest wavelet: low bins are as in a constant-Q transform, high ones as blurred in time as they.
    Differs from librosa as `CQT` does.

    Args:
        sample_rate: Hz.
        hop_length: samples from frame to frame, 1 or more.
        power: exponent of the magnitude, > 0.

    Returns:
        (..., n_bins, frames), from a waveform (..., time) and lengths (batch,).

    Raises:
        ValueError: for bins that reach above half the sample rate, with the number of bins that do not.

    >>> PseudoCQT(sample_rate=22050)(torch.zeros(2, 22050)).shape
    torch.Size([2, 84, 44])
    """

    @takes(ConstantQ, without=("compat",))
    def __init__(self, *, sample_rate: float, **settings: Unpack[SpectrumOptions]) -> None:
        super().__init__(_magnitudes(settings, sample_rate))
        bank, hop = self.bank, self.wavelets.hop_length
        n_fft = max(least_power_of_two(float(bank.lengths.max())), 2 * least_power_of_two(hop))
        self.n_fft = n_fft
        self.framing = Framing(n_fft=n_fft, hop_length=hop, center=True, pad_mode=self.wavelets.pad_mode)
        of_bank = (bank, n_fft, self.wavelets.sparsity, self.wavelets.scale)
        weights = spectral_weights(*of_bank)
        self._spans, self._of_bank = spectral_spans(weights), of_bank
        self.define("analysis_window", functools.partial(get_window, "hann", n_fft))
        definition = functools.partial(packed_weights, *of_bank, self._spans)
        self.define("weights", definition, values=packed(weights, self._spans))

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        window = self.filter_like("analysis_window", waveform)
        assert self.framing is not None
        wanted = [Wanted(1.0, (Apply(self.weighted),))]
        return short_time_powers(waveform, lengths, self.framing, window, wanted=wanted, graph=graph)[0]

    def filter_responses(self) -> FilterResponses:
        """Return the weights over FFT bins of a pseudo CQT module, which makes the high bins of a hybrid CQT."""
        hertz = fft_frequencies(self.rate("the weights"), self.n_fft)
        weights = spectral_weights(*self._of_bank)
        return FilterResponses(frequencies=hertz, values=weights, quantity="weight of |X|", logarithmic=True)

    def weighted(self, magnitudes: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
        """Return the bins of a pseudo or hybrid CQT module from magnitudes of one short-time spectrum.

        Args:
            magnitudes: (..., frames, FFT bins).
            workspace: memory to compute in, without a graph.

        Returns:
            (..., frames, n_bins).
        """
        weights = self.filter_like("weights", magnitudes)
        return weigh_spans(magnitudes, weights, self._spans, self.power, workspace)


class HybridCQT(ConstantQTransform):
    """Hybrid CQT as a module: high bins by `PseudoCQT`, others by `CQT`, equal to `librosa.hybrid_cqt`.

    It has magnitudes only. High are the bins whose wavelets, rounded up to a power of two, are shorter than two hops.
    Differs from librosa as `CQT` does.

    Args:
        sample_rate: Hz.
        power: exponent of the magnitude, > 0.

    Returns:
        (..., n_bins, frames), from a waveform (..., time) and lengths (batch,).

    Raises:
        ValueError: for bins that reach above half the sample rate, with the number of bins that do not.

    >>> HybridCQT(sample_rate=22050)(torch.zeros(2, 22050)).shape
    torch.Size([2, 84, 44])
    """

    @takes(ConstantQ)
    def __init__(self, *, sample_rate: float, **settings: Unpack[MagnitudeOptions]) -> None:
        wavelets = _magnitudes(settings, sample_rate)
        super().__init__(wavelets)
        high = np.array([least_power_of_two(length) < 2 * wavelets.hop_length for length in self.bank.lengths])
        self.n_pseudo = int(high.sum())
        self.full: CQT | None = None
        self.pseudo: PseudoCQT | None = None
        if self.n_pseudo < wavelets.n_bins:
            n_full = wavelets.n_bins - self.n_pseudo
            low_bins = replace(wavelets, f_min=self.bank.f_min, n_bins=n_full, tuning=0.0)
            self.full = CQT(sample_rate=sample_rate, **options_of(low_bins))
        if self.n_pseudo:
            lowest = float(self.bank.frequencies[high].min())
            high_bins = replace(wavelets, f_min=lowest, n_bins=self.n_pseudo, tuning=0.0)
            self.pseudo = PseudoCQT(sample_rate=sample_rate, **options_of(high_bins, cls=PseudoCQT))

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Return the frames of clips of `lengths` samples that both parts of a hybrid CQT module have."""
        counts = [part.frame_lengths(lengths) for part in (self.full, self.pseudo) if part is not None]
        return torch.minimum(counts[0], counts[-1])

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        parts = [part.compute(waveform, lengths, graph=graph) for part in (self.full, self.pseudo) if part is not None]
        frames = min(part.shape[-1] for part in parts)
        return torch.cat([part[..., :frames] for part in parts], dim=1)


def _magnitudes(settings: Mapping[str, Any], sample_rate: float) -> ConstantQ:
    """Return the settings of a pseudo or hybrid CQT module, which has magnitudes only."""
    check_power(settings["power"], "use CQT for complex values")
    return pick(ConstantQ, settings, sample_rate=sample_rate)
