"""Mel and log-mel spectrograms."""

from __future__ import annotations

import functools
import math

import torch

from audiofeed.methods.decibels import LOGS, Log, limit_range
from audiofeed.methods.filterbank import FilterBank
from audiofeed.plans.tiles import filter_tiles
from audiofeed.signal.auditory.filterbanks import mel_filterbank
from audiofeed.signal.scales import MEL_SCALES, mel_frequencies
from audiofeed.signal.windows import Window
from audiofeed.transforms.contract.checks import check_count, check_rate, check_span, warn_of_empty
from audiofeed.transforms.short_time.stft import PowerFeature


class MelSpectrogram(PowerFeature):
    """A mel-scaled spectrogram, equal to `librosa.feature.melspectrogram`.

    Args:
        sample_rate: Hz.
        n_fft, hop_length, win_length, window, periodic, center, pad_mode, method, trainable, trainable_window: as in
            `STFT`.
        power: exponent of the magnitude before the filters, > 0.
        n_mels: number of filters.
        f_min, f_max: the span of the filters in Hz; `f_max=None` is sample_rate / 2, which it may not exceed.
        mel_scale: "slaney" or "htk".
        norm: "slaney" (area 1), None (peak 1), or a number p > 0 (p-norm 1).
        trainable_mel: the filters are a parameter (`mel`, of shape (n_mels, n_fft // 2 + 1)).

    Shape:
        waveform (..., time), lengths (batch,) -> (..., n_mels, frames).

    Raises:
        ValueError: for a setting outside its range, saying which. Warns of filters too narrow to hold a bin.

    Differs from librosa: `hop_length=None` is win_length // 4 (librosa: 512 whatever n_fft).

    >>> MelSpectrogram(sample_rate=16000, n_fft=400, n_mels=40)(torch.zeros(2, 1600)).shape
    torch.Size([2, 40, 17])
    """

    _log: Log | None = None  # of what the filters give

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
        n_mels: int = 128,
        f_min: float = 0.0,
        f_max: float | None = None,
        mel_scale: str = "slaney",
        norm: str | float | None = "slaney",
        method: str = "auto",
        trainable: bool = False,
        trainable_window: bool = False,
        trainable_mel: bool = False,
    ) -> None:
        if power is None:
            raise ValueError("power=None must be a number > 0: mel filters weigh powers; use STFT for complex values")
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
            trainable_window=trainable_window,
            sample_rate=sample_rate,
        )
        self.n_mels = check_count("n_mels", n_mels, "a whole number of filters, 1 or more")
        self.f_min, self.f_max = check_span(f_min, f_max, sample_rate)
        if mel_scale not in MEL_SCALES:
            raise ValueError(f"mel_scale={mel_scale!r} must be 'slaney' or 'htk'")
        self.mel_scale, self.norm = mel_scale, norm
        self.trainable_mel = trainable_mel
        definition = functools.partial(
            mel_filterbank,
            sample_rate=float(sample_rate),
            n_fft=self.n_fft,
            n_mels=self.n_mels,
            f_min=self.f_min,
            f_max=self.f_max,
            mel_scale=mel_scale,
            norm=norm,
        )
        weights = definition()
        warn_of_empty(weights, "n_mels", self.n_fft, sample_rate)
        self._bands = filter_tiles(weights)
        self.define("mel", definition, trainable=trainable_mel)

    @property
    def frequencies(self) -> torch.Tensor:
        """The peak of each filter in Hz, float64.  Shape: (n_mels,)."""
        points = mel_frequencies(self.n_mels + 2, f_min=self.f_min, f_max=self.f_max, mel_scale=self.mel_scale)
        return torch.from_numpy(points[1:-1].copy())

    def _finishing(self, like: torch.Tensor) -> FilterBank:
        return FilterBank(self.filter_like("mel", like), None if self.trainable_mel else self._bands, self._log)

    def extra_repr(self) -> str:
        """The settings of the frames and of the filters."""
        return (
            f"sample_rate={self.sample_rate}, n_fft={super().extra_repr()}, n_mels={self.n_mels}, "
            f"f_min={self.f_min:g}, f_max={self.f_max:g}, mel_scale={self.mel_scale!r}, norm={self.norm!r}, "
            f"trainable_mel={self.trainable_mel}"
        )


class LogMelSpectrogram(MelSpectrogram):
    """The logarithm of a mel spectrogram: what most audio models are fed.

    Args:
        log: "ln", "log10", or "db" (10 log10 of power; for another `power`, 20 / power log10).
        floor: the smallest mel value the logarithm sees, > 0. Silence is log(floor), with gradient 0.
        top_db: with log="db": nothing lies more than this below the clip's own peak, whatever else is in the batch.
            None: no limit. `librosa.power_to_db` has 80.
        everything else: as in `MelSpectrogram`.

    Shape:
        waveform (..., time), lengths (batch,) -> (..., n_mels, frames).

    Raises:
        ValueError: for a setting outside its range, saying which.

    >>> transform = LogMelSpectrogram(sample_rate=16000, n_fft=400, hop_length=160, n_mels=80)
    >>> transform(torch.zeros(2, 16000)).shape
    torch.Size([2, 80, 101])
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
        n_mels: int = 128,
        f_min: float = 0.0,
        f_max: float | None = None,
        mel_scale: str = "slaney",
        norm: str | float | None = "slaney",
        log: str = "ln",
        floor: float = 1e-10,
        top_db: float | None = None,
        method: str = "auto",
        trainable: bool = False,
        trainable_window: bool = False,
        trainable_mel: bool = False,
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
            power=power,
            n_mels=n_mels,
            f_min=f_min,
            f_max=f_max,
            mel_scale=mel_scale,
            norm=norm,
            method=method,
            trainable=trainable,
            trainable_window=trainable_window,
            trainable_mel=trainable_mel,
        )
        if log not in LOGS:
            raise ValueError(f"log={log!r} must be 'ln', 'log10' or 'db'")
        if not (floor >= torch.finfo(torch.float32).tiny and math.isfinite(floor)):
            raise ValueError(f"floor={floor!r} must be a number > 0 that float32 holds (1.2e-38 at least)")
        if top_db is not None and log != "db":
            raise ValueError(f"top_db={top_db!r} must be None with log={log!r}; it limits decibels: use log='db'")
        if top_db is not None and not top_db > 0:
            raise ValueError(f"top_db={top_db!r} must be a number > 0, or None")
        self.log, self.floor, self.top_db = log, float(floor), top_db
        self._log = Log(log, floor=self.floor, power=self._need_power())

    def finish_clips(self, features: torch.Tensor, frames: torch.Tensor | None) -> torch.Tensor:
        return features if self.top_db is None else limit_range(features, frames, self.top_db)

    def extra_repr(self) -> str:
        """The settings of the frames, of the filters, and of the logarithm."""
        return f"{super().extra_repr()}, log={self.log!r}, floor={self.floor:g}, top_db={self.top_db}"
