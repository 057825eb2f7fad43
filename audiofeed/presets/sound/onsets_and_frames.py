"""The log-mel spectrogram of Onsets and Frames, which transcribes piano music."""

from __future__ import annotations

from torch import nn

from audiofeed.transforms.auditory.mel import LogMelSpectrogram


def onsets_and_frames() -> nn.Module:
    """Return the front-end of Onsets and Frames, Hawthorne et al. 2018, as the module that computes it.

    The reference is the PyTorch version `onsets-and-frames` by Kim, `mel.py`, called with all samples but the last.

    1. Frames of 2,048 samples, 512 apart, centered, their ends reflected, of the clip without its last sample:
       1 + (n - 1) // 512 frames.
    2. |STFT| with a periodic Hann window; 229 mel filters with HTK's scale and Slaney's area, 30 to 8,000 Hz.
    3. ln(max(., 1e-5)).

    Past a clip's end: 0. The model takes (batch, frames, bins): `features.mT`. Labels of a grid come with
    `FrameTargets`.

    Returns:
        The module: (..., 229, frames) from a waveform of 16 kHz (..., time) and lengths (batch,).

    >>> import torch
    >>> onsets_and_frames()(torch.zeros(2, 16384)).shape
    torch.Size([2, 229, 32])
    """
    return LogMelSpectrogram(
        sample_rate=16000,
        n_fft=2048,
        hop_length=512,
        placement="but_last_sample",
        pad_mode="reflect",
        power=1.0,
        n_mels=229,
        f_min=30.0,
        f_max=8000.0,
        mel_scale="htk",
        floor=1e-5,
    )
