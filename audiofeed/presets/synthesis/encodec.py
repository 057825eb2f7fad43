"""The waveforms that EnCodec and Mimi take, and the models that speak and play through them."""

from __future__ import annotations

from torch import nn

from audiofeed.arguments.checks import check_positive
from audiofeed.presets.extractor_settings import ExtractorSettings
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.waveform.padding import PadWaveform
from audiofeed.transforms.waveform.plain import Waveform


def encodec(*, sample_rate: int = 24000, chunk_seconds: float | None = None, overlap: float | None = None) -> nn.Module:
    """Return what EnCodec, Défossez et al. 2022, takes, as the module that computes it: waveforms of whole chunks.

    The reference is `EncodecFeatureExtractor` of transformers. MusicGen, CSM and Moshi have it without chunks. The
    normalization of each chunk by its root mean square, which the 48 kHz model has, is a part of the model.

    1. Without chunks: the clip as it is. With chunks: zeros up to whole chunks, (ceil(n / stride) - 1) stride + chunk
       samples, where the stride is (1 - overlap) chunk.

    Past a clip's end: 0; the zeros do not count, so that `frame_lengths` are the samples. The model takes
    (batch, channels, time): `waveforms[:, None]` if they are mono.

    Args:
        sample_rate: Hz, 24000, or 48000 for the stereo model.
        chunk_seconds: s, > 0, 1.0 for the 48 kHz model; None: no chunks.
        overlap: share of a chunk that the next one repeats, 0 to 1, 0.01 for the 48 kHz model; None: no chunks.

    Returns:
        The module: (..., time) from a waveform (..., time) and lengths (batch,).

    Raises:
        ValueError: for an overlap without chunks or outside its range.

    >>> import torch
    >>> encodec()(torch.zeros(2, 24000)).shape
    torch.Size([2, 24000])
    >>> encodec(sample_rate=48000, chunk_seconds=1.0, overlap=0.01)(torch.zeros(2, 2, 50000)).shape
    torch.Size([2, 2, 95520])
    """
    if overlap is not None and (chunk_seconds is None or not 0 <= overlap <= 1):
        raise ValueError(f"overlap={overlap!r} must be a share of a chunk, 0 to 1, and needs chunk_seconds")
    chunk = None if chunk_seconds is None else int(check_positive("chunk_seconds", chunk_seconds) * sample_rate)
    stride = None if chunk is None or overlap is None else max(1, int((1.0 - overlap) * chunk))
    if chunk is None or stride is None:
        return Waveform(sample_rate=sample_rate)
    return Chain(
        Waveform(sample_rate=sample_rate),
        PadWaveform(multiple=stride, counts=False),
        *([PadWaveform(after=chunk - stride, counts=False)] if chunk > stride else []),
    )


def mimi() -> nn.Module:
    """Return what Mimi, Défossez et al. 2024, takes, as the module that computes it: the waveform of each clip.

    The reference is `EncodecFeatureExtractor` of transformers, as Mimi's checkpoints have it. The model pads to whole
    frames of 1,920 samples itself.

    Past a clip's end: 0. The model takes (batch, 1, time): `waveforms[:, None]`.

    Returns:
        The module: (..., time) from a waveform of 24 kHz (..., time) and lengths (batch,).

    >>> import torch
    >>> mimi()(torch.zeros(2, 24001)).shape
    torch.Size([2, 24001])
    """
    return encodec()


def _of_extractor(settings: ExtractorSettings) -> nn.Module:
    settings.expect("padding_value", 0.0)
    settings.expect("feature_size", 1, 2)
    return encodec(
        sample_rate=settings.take("sampling_rate"),
        chunk_seconds=settings.take("chunk_length_s"),
        overlap=settings.take("overlap"),
    )


EXTRACTORS = {"EncodecFeatureExtractor": _of_extractor}
