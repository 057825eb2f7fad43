"""The log-mel spectrogram of Vocos, a vocoder."""

from __future__ import annotations

from torch import nn

from audiofeed.arguments.checks import check_choice
from audiofeed.transforms.auditory.mel import LogMelSpectrogram


def vocos(
    *,
    sample_rate: int = 24000,
    n_fft: int = 1024,
    hop_length: int = 256,
    n_mels: int = 100,
    padding: str = "center",
) -> nn.Module:
    """Return the log-mel spectrogram of Vocos, Siuzdak 2024, as the module that computes it.

    The reference is `MelSpectrogramFeatures` of vocos's `feature_extractors.py`, which has torchaudio's
    `MelSpectrogram`.

    1. Frames of n_fft samples, hop apart, their ends reflected: with padding="center" centered, 1 + n // hop frames;
       with "same" of the clip with (n_fft - hop) / 2 samples of reflection at both ends, n // hop frames.
    2. |STFT| with a periodic Hann window; mel filters on HTK's scale, triangles in Hz of peak 1, up to half the rate.
    3. ln(max(., 1e-7)).

    Past a clip's end: 0.

    Args:
        sample_rate: Hz.
        n_fft: samples of a frame, 1 or more.
        hop_length: samples from frame to frame, 1 or more.
        n_mels: bins, 1 or more.
        padding: "center" or "same".

    Returns:
        The module: (..., n_mels, frames) from a waveform (..., time) and lengths (batch,).

    Raises:
        ValueError: for another `padding`.

    >>> import torch
    >>> vocos()(torch.zeros(2, 24000)).shape, vocos(padding="same")(torch.zeros(2, 24000)).shape
    (torch.Size([2, 100, 94]), torch.Size([2, 100, 93]))
    """
    check_choice("padding", padding, ("center", "same"))
    return LogMelSpectrogram(
        sample_rate=sample_rate,
        n_fft=n_fft,
        hop_length=hop_length,
        placement="center" if padding == "center" else "vocoder",
        pad_mode="reflect",
        power=1.0,
        n_mels=n_mels,
        mel_scale="htk",
        norm=None,
        floor=1e-7,
    )
