"""Whisper's log-mel spectrogram."""

from __future__ import annotations

from typing import Any

from torch import nn

from audiofeed.arguments.checks import check_positive
from audiofeed.presets.extractor_settings import DITHER, ExtractorSettings
from audiofeed.signal.auditory.filterbanks import mel_filterbank
from audiofeed.transforms.auditory.mel import LogMelSpectrogram
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.normalization.constants import Normalize
from audiofeed.transforms.waveform.padding import PadWaveform


def whisper(*, n_mels: int = 80, seconds: float | None = 30.0) -> Chain:
    """Return Whisper's front-end, the log-mel spectrogram of Radford et al. 2022, as the module that computes it.

    The reference is `log_mel_spectrogram` of openai-whisper's `audio.py`, and transformers' `WhisperFeatureExtractor`.
    Qwen2-Audio and Voxtral take it with 128 bins.

    1. The clip is padded with zeros, or cut, to 30 s.
    2. Frames of 400 samples, 160 apart, centered, their ends reflected; the last is left out: n // 160 frames.
    3. |STFT|^2 with a periodic Hann window; mel filters with Slaney's scale and area, 0 to 8,000 Hz.
    4. log10(max(., 1e-10)), not below the clip's largest less 8; then (. + 4) / 4.

    Past a clip's end: silence, which counts as frames; with `seconds=None` 0, and n // 160 frames.

    Args:
        n_mels: bins, 80, or 128 for large-v3 and turbo; 1 or more.
        seconds: s that each clip is padded or cut to, > 0; None: clips as they are.

    Returns:
        The module: (..., n_mels, frames) from a waveform of 16 kHz (..., time) and lengths (batch,).

    Differs from the reference: the limit below the largest is the clip's own in a batch, too. With padding="longest"
    transformers' clips are padded to their longest batch-mate, and what it looks like at the end depends on that.

    >>> import torch
    >>> whisper()(torch.zeros(2, 16000)).shape, whisper(n_mels=128, seconds=None)(torch.zeros(2, 16000)).shape
    (torch.Size([2, 80, 3000]), torch.Size([2, 128, 100]))
    """
    return whisper_like(n_mels=n_mels, seconds=seconds)


def whisper_like(
    *,
    n_mels: int,
    seconds: float | None,
    sample_rate: int = 16000,
    n_fft: int = 400,
    hop_length: int = 160,
    longer: str = "crop",
) -> Chain:
    """Return a front-end of Whisper's kind, of other sizes."""
    samples = None if seconds is None else round(check_positive("seconds", seconds) * sample_rate)
    return Chain(
        *([] if samples is None else [PadWaveform(to=samples, longer=longer)]),
        LogMelSpectrogram(
            sample_rate=sample_rate,
            n_fft=n_fft,
            hop_length=hop_length,
            placement="hops",
            pad_mode="reflect",
            n_mels=n_mels,
            f_max=8000.0,
            log="log10",
            top=8.0,
        ),
        Normalize(mean=-4.0, std=4.0),
    )


def _of_extractor(settings: ExtractorSettings) -> nn.Module:
    return whisper_like(**whisper_settings(settings), seconds=settings.take("chunk_length"))


def whisper_settings(settings: ExtractorSettings) -> dict[str, Any]:
    """Return the sizes that an extractor of Whisper's kind has, and check what follows from them."""
    settings.expect("padding_value", 0.0)
    settings.expect("dither", 0.0, remedy=DITHER)
    rate, seconds, hop = settings.take("sampling_rate"), settings.take("chunk_length"), settings.take("hop_length")
    n_mels, n_fft = settings.take("feature_size"), settings.take("n_fft")
    settings.derived("n_samples", seconds * rate)
    settings.derived("nb_max_frames", seconds * rate // hop)
    settings.derived("mel_filters", mel_filterbank(sample_rate=rate, n_fft=n_fft, n_mels=n_mels, f_max=8000.0).T)
    return {"n_mels": n_mels, "sample_rate": rate, "n_fft": n_fft, "hop_length": hop}


EXTRACTORS = {"WhisperFeatureExtractor": _of_extractor}
