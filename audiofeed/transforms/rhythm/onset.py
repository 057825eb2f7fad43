"""Onset strength: how much a mel spectrogram gains from frame to frame."""

from __future__ import annotations

import functools

from typing_extensions import Unpack

from audiofeed.arguments.checks import check_choice, check_count, check_rate
from audiofeed.arguments.setting_groups import pick
from audiofeed.arguments.signature import takes
from audiofeed.methods.rhythm.onsets import onset_strength
from audiofeed.transforms.auditory.settings import Mel, MelOptions, keep_mel
from audiofeed.transforms.contract.frame_settings import Frames, WindowOptions
from audiofeed.transforms.contract.logarithm_settings import Logarithm, LogOptions
from audiofeed.transforms.contract.method_settings import Execution, MethodOptions
from audiofeed.transforms.short_time.short_time_transform import ShortTime
from audiofeed.transforms.short_time.steps import Limit, Logarithms, PerClip

AGGREGATES = ("mean", "median")


class OnsetOptions(WindowOptions, MethodOptions, MelOptions, LogOptions, total=False):
    """Keyword arguments of the onset strength module."""

    n_fft: int
    placement: str | None
    pad_mode: str
    remove_dc: bool
    preemphasis: float


class OnsetStrength(ShortTime):
    """Onset strength (spectral flux of mels) as a module, equal to `librosa.onset.onset_strength`.

    The gain of each band in decibels since `lag` frames ago, losses counted as 0, averaged over the bands. As in
    librosa, decibels are limited to 80 below the clip's peak, all its channels together; batch-mates do not count; the
    arguments of the logarithm change that. The frames of the mel spectrogram are centered, or lie as `placement` says.

    Args:
        sample_rate: Hz.
        lag: frames between what is compared, 1 or more.
        max_size: bands, 1 or more: each is compared with the largest of so many around it.
        detrend: the slow part is filtered away, with a pole at 0.99.
        center: the result is delayed by half a frame, n_fft // (2 * hop_length) frames, because a centered frame sees
            an onset before its middle reaches it.
        aggregate: "mean" or "median" of the bands.
        trainable_mel: the filters are a parameter (`mel`, of shape (n_mels, n_fft // 2 + 1)).

    Returns:
        (..., 1, frames), from a waveform (..., time) and lengths (batch,).

    Differs from librosa: a row dimension stays; `hop_length=None` is win_length // 4 (there 512 whatever n_fft); the
    mels are exact in float64; a clip shorter than the lag has as many frames as any other feature of it. The feature is
    this mel spectrogram, and not any other.

    >>> import torch
    >>> OnsetStrength(sample_rate=16000, n_fft=1024)(torch.zeros(2, 1600)).shape
    torch.Size([2, 1, 7])
    """

    rows_are_bins = False

    @takes(Frames, Mel, Logarithm, Execution, log="db", top_db=80.0)
    def __init__(
        self,
        *,
        sample_rate: float,
        lag: int = 1,
        max_size: int = 1,
        detrend: bool = False,
        center: bool = True,
        aggregate: str = "mean",
        trainable_mel: bool = False,
        **settings: Unpack[OnsetOptions],
    ) -> None:
        check_rate(sample_rate, "the filters lie in Hz")
        super().__init__(settings, sample_rate=sample_rate, power=2.0)
        _, bank = keep_mel(self, settings, trainable=trainable_mel)
        self.lag = check_count("lag", lag, "an integer number of frames, 1 or more")
        self.max_size = check_count("max_size", max_size, "an integer number of bands, 1 or more")
        self.aggregate = check_choice("aggregate", aggregate, AGGREGATES)
        self.detrend, self.center = detrend, center
        strength = functools.partial(
            onset_strength,
            lag=self.lag,
            max_size=self.max_size,
            aggregate=aggregate,
            delay=self.n_fft // (2 * self.hop_length) if center else 0,
            detrend=detrend,
        )
        logarithm = pick(Logarithm, settings)
        self.keep(logarithm)
        limit = () if logarithm.range is None else (Limit(logarithm.range),)
        self._steps = (bank, Logarithms(logarithm.step(power=2.0)), *limit, PerClip(strength))
