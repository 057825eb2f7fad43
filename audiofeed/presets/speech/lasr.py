"""LASR's log-mel spectrogram, of MedASR."""

from __future__ import annotations

import numpy as np
from torch import nn

from audiofeed.presets.extractor_settings import ExtractorSettings
from audiofeed.presets.known_filters import known_filters
from audiofeed.signal.auditory.filterbanks import mel_filterbank
from audiofeed.transforms.auditory.mel import LogMelSpectrogram
from audiofeed.transforms.compose.chain import Chain

_SPAN = {"f_min": 125.0, "f_max": 7500.0}


def lasr(*, n_mels: int = 128) -> Chain:
    """Return the front-end of LASR, Google's MedASR (2025), as a module.

    The reference is transformers' `LasrFeatureExtractor`.

    1. Frames of 400 samples, 160 apart, that lie inside the clip; the symmetric Hann window at the left of 512 points.
    2. |FFT|^2; triangles straight in mel, 1127 ln(1 + f / 700), 125 to 7,500 Hz; ln(max(., 1e-5)).

    Past a clip's end: 0. A clip shorter than a frame has one, filled up with zeros.

    Args:
        n_mels: bins, 1 or more.

    Returns:
        The module: (..., n_mels, frames) from a waveform of 16 kHz (..., time) and lengths (batch,).

    >>> import torch
    >>> lasr()(torch.zeros(2, 16000)).shape
    torch.Size([2, 128, 98])
    """
    return _lasr(n_mels=n_mels)


def _lasr(
    *, n_mels: int, sample_rate: int = 16000, n_fft: int = 512, win_length: int = 400, hop_length: int = 160
) -> Chain:
    with known_filters():
        return Chain(
            LogMelSpectrogram(
                sample_rate=sample_rate,
                n_fft=n_fft,
                win_length=win_length,
                hop_length=hop_length,
                window="hann",
                periodic=False,
                placement="snip_edges",
                window_at="left",
                n_mels=n_mels,
                mel_scale="kaldi",
                norm=None,
                floor=1e-5,
                **_SPAN,  # type: ignore[arg-type]
            )
        )


def _of_extractor(settings: ExtractorSettings) -> nn.Module:
    settings.expect("padding_value", 0.0)
    rate, n_fft, n_mels = settings.take("sampling_rate"), settings.take("n_fft"), settings.take("feature_size")
    usual = mel_filterbank(sample_rate=rate, n_fft=n_fft, n_mels=n_mels, mel_scale="kaldi", norm=None, **_SPAN)
    settings.derived("mel_filters", np.ascontiguousarray(usual.T))
    return _lasr(
        n_mels=n_mels,
        sample_rate=rate,
        n_fft=n_fft,
        win_length=settings.take("win_length"),
        hop_length=settings.take("hop_length"),
    )


EXTRACTORS = {"LasrFeatureExtractor": _of_extractor}
