"""Onset strength: how much a mel spectrogram gains from frame to frame."""

from __future__ import annotations

import torch

from audiofeed.methods.decibels import limit_range
from audiofeed.methods.rhythm.onsets import delayed, spectral_flux, without_drift
from audiofeed.signal.windows import Window
from audiofeed.transforms.auditory.mel import LogMelSpectrogram
from audiofeed.transforms.contract.checks import check_count

AGGREGATES = ("mean", "median")


class OnsetStrength(LogMelSpectrogram):
    """Spectral flux of a mel spectrogram, equal to `librosa.onset.onset_strength`.

    The gain of each band in decibels since `lag` frames ago, losses counted as 0, averaged over the bands. As in
    librosa, decibels are limited to 80 below the clip's peak, all its channels together; batch-mates do not count.

    Args:
        sample_rate: Hz.
        n_fft, hop_length, win_length, window, periodic, pad_mode, method, trainable: as in `STFT`; frames are centred.
        n_mels, f_min, f_max, mel_scale, norm, trainable_mel: as in `MelSpectrogram`.
        lag: frames between what is compared, 1 or more.
        max_size: bands, 1 or more: each is compared with the largest of so many around it.
        detrend: the slow part is filtered away, with a pole at 0.99.
        center: the result is delayed by half a frame, n_fft // (2 * hop_length) frames, because a centred frame sees an
            onset before its middle reaches it.
        aggregate: "mean" or "median" of the bands.

    Shape:
        waveform (..., time), lengths (batch,) -> (..., 1, frames).

    Raises:
        ValueError: for a setting outside its range, saying which.

    Differs from librosa: a row dimension stays; `hop_length=None` is win_length // 4 (there 512 whatever n_fft); the
    mels are exact in float64; a clip shorter than the lag has as many frames as any other feature of it. The feature is
    this mel spectrogram, and not any other.

    >>> OnsetStrength(sample_rate=16000, n_fft=1024)(torch.zeros(2, 1600)).shape
    torch.Size([2, 1, 7])
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
        pad_mode: str = "constant",
        n_mels: int = 128,
        f_min: float = 0.0,
        f_max: float | None = None,
        mel_scale: str = "slaney",
        norm: str | float | None = "slaney",
        lag: int = 1,
        max_size: int = 1,
        detrend: bool = False,
        center: bool = True,
        aggregate: str = "mean",
        method: str = "auto",
        trainable: bool = False,
        trainable_mel: bool = False,
    ) -> None:
        super().__init__(
            sample_rate=sample_rate,
            n_fft=n_fft,
            hop_length=hop_length,
            win_length=win_length,
            window=window,
            periodic=periodic,
            pad_mode=pad_mode,
            n_mels=n_mels,
            f_min=f_min,
            f_max=f_max,
            mel_scale=mel_scale,
            norm=norm,
            log="db",
            floor=1e-10,
            top_db=80.0,
            method=method,
            trainable=trainable,
            trainable_mel=trainable_mel,
        )
        self.lag = check_count("lag", lag, "a whole number of frames, 1 or more")
        self.max_size = check_count("max_size", max_size, "a whole number of bands, 1 or more")
        if aggregate not in AGGREGATES:
            raise ValueError(f"aggregate={aggregate!r} must be 'mean' or 'median'")
        self.detrend, self.aggregate = detrend, aggregate
        # `center` of the frames themselves is True whatever is asked here
        self._delay = self.n_fft // (2 * self.hop_length) if center else 0
        self._centered = center

    @property
    def frequencies(self) -> torch.Tensor:
        """Not there: an onset has none."""
        raise AttributeError("OnsetStrength has no frequencies: its one row counts all bands")

    def finish_clips(self, features: torch.Tensor, frames: torch.Tensor | None) -> torch.Tensor:
        decibels = limit_range(features, frames, 80.0)
        flux = spectral_flux(decibels, lag=self.lag, max_size=self.max_size, aggregate=self.aggregate)
        strength = delayed(flux, self._delay)
        return without_drift(strength) if self.detrend else strength

    def extra_repr(self) -> str:
        """The settings of the frames, of the filters, and of the flux."""
        frames = super().extra_repr().replace("center=True", f"center={self._centered}", 1)
        return (
            f"{frames}, lag={self.lag}, max_size={self.max_size}, detrend={self.detrend}, aggregate={self.aggregate!r}"
        )
