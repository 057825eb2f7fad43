"""Phi-4-multimodal's filter banks."""

from __future__ import annotations

import math

from torch import nn

from audiofeed.presets.extractor_settings import ExtractorSettings
from audiofeed.presets.speech.kaldi_settings import FULL_SCALE
from audiofeed.signal.auditory.filterbanks import mel_filterbank
from audiofeed.transforms.auditory.mel import LogMelSpectrogram
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.normalization.rescale import Rescale


def phi4_multimodal(*, n_mels: int = 80) -> Chain:
    """Return the front-end of Phi-4-multimodal's speech encoder (Microsoft 2025) as a module.

    The reference is transformers' `Phi4MultimodalFeatureExtractor`.

    1. Frames of 400 samples, 160 apart, that lie inside the clip; pre-emphasis within the frame, x[i] - 0.97 x[i - 1],
       the first sample times 1 - 0.97; samples of 16-bit integers; the symmetric Hamming window at the left of 512
       points.
    2. |FFT|^2; Kaldi's triangles, straight in mel, 0 to 7,690 Hz; ln(max(., 1)).

    Past a clip's end: 0. A clip shorter than a frame has one, filled up with zeros.

    Args:
        n_mels: bins, 1 or more.

    Returns:
        The module: (..., n_mels, frames) from a waveform of 16 kHz (..., time) and lengths (batch,).

    >>> import torch
    >>> phi4_multimodal()(torch.zeros(2, 16000)).shape
    torch.Size([2, 80, 98])
    """
    return _phi4_multimodal(n_mels=n_mels)


def _phi4_multimodal(
    *,
    n_mels: int,
    sample_rate: int = 16000,
    n_fft: int = 512,
    win_length: int = 400,
    hop_length: int = 160,
    preemphasis: float = 0.97,
    filters: dict[str, object] | None = None,
) -> Chain:
    kaldi = {"n_mels": n_mels, "f_min": 0.0, "f_max": 7690.0, "mel_scale": "kaldi", "norm": None}
    spectrogram = LogMelSpectrogram(
        sample_rate=sample_rate,
        n_fft=n_fft,
        win_length=win_length,
        hop_length=hop_length,
        window="hamming",
        periodic=False,
        placement="snip_edges",
        window_at="left",
        preemphasis=preemphasis,
        floor=FULL_SCALE**-2,
        **(kaldi if filters is None else filters),  # type: ignore[arg-type]
    )
    return Chain(spectrogram, Rescale(add=2 * math.log(FULL_SCALE)))


def _of_extractor(settings: ExtractorSettings) -> nn.Module:
    settings.expect("padding_value", 0.0)
    # how many embeddings the model makes of the frames
    settings.ignore("audio_compression_rate", "audio_downsample_rate", "audio_feat_stride")
    rate, n_fft, n_mels = settings.take("sampling_rate"), settings.take("n_fft"), settings.take("feature_size")
    span = {"f_min": 0.0, "f_max": 7690.0}
    usual = mel_filterbank(sample_rate=rate, n_fft=n_fft, n_mels=n_mels, mel_scale="kaldi", norm=None, **span)
    # the limits of the filters are no attributes
    given = settings.filters("mel_filters", usual.T)
    return _phi4_multimodal(
        n_mels=n_mels,
        sample_rate=rate,
        n_fft=n_fft,
        win_length=settings.take("win_length"),
        hop_length=settings.take("hop_length"),
        preemphasis=settings.take("preemphasis"),
        filters=None if given is None else {"filters": given.T},
    )


EXTRACTORS = {"Phi4MultimodalFeatureExtractor": _of_extractor}
