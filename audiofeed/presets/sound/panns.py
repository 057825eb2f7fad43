"""The log-mel spectrogram of PANNs, audio taggers."""

from __future__ import annotations

from torch import nn

from audiofeed.transforms.auditory.mel import LogMelSpectrogram

_N_FFT = {32000: 1024, 16000: 512, 8000: 256}
_F_MAX = {32000: 14000.0, 16000: 8000.0, 8000: 4000.0}


def panns(*, sample_rate: int = 32000) -> nn.Module:
    """Return the front-end of PANNs (CNN14 and its kin), Kong et al. 2020, as the module that computes it.

    The reference is `audioset_tagging_cnn`, `pytorch/models.py`, whose `Spectrogram` and `LogmelFilterBank` are those
    of torchlibrosa.

    1. Frames of 1,024 samples (512 at 16 kHz, 256 at 8 kHz), 10 ms apart, centered, their ends reflected: 1 + n // 320
       frames.
    2. |STFT|^2 with a periodic Hann window; 64 mel filters with Slaney's scale and area, 50 to 14,000 Hz (8,000 and
       4,000).
    3. 10 log10(max(., 1e-10)), without a limit below the largest.

    Past a clip's end: 0. The models were trained on 10 s: `GPUSpecCollate(panns(), pad_to=10.0)`. They take
    (batch, 1, frames, bins): `features.mT[:, None]`.

    Args:
        sample_rate: Hz, 32000, or 16000 and 8000 for the models of these rates.

    Returns:
        The module: (..., 64, frames) from a waveform (..., time) and lengths (batch,).

    Raises:
        ValueError: for another sample rate.

    >>> import torch
    >>> panns()(torch.zeros(2, 32000)).shape
    torch.Size([2, 64, 101])
    """
    if sample_rate not in _N_FFT:
        raise ValueError(f"sample_rate={sample_rate!r} must be 32000, 16000 or 8000: the models are of these rates")
    return LogMelSpectrogram(
        sample_rate=sample_rate,
        n_fft=_N_FFT[sample_rate],
        hop_length=sample_rate // 100,
        pad_mode="reflect",
        n_mels=64,
        f_min=50.0,
        f_max=_F_MAX[sample_rate],
        log="db",
    )
