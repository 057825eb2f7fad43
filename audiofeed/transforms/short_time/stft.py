"""The short-time Fourier transform and its powers."""

from __future__ import annotations

from typing_extensions import Unpack

from audiofeed.arguments.checks import check_power_or_complex
from audiofeed.arguments.signature import takes
from audiofeed.transforms.contract.frame_settings import Frames, ShortTimeOptions
from audiofeed.transforms.contract.magnitude_settings import Magnitude, MagnitudeOptions
from audiofeed.transforms.contract.method_settings import Execution
from audiofeed.transforms.short_time.short_time_transform import ShortTime


class STFT(ShortTime):
    """Module that computes the complex short-time Fourier transform (STFT), equal to `librosa.stft`.

    The window stands in the middle of `n_fft` samples; with `center=True` frame f is centered on sample f * hop_length,
    and each clip is extended past its own ends by `pad_mode`.

    Args:
        n_fft: samples of a frame, odd or even, 1 or more.
        sample_rate: Hz; only `frequencies` and `times` need it.

    Returns:
        complex (..., n_fft // 2 + 1, frames), from a waveform (..., time) and lengths (batch,).

    Raises:
        ValueError: for a window longer than n_fft, or a method that cannot do what is asked.

    Warns:
        UserWarning: at the call, for a clip shorter than n_fft.

    Differs from librosa: `pad_mode` has torch's names ("replicate" for "edge"), "circular" works, and so does a clip
    shorter than a frame with `center=False`. With `pad_mode="reflect"` and a hop of n_fft / 2 or more librosa spoils
    its last frame; here every frame is that of the clip padded beforehand.

    >>> import torch
    >>> stft = STFT(512, hop_length=128, sample_rate=16000)
    >>> stft(torch.zeros(2, 1000)).shape
    torch.Size([2, 257, 8])
    >>> stft.frame_lengths(torch.tensor([16000, 1])).tolist(), stft.times(3).tolist()
    ([126, 1], [0.0, 0.008, 0.016])
    """

    @takes(Frames, Execution)
    def __init__(
        self, n_fft: int = 2048, *, sample_rate: float | None = None, **settings: Unpack[ShortTimeOptions]
    ) -> None:
        super().__init__({**settings, "n_fft": n_fft}, sample_rate=sample_rate)


class SpectrogramOptions(ShortTimeOptions, MagnitudeOptions, total=False):
    """Keyword arguments of the spectrogram module."""


class Spectrogram(ShortTime):
    """Module that computes a spectrogram, |STFT|^power, or the complex STFT for `power=None`.

    Args:
        n_fft: samples of a frame, odd or even, 1 or more.
        power: 2.0 (power), 1.0 (magnitude), any number > 0, or None (complex).
        sample_rate: Hz; only `frequencies` and `times` need it.

    Returns:
        (..., n_fft // 2 + 1, frames), from a waveform (..., time) and lengths (batch,).

    Raises:
        ValueError: for a window longer than n_fft, or a method that cannot do what is asked.

    >>> import torch
    >>> Spectrogram(512, power=1.0)(torch.zeros(1000)).shape
    torch.Size([257, 8])
    """

    @takes(Frames, Magnitude, Execution)
    def __init__(
        self,
        n_fft: int = 2048,
        *,
        power: float | None = 2.0,
        sample_rate: float | None = None,
        **settings: Unpack[SpectrogramOptions],
    ) -> None:
        super().__init__({**settings, "n_fft": n_fft}, sample_rate=sample_rate, power=check_power_or_complex(power))
