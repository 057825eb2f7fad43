"""Mel and log-mel spectrograms."""

from __future__ import annotations

import torch
from typing_extensions import Unpack

from audiofeed.arguments.checks import check_power, check_rate
from audiofeed.arguments.setting_groups import pick
from audiofeed.arguments.signature import takes
from audiofeed.transforms.auditory.settings import Mel, MelOptions, keep_mel
from audiofeed.transforms.contract.frame_settings import FeatureOptions, Frames
from audiofeed.transforms.contract.logarithm_settings import Logarithm, LogOptions
from audiofeed.transforms.contract.magnitude_settings import Magnitude, MagnitudeOptions
from audiofeed.transforms.contract.method_settings import Execution
from audiofeed.transforms.short_time.short_time_transform import ShortTime
from audiofeed.transforms.short_time.steps import Limit, Logarithms


class MelSpectrogramOptions(FeatureOptions, MagnitudeOptions, MelOptions, total=False):
    """Keyword arguments of the mel spectrogram module."""


class LogMelSpectrogramOptions(MelSpectrogramOptions, LogOptions, total=False):
    """Keyword arguments of the log-mel spectrogram module."""


class MelSpectrogram(ShortTime):
    """Module that computes a mel spectrogram, equal to `librosa.feature.melspectrogram`.

    Args:
        sample_rate: Hz.
        power: exponent of the magnitude before the filters, > 0.
        trainable_mel: the filters are a parameter (`mel`, of shape (n_mels, n_fft // 2 + 1)).

    Returns:
        (..., n_mels, frames), from a waveform (..., time) and lengths (batch,).

    Warns:
        UserWarning: for filters too narrow to hold a bin.

    Differs from librosa: `hop_length=None` is win_length // 4 (librosa: 512 whatever n_fft).

    >>> MelSpectrogram(sample_rate=16000, n_fft=400, n_mels=40)(torch.zeros(2, 1600)).shape
    torch.Size([2, 40, 17])
    """

    @takes(Frames, Magnitude, Mel, Execution)
    def __init__(
        self,
        *,
        sample_rate: float,
        power: float = 2.0,
        trainable_mel: bool = False,
        **settings: Unpack[MelSpectrogramOptions],
    ) -> None:
        check_rate(sample_rate, "the filters lie in Hz")
        super().__init__(settings, sample_rate=sample_rate, power=check_power(power))
        _, bank = keep_mel(self, settings, trainable=trainable_mel)
        self._steps = (bank,)

    @property
    def frequencies(self) -> torch.Tensor:
        """Peak frequency of each filter of a mel spectrogram module in Hz. A float64 tensor of shape (n_mels,)."""
        return self._mel.frequencies


class LogMelSpectrogram(ShortTime):
    """Module that computes a log-mel spectrogram, the input of most audio models.

    Args:
        sample_rate: Hz.
        power: exponent of the magnitude before the filters, > 0.
        log: the logarithm: "ln", "log10", "db" (10 log10 of power; for another `power`, 20 / power log10), or "log1p"
            (ln(1 + x)).
        top_db: with log="db": nothing lies more than this below the clip's own peak, >= 0, whatever else is in the
            batch; None: no limit. `librosa.power_to_db` has 80. Of a waveform (2, time) each row is a clip with a peak
            of its own; the channels of one clip, (1, 2, time), share theirs.
        trainable_mel: the filters are a parameter (`mel`, of shape (n_mels, n_fft // 2 + 1)).

    Returns:
        (..., n_mels, frames), from a waveform (..., time) and lengths (batch,).

    Warns:
        UserWarning: for filters too narrow to hold a bin.

    >>> transform = LogMelSpectrogram(sample_rate=16000, n_fft=400, hop_length=160, n_mels=80)
    >>> transform(torch.zeros(2, 16000)).shape
    torch.Size([2, 80, 101])
    """

    gives_logarithms = True

    @takes(Frames, Magnitude, Mel, Logarithm, Execution)
    def __init__(
        self,
        *,
        sample_rate: float,
        power: float = 2.0,
        trainable_mel: bool = False,
        **settings: Unpack[LogMelSpectrogramOptions],
    ) -> None:
        check_rate(sample_rate, "the filters lie in Hz")
        super().__init__(settings, sample_rate=sample_rate, power=check_power(power))
        _, bank = keep_mel(self, settings, trainable=trainable_mel)
        logarithm = pick(Logarithm, settings)
        self.keep(logarithm)
        limit = () if logarithm.range is None else (Limit(logarithm.range),)
        self._steps = (bank, Logarithms(logarithm.step(check_power(power))), *limit)

    @property
    def frequencies(self) -> torch.Tensor:
        """Peak frequency of each filter of a log-mel spectrogram module in Hz. A float64 tensor of shape (n_mels,)."""
        return self._mel.frequencies
