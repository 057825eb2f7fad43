"""The log-mel spectrogram of PaSST and EfficientAT, audio taggers."""

from __future__ import annotations

from torch import nn

from audiofeed.transforms.auditory.mel import LogMelSpectrogram
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.normalization.constants import Normalize
from audiofeed.transforms.waveform.pre_emphasis import PreEmphasis


def passt(*, n_mels: int = 128, f_min: float = 0.0, f_max: float = 15000.0) -> nn.Module:
    """Return the front-end of PaSST, Koutini et al. 2022, as the module that computes it.

    The reference is `AugmentMelSTFT` of PaSST's `models/preprocess.py` in evaluation, with the settings of its
    experiments (fmin_aug_range=10, fmax_aug_range=2000). EfficientAT has the same.

    1. y[n] = x[n + 1] - 0.97 x[n], one sample shorter.
    2. Frames of 1,024 samples, 320 apart, centered, their ends reflected, a symmetric Hann window of 800 in their
       middle: 1 + (n - 1) // 320 frames.
    3. |STFT|^2; mel filters as Kaldi's (straight in mel, peak 1, not over the bin at half the rate), 0 to 15,000 Hz.
    4. (ln(. + 1e-5) + 4.5) / 5.

    Past a clip's end: 0. PaSST takes 10 s, 998 frames and 1 channel: `features[:, None]`. In training the reference
    draws the lower limit between 0 and 9 Hz more, the upper 1 kHz more or less, and masks frames and bins; here
    nothing is drawn.

    Args:
        n_mels: bins, 1 or more.
        f_min: Hz, the lower edge of the lowest filter.
        f_max: Hz, the upper edge of the highest filter, at most 16,000.

    Returns:
        The module: (..., n_mels, frames) from a waveform of 32 kHz (..., time) and lengths (batch,).

    >>> import torch
    >>> passt()(torch.zeros(2, 32000)).shape
    torch.Size([2, 128, 100])
    """
    return Chain(
        PreEmphasis(0.97, first="drop"),
        LogMelSpectrogram(
            sample_rate=32000,
            n_fft=1024,
            win_length=800,
            window="hann",
            periodic=False,
            hop_length=320,
            pad_mode="reflect",
            n_mels=n_mels,
            mel_scale="kaldi",
            norm=None,
            f_min=f_min,
            f_max=f_max,
            offset=1e-5,
            floor=None,
        ),
        Normalize(mean=-4.5, std=5.0),
    )


def efficientat(*, n_mels: int = 128, f_min: float = 0.0, f_max: float = 15000.0) -> nn.Module:
    """Return the front-end of EfficientAT (MobileNets, DyMN), Schmid et al. 2023, as the module that computes it.

    The reference is `AugmentMelSTFT` of EfficientAT's `models/preprocess.py` in evaluation: the steps of `passt`.

    Past a clip's end: 0. The models take any number of frames and 1 channel: `features[:, None]`.

    Args:
        n_mels: bins, 1 or more.
        f_min: Hz, the lower edge of the lowest filter.
        f_max: Hz, the upper edge of the highest filter, at most 16,000.

    Returns:
        The module: (..., n_mels, frames) from a waveform of 32 kHz (..., time) and lengths (batch,).

    >>> import torch
    >>> efficientat()(torch.zeros(2, 32000)).shape
    torch.Size([2, 128, 100])
    """
    return passt(n_mels=n_mels, f_min=f_min, f_max=f_max)
