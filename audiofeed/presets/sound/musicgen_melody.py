"""The chroma that MusicGen takes as a melody."""

from __future__ import annotations

import math

from torch import nn

from audiofeed.arguments.checks import check_positive
from audiofeed.presets.extractor_settings import ExtractorSettings
from audiofeed.signal.harmony.chroma import chroma_filterbank
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.harmony.chroma import Chroma
from audiofeed.transforms.normalization.frames import LargestBin
from audiofeed.transforms.waveform.padding import PadWaveform


def musicgen_melody(*, one_hot: bool = True, seconds: float | None = 30.0) -> nn.Module:
    """Return the chroma of MusicGen's melody, Copet et al. 2023, as the module that computes it.

    The reference is `MusicgenMelodyFeatureExtractor` of transformers, given a waveform.

    1. The clip is cut after 30 s; one shorter than 16,384 samples gets zeros before and behind it.
    2. Frames of 16,384 samples, 4,096 apart, centered, their ends reflected: 1 + n // 4,096 frames.
    3. |STFT|^2 with a periodic Hann window; 12 chroma filters as librosa's.
    4. 1 for the largest bin of each frame, the first of equal ones, 0 for the others.

    Past a clip's end: 0. The model takes (batch, frames, bins): `features.mT`.

    Args:
        one_hot: step 4; it has no gradient. False: the chroma itself, each frame's largest bin 1.
        seconds: s after which each clip is cut, > 0; None: never.

    Returns:
        The module: (..., 12, frames) from a waveform of 32 kHz (..., time) and lengths (batch,).

    Differs from the reference: that pads the waveforms of a batch with zeros before step 1, so that the last frames of
    a clip depend on its longest batch-mate. Stems separated by Demucs are summed, and resampled, by the dataset.

    >>> import torch
    >>> musicgen_melody()(torch.ones(2, 32000)).shape
    torch.Size([2, 12, 8])
    """
    samples = None if seconds is None else round(check_positive("seconds", seconds) * 32000)
    return _melody(one_hot=one_hot, samples=samples)


def _melody(
    *,
    one_hot: bool,
    samples: int | None,
    sample_rate: int = 32000,
    n_fft: int = 16384,
    hop_length: int = 4096,
    n_chroma: int = 12,
) -> nn.Module:
    return Chain(
        *([] if samples is None else [PadWaveform(to=samples, longer="crop", shorter="keep")]),
        PadWaveform(to=n_fft, longer="keep", place="center"),
        Chroma(
            sample_rate=sample_rate,
            n_fft=n_fft,
            hop_length=hop_length,
            pad_mode="reflect",
            n_chroma=n_chroma,
            tuning=0.0,
            norm=None if one_hot else math.inf,
        ),
        *([LargestBin()] if one_hot else []),
    )


def _of_extractor(settings: ExtractorSettings) -> nn.Module:
    settings.expect("padding_value", 0.0)
    settings.ignore("stem_indices", "spectrogram")  # of Demucs's stems; a module of the settings that are read here
    rate, n_fft, n_chroma = settings.take("sampling_rate"), settings.take("n_fft"), settings.take("feature_size")
    samples = settings.take("chunk_length") * rate
    settings.derived("n_samples", samples)
    chroma = chroma_filterbank(sample_rate=rate, n_fft=n_fft, n_chroma=n_chroma)
    settings.derived("chroma_filters", chroma)
    return _melody(
        one_hot=True,
        samples=samples,
        sample_rate=rate,
        n_fft=n_fft,
        hop_length=settings.take("hop_length"),
        n_chroma=n_chroma,
    )


EXTRACTORS = {"MusicgenMelodyFeatureExtractor": _of_extractor}
