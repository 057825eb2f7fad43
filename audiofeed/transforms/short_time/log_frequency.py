"""Short-time spectra at frequencies of the user's choice."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import torch
from typing_extensions import Unpack

from audiofeed.arguments.checks import check_choice, check_count, check_positive, check_power_or_complex, check_rate
from audiofeed.arguments.setting_groups import argument, pick, settle
from audiofeed.arguments.signature import takes
from audiofeed.methods.short_time.interpolated_fft import Interpolation
from audiofeed.methods.short_time.log_frequency_methods import LOG_FREQUENCY
from audiofeed.parallel.launches import launches
from audiofeed.plans.short_time.interpolation import (
    compensation,
    interpolation,
    interpolation_tiles,
    oversampled_length,
)
from audiofeed.signal.short_time.log_frequency import FREQ_SCALES, frequency_basis, frequency_grid
from audiofeed.transforms.contract.frame_settings import FeatureOptions, Frames
from audiofeed.transforms.contract.magnitude_settings import Magnitude, MagnitudeOptions
from audiofeed.transforms.contract.method_settings import Execution
from audiofeed.transforms.short_time.short_time_transform import ShortTime


class GridOptions(TypedDict, total=False):
    """Keyword arguments for the frequencies of log-frequency short-time modules."""

    freq_scale: str
    f_min: float
    f_max: float | None
    n_bins: int | None
    bins_per_octave: float | None


class LogFrequencyOptions(FeatureOptions, GridOptions, total=False):
    """Keyword arguments of the log-frequency short-time modules, for a transform at chosen frequencies."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Settings of log-frequency short-time modules for a grid of frequencies between two, both included."""

    sample_rate: float
    n_fft: int
    freq_scale: str = argument(
        "log",
        'how the frequencies lie between f_min and f_max: "log" or "octave" (even ratios), "linear" (even steps).',
    )
    f_min: float = argument(50.0, 'Hz, the lowest frequency, > 0, or with "linear" >= 0.')
    f_max: float = argument(None, "Hz, the highest frequency, at most sample_rate / 2; None: that.")
    n_bins: int = argument(None, "number of frequencies, 1 or more; None: n_fft // 2 + 1.")
    bins_per_octave: float | None = argument(
        None, 'with "octave", in place of n_bins: f_min * 2^(k / bins_per_octave) as far as f_max, > 0.'
    )

    def __post_init__(self) -> None:
        half = check_rate(self.sample_rate, "the bins lie in Hz") / 2
        scale, f_min = self.freq_scale, self.f_min
        check_choice("freq_scale", scale, FREQ_SCALES, called={"log2": "octave", "no": "linear"})
        top = half if self.f_max is None else self.f_max
        low_is_right = f_min >= 0 if scale == "linear" else f_min > 0
        if not (low_is_right and f_min < top <= half):
            least = "0 <= f_min" if scale == "linear" else "0 < f_min"
            raise ValueError(
                f"f_min={f_min!r}, f_max={self.f_max!r} must satisfy {least} < f_max <= {half:g} Hz for "
                f"freq_scale={scale!r}; {half:g} Hz is half of sample_rate={self.sample_rate!r}"
            )
        if self.bins_per_octave is not None:
            if scale != "octave" or self.n_bins is not None:
                raise ValueError(
                    f"bins_per_octave={self.bins_per_octave!r} must be given with freq_scale='octave' and without "
                    "n_bins: it is the other way to say how many bins there are"
                )
            check_positive("bins_per_octave", self.bins_per_octave, "a number > 0")
        elif self.n_bins is None:
            settle(self, n_bins=self.n_fft // 2 + 1)
        else:
            check_count("n_bins", self.n_bins, "an integer number of bins, 1 or more")
        settle(self, f_min=float(f_min), f_max=float(top))
        settle(self, n_bins=len(self.frequencies))

    @property
    def frequencies(self) -> np.ndarray:
        """Frequencies in Hz by the grid settings of log-frequency short-time modules, float64, of shape (n_bins,)."""
        return frequency_grid(
            freq_scale=self.freq_scale,
            f_min=self.f_min,
            f_max=self.f_max,
            n_bins=None if self.bins_per_octave is not None else self.n_bins,
            bins_per_octave=self.bins_per_octave,
        )

    @property
    def turns(self) -> np.ndarray:
        """Cycles per sample by the grid settings of log-frequency short-time modules, float64, of shape (n_bins,)."""
        return self.frequencies / self.sample_rate

    def basis(self, window: np.ndarray) -> np.ndarray:
        """Return a window's dense basis at the frequencies of a log-frequency module's grid settings."""
        return frequency_basis(window, self.turns)


# For 1,025 bins, 16 tiles have about four times the products that 65 have, and a quarter of the launches.
_FEW_TILES = 16


class OfGrid:
    """Mixin of log-frequency short-time modules, at a grid of frequencies, by any method of `LOG_FREQUENCY`."""

    def _keep_grid(self: Any, grid: Grid) -> None:
        """Keep the grid settings of a log-frequency short-time module, and its way to interpolate an FFT."""
        self.keep(grid)
        self._grid, self._filter_names = grid, LOG_FREQUENCY.methods[self.method].others
        tiles = interpolation_tiles(grid.turns, grid.n_fft)
        self._plan = Interpolation(length=oversampled_length(grid.n_fft), tiles=tiles)
        # fewer and larger tiles for a GPU, whose zeros cost less there than their launches would
        self._group = max(16, -(-grid.n_bins // _FEW_TILES))
        few = interpolation_tiles(grid.turns, grid.n_fft, group=self._group)
        self._few_tiles = Interpolation(length=self._plan.length, tiles=few)
        known = {
            "compensation": functools.partial(compensation, grid.n_fft),
            "interpolation": functools.partial(interpolation, grid.turns, grid.n_fft),
        }
        for name in self._filter_names:
            self.define(name, known[name])

    @property
    def frequencies(self: Any) -> torch.Tensor:
        """Frequency of each bin of a log-frequency short-time module in Hz. A float64 tensor of shape (n_bins,)."""
        return torch.from_numpy(self._grid.frequencies)

    def compute(self: Any, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        """Compute a log-frequency short-time module's |transform|^power of rows, or the complex transform."""
        filters = [self.analysis(waveform), *(self.filter_like(name, waveform) for name in self._filter_names)]
        run, plan = LOG_FREQUENCY.methods[self.method].run, self._plan
        if filters[1:] and launches(waveform) and not torch.compiler.is_compiling():
            few = self.derived_filter("few interpolations", self._few_interpolations, waveform)
            if few is not None:
                filters[-1], plan = few, self._few_tiles
        how: dict[str, Any] = {"power": self.power, "root_offset": self.root_offset}
        return run(waveform, lengths, self.framing, *filters, plan=plan, **how, graph=graph)

    def _few_interpolations(self: Any) -> np.ndarray:
        """Compute the matrix of a log-frequency module's interpolation in few tiles, each of many bins."""
        return interpolation(self._grid.turns, self._grid.n_fft, group=self._group)


class LogFrequencySTFT(OfGrid, ShortTime):
    """Module that computes the complex log-frequency STFT, at log-spaced or evenly spaced frequencies between any two.

    Bin k is the sum over the frame of window[n] x[n] exp(-2 pi i f_k n / sample_rate), which is what `STFT` has at
    f_k = k * sample_rate / n_fft. All bins have the same window, and so the same width in Hz: unlike in a CQT,
    neighbors closer than that are all but equal.

    Args:
        sample_rate: Hz.
        method: "fft" (interpolates an FFT, exact to rounding), "conv" (the dense basis), or "auto": "conv" if
            trainable, else "fft".

    Returns:
        complex (..., n_bins, frames), from a waveform (..., time) and lengths (batch,).

    Differs from nnAudio's `STFT(freq_scale=...)`: its last frequency stays a step short of fmax, its "log2" is "octave"
    here, and it takes clips of one channel.

    >>> stft = LogFrequencySTFT(sample_rate=16000, n_fft=1024, f_min=50.0, f_max=6400.0, n_bins=8)
    >>> stft.frequencies.round().tolist()
    [50.0, 100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0]
    >>> stft(torch.zeros(2, 4000)).shape
    torch.Size([2, 8, 16])
    """

    @takes(Frames, Grid, Execution)
    def __init__(self, *, sample_rate: float, **settings: Unpack[LogFrequencyOptions]) -> None:
        grid = pick(Grid, settings, sample_rate=sample_rate, n_fft=check_count("n_fft", settings["n_fft"]))
        super().__init__(settings, sample_rate=sample_rate, basis=grid.basis, methods=LOG_FREQUENCY)
        self._keep_grid(grid)


class LogFrequencyPowerOptions(LogFrequencyOptions, MagnitudeOptions, total=False):
    """Keyword arguments of the log-frequency spectrogram module."""


class LogFrequencySpectrogram(OfGrid, ShortTime):
    """Module for a log-frequency spectrogram: |STFT|^power at log-spaced or evenly spaced frequencies between any two.

    Args:
        sample_rate: Hz.
        power: 2.0 (power), 1.0 (magnitude), any number > 0, or None (complex).
        method: "fft" (interpolates an FFT, exact to rounding), "conv" (the dense basis), or "auto": "conv" if
            trainable, else "fft".

    Returns:
        (..., n_bins, frames), from a waveform (..., time) and lengths (batch,).

    Differs from nnAudio's `STFT(freq_scale=..., output_format="Magnitude")` as `LogFrequencySTFT` does; for its values
    give power=1.0.

    >>> power = LogFrequencySpectrogram(sample_rate=16000, freq_scale="octave", bins_per_octave=24, f_max=6400.0)
    >>> power(torch.zeros(2, 4000)).shape
    torch.Size([2, 169, 8])
    """

    @takes(Frames, Grid, Magnitude, Execution)
    def __init__(
        self, *, sample_rate: float, power: float | None = 2.0, **settings: Unpack[LogFrequencyPowerOptions]
    ) -> None:
        grid = pick(Grid, settings, sample_rate=sample_rate, n_fft=check_count("n_fft", settings["n_fft"]))
        power = check_power_or_complex(power)
        super().__init__(settings, sample_rate=sample_rate, power=power, basis=grid.basis, methods=LOG_FREQUENCY)
        self._keep_grid(grid)
