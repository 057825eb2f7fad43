"""Short-time spectra at frequencies of the user's choice."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch

from audiofeed.methods.short_time import conv, nonuniform
from audiofeed.methods.short_time.nonuniform import Interpolation
from audiofeed.plans.short_time.interpolation import (
    compensation,
    interpolation,
    interpolation_tiles,
    oversampled_length,
)
from audiofeed.signal.short_time.log_frequency import FREQ_SCALES, frequency_basis, frequency_grid
from audiofeed.signal.windows import Window
from audiofeed.transforms.contract.checks import check_count, check_rate
from audiofeed.transforms.short_time.stft import ShortTime


def _checked_grid(
    sample_rate: float,
    n_fft: int,
    freq_scale: str,
    f_min: float,
    f_max: float | None,
    n_bins: int | None,
    bins_per_octave: float | None,
) -> np.ndarray:
    """The frequencies that are asked for, in Hz, or an error that names what cannot be."""
    check_rate(sample_rate, "the bins lie in Hz")
    if freq_scale not in FREQ_SCALES:
        known = {"log2": "octave", "no": "linear"}.get(freq_scale) if isinstance(freq_scale, str) else None
        raise ValueError(
            f"freq_scale={freq_scale!r} must be one of {FREQ_SCALES}"
            + (f"; nnAudio's {freq_scale!r} is {known!r} here" if known else "")
        )
    top = sample_rate / 2 if f_max is None else f_max
    low_is_right = f_min >= 0 if freq_scale == "linear" else f_min > 0
    if not (low_is_right and f_min < top <= sample_rate / 2):
        least = "0 <= f_min" if freq_scale == "linear" else "0 < f_min"
        raise ValueError(
            f"f_min={f_min!r}, f_max={f_max!r} must satisfy {least} < f_max <= {sample_rate / 2:g} Hz for "
            f"freq_scale={freq_scale!r}; {sample_rate / 2:g} Hz is half of sample_rate={sample_rate!r}"
        )
    if bins_per_octave is not None:
        if freq_scale != "octave" or n_bins is not None:
            raise ValueError(
                f"bins_per_octave={bins_per_octave!r} must be given with freq_scale='octave' and without n_bins: "
                "it is the other way to say how many bins there are"
            )
        if not (bins_per_octave > 0 and math.isfinite(bins_per_octave)):
            raise ValueError(f"bins_per_octave={bins_per_octave!r} must be a number > 0")
    elif n_bins is None:
        n_bins = check_count("n_fft", n_fft) // 2 + 1
    else:
        check_count("n_bins", n_bins, "a whole number of bins, 1 or more")
    return frequency_grid(
        freq_scale=freq_scale, f_min=float(f_min), f_max=float(top), n_bins=n_bins, bins_per_octave=bins_per_octave
    )


class LogFrequencySTFT(ShortTime):
    """The complex short-time Fourier transform at logarithmically spaced frequencies, or evenly between any two.

    Bin k is the sum over the frame of window[n] x[n] exp(-2 pi i f_k n / sample_rate), which is what `STFT` has at
    f_k = k * sample_rate / n_fft. All bins have the same window, and so the same width in Hz: unlike in a CQT,
    neighbours closer than that are all but equal.

    Args:
        sample_rate: Hz.
        n_fft, hop_length, win_length, window, periodic, center, pad_mode: as in `STFT`.
        freq_scale: how the frequencies lie between f_min and f_max, both of them included: "log" or "octave" (even
            ratios), "linear" (even steps).
        f_min, f_max: the lowest and the highest frequency in Hz; f_min may be 0 with "linear" only; `f_max=None` is
            sample_rate / 2, which it may not exceed.
        n_bins: how many frequencies; None: n_fft // 2 + 1.
        bins_per_octave: with "octave", instead of n_bins: f_min * 2^(k / bins_per_octave) as far as f_max.
        method: "fft" (interpolates an FFT, exact to rounding), "conv" (the dense basis), or "auto": "conv" if
            trainable, else "fft".
        trainable: the basis is a parameter (`basis`, real parts then imaginary parts); with method "conv".

    Shape:
        waveform (..., time), lengths (batch,) -> complex (..., n_bins, frames).

    Raises:
        ValueError: for a setting outside its range, saying which.

    Differs from nnAudio's `STFT(freq_scale=...)`: its last frequency stays a step short of fmax, its "log2" is "octave"
    here, and it takes clips of one channel.

    >>> stft = LogFrequencySTFT(sample_rate=16000, n_fft=1024, f_min=50.0, f_max=6400.0, n_bins=8)
    >>> stft.frequencies.round().tolist()
    [50.0, 100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0]
    >>> stft(torch.zeros(2, 4000)).shape
    torch.Size([2, 8, 16])
    """

    sample_rate: float

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
        freq_scale: str = "log",
        f_min: float = 50.0,
        f_max: float | None = None,
        n_bins: int | None = None,
        bins_per_octave: float | None = None,
        method: str = "auto",
        trainable: bool = False,
    ) -> None:
        grid = _checked_grid(sample_rate, n_fft, freq_scale, f_min, f_max, n_bins, bins_per_octave)
        turns = grid / sample_rate
        super().__init__(
            n_fft,
            hop_length=hop_length,
            win_length=win_length,
            window=window,
            periodic=periodic,
            center=center,
            pad_mode=pad_mode,
            method=method,
            trainable=trainable,
            sample_rate=sample_rate,
            basis=functools.partial(frequency_basis, turns=turns),
        )
        self.freq_scale = freq_scale
        self.f_min, self.f_max = float(f_min), sample_rate / 2 if f_max is None else float(f_max)
        self.n_bins, self.bins_per_octave = len(grid), bins_per_octave
        self._grid = grid
        if self.method == "fft":
            self._interpolation = Interpolation(
                length=oversampled_length(self.n_fft), tiles=interpolation_tiles(turns, self.n_fft)
            )
            self.define("compensation", functools.partial(compensation, self.n_fft))
            self.define("interpolation", functools.partial(interpolation, turns, self.n_fft))

    @property
    def frequencies(self) -> torch.Tensor:
        """The frequency of each bin in Hz, float64.  Shape: (n_bins,)."""
        return torch.from_numpy(self._grid.copy())

    def extra_repr(self) -> str:
        """The settings of the frames and of the frequencies."""
        return (
            f"{super().extra_repr()}, sample_rate={self.sample_rate}, freq_scale={self.freq_scale!r}, "
            f"f_min={self.f_min:g}, f_max={self.f_max:g}, n_bins={self.n_bins}, bins_per_octave={self.bins_per_octave}"
        )

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        return self._transformed(waveform, lengths, None, graph=graph)

    def _transformed(
        self, waveform: torch.Tensor, lengths: torch.Tensor | None, power: float | None, *, graph: bool
    ) -> torch.Tensor:
        """The complex transform, or |transform|^power.  Shape: (rows, time) -> (rows, n_bins, frames)."""
        if self.method == "fft":
            window = self._analysis("analysis_window", waveform) * self.filter_like("compensation", waveform)
            weights = self.filter_like("interpolation", waveform)
            return nonuniform.short_time_spectrum(
                waveform, lengths, self._framing, window, weights, self._interpolation, power=power, graph=graph
            )
        basis = self._analysis("basis", waveform)
        if power is None:
            return conv.short_time_spectrum(waveform, lengths, self._framing, basis, graph=graph)
        wanted = [(power, None)]
        return conv.short_time_powers(waveform, lengths, self._framing, basis, wanted=wanted, graph=graph)[0]


class LogFrequencySpectrogram(LogFrequencySTFT):
    """|STFT|^power at logarithmically spaced frequencies, or evenly between any two.

    Args:
        power: 2.0 (power), 1.0 (magnitude), any number > 0, or None (complex).
        sample_rate, n_fft, hop_length, win_length, window, periodic, center, pad_mode, freq_scale, f_min, f_max,
            n_bins, bins_per_octave, method, trainable: as in `LogFrequencySTFT`.

    Shape:
        waveform (..., time), lengths (batch,) -> (..., n_bins, frames).

    Raises:
        ValueError: for a setting outside its range, saying which.

    Differs from nnAudio's `STFT(freq_scale=..., output_format="Magnitude")` as `LogFrequencySTFT` does; for its values
    give power=1.0.

    >>> power = LogFrequencySpectrogram(sample_rate=16000, freq_scale="octave", bins_per_octave=24, f_max=6400.0)
    >>> power(torch.zeros(2, 4000)).shape
    torch.Size([2, 169, 8])
    """

    def __init__(
        self,
        *,
        sample_rate: float,
        n_fft: int = 2048,
        power: float | None = 2.0,
        hop_length: int | None = None,
        win_length: int | None = None,
        window: Window = "hann",
        periodic: bool = True,
        center: bool = True,
        pad_mode: str = "constant",
        freq_scale: str = "log",
        f_min: float = 50.0,
        f_max: float | None = None,
        n_bins: int | None = None,
        bins_per_octave: float | None = None,
        method: str = "auto",
        trainable: bool = False,
    ) -> None:
        super().__init__(
            sample_rate=sample_rate,
            n_fft=n_fft,
            hop_length=hop_length,
            win_length=win_length,
            window=window,
            periodic=periodic,
            center=center,
            pad_mode=pad_mode,
            freq_scale=freq_scale,
            f_min=f_min,
            f_max=f_max,
            n_bins=n_bins,
            bins_per_octave=bins_per_octave,
            method=method,
            trainable=trainable,
        )
        if power is not None and not (power > 0 and math.isfinite(power)):
            raise ValueError(f"power={power!r} must be a number > 0, or None for the complex spectrum")
        self.power = None if power is None else float(power)

    def extra_repr(self) -> str:
        """The settings of the frames, of the frequencies, and the power."""
        return f"{super().extra_repr()}, power={self.power}"

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        return self._transformed(waveform, lengths, self.power, graph=graph)
