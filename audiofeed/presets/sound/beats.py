"""The filter banks of BEATs, a model of sounds."""

from __future__ import annotations

import math

from torch import nn

from audiofeed.presets.known_filters import known_filters
from audiofeed.transforms.auditory.mel import LogMelSpectrogram
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.normalization.constants import Normalize
from audiofeed.transforms.normalization.rescale import Rescale


def beats(*, mean: float = 15.41663, std: float = 6.55582) -> nn.Module:
    """Return the front-end of BEATs, Chen et al. 2022, as the module that computes it.

    The reference is `BEATs.preprocess` of unilm's `beats/BEATs.py`, which calls torchaudio's `compliance.kaldi.fbank`.

    1. Samples times 2^15; whole frames of 400 samples inside the clip, 160 apart: 1 + (n - 400) // 160 frames.
    2. Each frame less its mean, pre-emphasis 0.97 within it, Povey's window, 512 points.
    3. |STFT|^2; 128 mel filters as Kaldi's (straight in mel, peak 1), 20 to 8,000 Hz; ln(max(., 2^-23)).
    4. (. - mean) / (2 std).

    One of the lowest filters holds no bin of the spectrum, as there. Past a clip's end: 0. A clip shorter than a frame
    has one, filled up with zeros. The model takes patches of 16 x 16 of (batch, frames, bins): `features.mT`.

    Args:
        mean: of all values of the training set, any finite number.
        std: their standard deviation, > 0.

    Returns:
        The module: (..., 128, frames) from a waveform of 16 kHz (..., time) and lengths (batch,).

    >>> import torch
    >>> beats()(torch.zeros(2, 16000)).shape
    torch.Size([2, 128, 98])
    """
    with known_filters():  # the lowest filter holds no bin, there too
        banks = LogMelSpectrogram(
            sample_rate=16000,
            n_fft=512,
            win_length=400,
            hop_length=160,
            placement="snip_edges",
            window="povey",
            periodic=False,
            window_at="left",
            remove_dc=True,
            preemphasis=0.97,
            n_mels=128,
            mel_scale="kaldi",
            norm=None,
            f_min=20.0,
            f_max=8000.0,
            floor=2.0**-53,  # 2^-23 of samples times 2^15
        )
    return Chain(banks, Rescale(add=30 * math.log(2)), Normalize(mean=mean, std=2 * std))
