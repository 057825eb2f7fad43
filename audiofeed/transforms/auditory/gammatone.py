"""Spectrograms through gammatone filters."""

from __future__ import annotations

import functools
import math

import torch

from audiofeed.methods.filterbank import FilterBank
from audiofeed.plans.tiles import filter_tiles
from audiofeed.signal.auditory.gammatone import WEIGHTINGS, gammatone_filterbank, gammatone_frequencies
from audiofeed.signal.windows import Window
from audiofeed.transforms.contract.checks import check_count, check_rate, check_span
from audiofeed.transforms.short_time.stft import PowerFeature


class Gammatonegram(PowerFeature):
    """A spectrogram gathered by gammatone filters on the ERB scale, the ear's own.

    Ellis's `gammatonegram` (2009) with Slaney's filters of order 4 (1993) and the bandwidths of Glasberg and Moore
    (1990). With `norm="n_fft"` and nnAudio's settings it equals nnAudio2's `Gammatonegram`.

    Args:
        sample_rate: Hz.
        n_fft, hop_length, win_length, window, periodic, center, pad_mode, method, trainable: as in `STFT`.
        power: exponent of the magnitude before the filters, > 0.
        n_bins: number of filters.
        f_min, f_max: Hz; the filters begin at f_min and are evenly spaced in ERBs, the last one step below f_max.
            `f_max=None` is sample_rate / 2, which it may not exceed.
        width: bandwidth of the filters in units of the ear's, > 0.
        weighting: "magnitude" (|H|, as Ellis and nnAudio have it whatever the power), or "power" (|H|^2: with power=2
            the energy that leaves the gammatone filter).
        norm: None (1 at a filter's centre), "slaney" (area 1 in Hz), "n_fft" (1 / n_fft at the centre, as Ellis and
            nnAudio have it), or a number p > 0 (p-norm 1).
        trainable_gammatone: the filters are a parameter (`gammatone`, of shape (n_bins, n_fft // 2 + 1)).

    Shape:
        waveform (..., time), lengths (batch,) -> (..., n_bins, frames).

    Raises:
        ValueError: for a setting outside its range, saying which.

    Differs from nnAudio2: `f_min` is 50 Hz (there 0), `norm` has an effect, `pad_mode` is "constant" (there "reflect"),
    and there is no `htk`, which is accepted and ignored there.

    >>> Gammatonegram(sample_rate=16000, n_fft=400, hop_length=160)(torch.zeros(2, 1600)).shape
    torch.Size([2, 64, 11])
    """

    def __init__(
        self,
        *,
        sample_rate: float,
        n_fft: int = 2048,
        hop_length: int | None = None,
        win_length: int | None = None,
        window: Window = "hann",
        periodic: bool = True,
        center: bool = True,
        pad_mode: str = "constant",
        power: float = 2.0,
        n_bins: int = 64,
        f_min: float = 50.0,
        f_max: float | None = None,
        width: float = 1.0,
        weighting: str = "magnitude",
        norm: str | float | None = None,
        method: str = "auto",
        trainable: bool = False,
        trainable_gammatone: bool = False,
    ) -> None:
        if power is None:
            raise ValueError("power=None must be a number > 0: filters weigh powers; use STFT for complex values")
        check_rate(sample_rate, "the filters lie in Hz")
        super().__init__(
            n_fft,
            power=power,
            hop_length=hop_length,
            win_length=win_length,
            window=window,
            periodic=periodic,
            center=center,
            pad_mode=pad_mode,
            method=method,
            trainable=trainable,
            sample_rate=sample_rate,
        )
        self.n_bins = check_count("n_bins", n_bins, "a whole number of filters, 1 or more")
        self.f_min, self.f_max = check_span(f_min, f_max, sample_rate)
        if not (width > 0 and math.isfinite(width)):
            raise ValueError(f"width={width!r} must be a number > 0; 1 is the ear's own bandwidth")
        if weighting not in WEIGHTINGS:
            raise ValueError(f"weighting={weighting!r} must be 'magnitude' or 'power'")
        self.width, self.weighting, self.norm = float(width), weighting, norm
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
        self._bands = filter_tiles(definition(), group=self.n_bins)
        self.define("gammatone", definition, trainable=trainable_gammatone)

    @property
    def frequencies(self) -> torch.Tensor:
        """The centre of each filter in Hz, float64.  Shape: (n_bins,)."""
        return torch.from_numpy(gammatone_frequencies(self.n_bins, f_min=self.f_min, f_max=self.f_max))

    def _finishing(self, like: torch.Tensor) -> FilterBank:
        return FilterBank(self.filter_like("gammatone", like), None if self.trainable_gammatone else self._bands)

    def extra_repr(self) -> str:
        """The settings of the frames and of the filters."""
        return (
            f"sample_rate={self.sample_rate}, n_fft={super().extra_repr()}, n_bins={self.n_bins}, "
            f"f_min={self.f_min:g}, f_max={self.f_max:g}, width={self.width:g}, weighting={self.weighting!r}, "
            f"norm={self.norm!r}, trainable_gammatone={self.trainable_gammatone}"
        )
