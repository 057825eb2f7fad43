"""The log-mel spectrograms of music taggers: MusiCNN, and FCN and the models trained beside it."""

from __future__ import annotations

import math

from torch import nn

from audiofeed.transforms.auditory.log_compression import LogCompression
from audiofeed.transforms.auditory.mel import LogMelSpectrogram, MelSpectrogram
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.normalization.rescale import Rescale


def musicnn(*, pad_mode: str = "constant") -> nn.Module:
    """Return the front-end of MusiCNN, Pons and Serra 2019, as the module that computes it.

    The reference is `batch_data` of musicnn's `extractor.py`, which calls librosa's `melspectrogram`.

    1. Frames of 512 samples, 256 apart, centered; beyond the ends zeros (librosa 0.10 and later): 1 + n // 256 frames.
    2. |STFT|^2 with a periodic Hann window; 96 mel filters with Slaney's scale and area, 0 to 8,000 Hz.
    3. log10(1 + 10,000 .).

    Past a clip's end: 0, the value of silence. The models take patches of 187 frames (3 s):
    `Chain(musicnn(), StackFrames(187, apart=True))`.

    Args:
        pad_mode: what stands beyond a clip's ends: "constant", or "reflect" as in librosa before 0.10, with which the
            models were trained.

    Returns:
        The module: (..., 96, frames) from a waveform of 16 kHz (..., time) and lengths (batch,).

    Differs from the reference: that rounds the filters' results to float16 before the logarithm.

    >>> import torch
    >>> musicnn()(torch.zeros(2, 16000)).shape
    torch.Size([2, 96, 63])
    """
    return Chain(
        MelSpectrogram(sample_rate=16000, n_fft=512, hop_length=256, pad_mode=pad_mode, n_mels=96),
        Rescale(divide=1e-4),
        LogCompression(log="log1p"),
        Rescale(divide=math.log(10)),
    )


def music_tagging(*, n_mels: int = 96) -> nn.Module:
    """Return the front-end of FCN and its kin, music taggers, Won et al. 2020, as the module that computes it.

    The reference is `sota-music-tagging-models`, `training/model.py`: torchaudio's `MelSpectrogram` and
    `AmplitudeToDB`, with the defaults of both. There FCN, CRNN, the short-chunk CNN and the self-attention models have
    it, followed by a batch normalization.

    1. Frames of 512 samples, 256 apart, centered, their ends reflected: 1 + n // 256 frames.
    2. |STFT|^2 with a periodic Hann window; mel filters on HTK's scale, triangles in Hz of peak 1, 0 to 8,000 Hz.
    3. 10 log10(max(., 1e-10)).

    Past a clip's end: 0. FCN takes 29.1 s, the short-chunk CNN 3.69 s: crops of the dataset. The models take 1 channel:
    `features[:, None]`.

    Args:
        n_mels: bins, 96, or 128 in the models of short chunks; 1 or more.

    Returns:
        The module: (..., n_mels, frames) from a waveform of 16 kHz (..., time) and lengths (batch,).

    >>> import torch
    >>> music_tagging()(torch.zeros(2, 16000)).shape
    torch.Size([2, 96, 63])
    """
    return LogMelSpectrogram(
        sample_rate=16000,
        n_fft=512,
        hop_length=256,
        pad_mode="reflect",
        n_mels=n_mels,
        mel_scale="htk",
        norm=None,
        log="db",
    )
