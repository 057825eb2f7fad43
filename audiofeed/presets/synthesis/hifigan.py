"""The log-mel spectrograms of HiFi-GAN and BigVGAN, vocoders, and of Matcha-TTS, which speaks through them."""

from __future__ import annotations

from torch import nn

from audiofeed.transforms.auditory.mel import LogMelSpectrogram
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.normalization.constants import Normalize
from audiofeed.transforms.short_time.pad_frames import PadFrames


def vocoder_mel(
    *,
    sample_rate: int,
    n_fft: int,
    hop_length: int,
    n_mels: int,
    f_min: float = 0.0,
    f_max: float | None,
    root_offset: float = 1e-9,
    floor: float = 1e-5,
    window: str = "hann",
) -> LogMelSpectrogram:
    """Return a log-mel spectrogram of HiFi-GAN's kind, of other sizes."""
    return LogMelSpectrogram(
        sample_rate=sample_rate,
        n_fft=n_fft,
        hop_length=hop_length,
        placement="vocoder",
        pad_mode="reflect",
        window=window,
        power=1.0,
        root_offset=root_offset,
        n_mels=n_mels,
        f_min=f_min,
        f_max=f_max,
        floor=floor,
    )


def hifigan(
    *,
    sample_rate: int = 22050,
    n_fft: int = 1024,
    hop_length: int = 256,
    n_mels: int = 80,
    f_min: float = 0.0,
    f_max: float | None = 8000.0,
) -> nn.Module:
    """Return the log-mel spectrogram of HiFi-GAN, Kong et al. 2020, as the module that computes it.

    The reference is `mel_spectrogram` of hifi-gan's `meldataset.py`. With `f_max=None`, half the rate, it is that of
    the loss; gradients go through it.

    1. (n_fft - hop) / 2 samples of reflection before and after the clip; frames of n_fft samples, hop apart:
       n // hop frames.
    2. sqrt(re^2 + im^2 + 1e-9) with a periodic Hann window; mel filters with Slaney's scale and area, f_min to f_max.
    3. ln(max(., 1e-5)).

    Past a clip's end: 0.

    Args:
        sample_rate: Hz.
        n_fft: samples of a frame, 1 or more.
        hop_length: samples from frame to frame, 1 to n_fft.
        n_mels: bins, 1 or more.
        f_min: Hz, the lower edge of the lowest filter.
        f_max: Hz, the upper edge of the highest filter; None: half the rate.

    Returns:
        The module: (..., n_mels, frames) from a waveform (..., time) and lengths (batch,).

    >>> import torch
    >>> hifigan()(torch.zeros(2, 8192)).shape
    torch.Size([2, 80, 32])
    """
    return vocoder_mel(
        sample_rate=sample_rate, n_fft=n_fft, hop_length=hop_length, n_mels=n_mels, f_min=f_min, f_max=f_max
    )


def bigvgan(
    *,
    sample_rate: int = 24000,
    n_fft: int = 1024,
    hop_length: int = 256,
    n_mels: int = 100,
    f_min: float = 0.0,
    f_max: float | None = None,
) -> nn.Module:
    """Return the log-mel spectrogram of BigVGAN, Lee et al. 2023, as the module that computes it.

    The reference is `get_mel_spectrogram` of BigVGAN's `meldataset.py`: the steps of `hifigan`. The defaults are those
    of bigvgan_v2_24khz_100band_256x; bigvgan_v2_44khz_128band_512x has sample_rate=44100, n_fft=2048, hop_length=512,
    n_mels=128, and bigvgan_v2_22khz_80band_256x sample_rate=22050, n_mels=80.

    Past a clip's end: 0.

    Args:
        sample_rate: Hz.
        n_fft: samples of a frame, 1 or more.
        hop_length: samples from frame to frame, 1 to n_fft.
        n_mels: bins, 1 or more.
        f_min: Hz, the lower edge of the lowest filter.
        f_max: Hz, the upper edge of the highest filter; None: half the rate.

    Returns:
        The module: (..., n_mels, frames) from a waveform (..., time) and lengths (batch,).

    >>> import torch
    >>> bigvgan(sample_rate=44100, n_fft=2048, hop_length=512, n_mels=128)(torch.zeros(2, 8192)).shape
    torch.Size([2, 128, 16])
    """
    return vocoder_mel(
        sample_rate=sample_rate, n_fft=n_fft, hop_length=hop_length, n_mels=n_mels, f_min=f_min, f_max=f_max
    )


def matcha(*, mean: float = -5.536622, std: float = 2.116101) -> nn.Module:
    """Return the log-mel spectrogram of Matcha-TTS, Mehta et al. 2024, as the module that computes it.

    The reference is Matcha-TTS's `text_mel_datamodule.py` with the statistics of LJSpeech.

    1. The log-mel spectrogram of `hifigan`.
    2. (. - mean) / std.
    3. Frames padded with 0 to a multiple of 4, which do not count: `frame_lengths` is n // 256.

    Past a clip's end: 0, which is the mean here.

    Args:
        mean: of all values of the training set, any finite number; VCTK has -6.630575.
        std: their standard deviation, > 0; VCTK has 2.482914.

    Returns:
        The module: (..., 80, frames) from a waveform of 22.05 kHz (..., time) and lengths (batch,).

    >>> import torch
    >>> matcha()(torch.zeros(2, 22050)).shape
    torch.Size([2, 80, 88])
    """
    return Chain(hifigan(), Normalize(mean=mean, std=std), PadFrames(multiple=4))
