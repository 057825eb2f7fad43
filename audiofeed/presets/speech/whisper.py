"""Whisper's log-mel spectrogram."""

from __future__ import annotations

from torch import nn

from audiofeed.presets.extractor_settings import ExtractorSettings
from audiofeed.signal.auditory.filterbanks import mel_filterbank
from audiofeed.transforms.auditory.mel import LogMelSpectrogram
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.normalization.constants import Normalize


def whisper(*, n_mels: int = 80) -> Chain:
    """Return Whisper's front-end, the log-mel spectrogram of Radford et al. 2022.

    The reference is `log_mel_spectrogram` of openai-whisper's `audio.py`, and transformers' `WhisperFeatureExtractor`.

    1. Frames of 400 samples, 160 apart, centered, their ends reflected; the last is left out: n // 160 frames.
    2. |STFT|^2 with a periodic Hann window; mel filters with Slaney's scale and area, 0 to 8,000 Hz.
    3. log10(max(., 1e-10)), not below the clip's largest less 8; then (. + 4) / 4.

    Past a clip's end: 0. Whisper takes 30 s of audio padded with silence: `GPUSpecCollate(whisper(), pad_to=30.0)`.

    Args:
        n_mels: bins, 80, or 128 for large-v3 and turbo.

    Returns:
        The module: (..., n_mels, frames) from a waveform of 16 kHz (..., time) and lengths (batch,).

    Differs from the reference: the limit below the peak is each clip's own in openai-whisper's batches too.

    >>> import torch
    >>> whisper(n_mels=128)(torch.zeros(2, 16000)).shape
    torch.Size([2, 128, 100])
    """
    return _whisper(n_mels=n_mels)


def _whisper(*, n_mels: int, sample_rate: int = 16000, n_fft: int = 400, hop_length: int = 160) -> Chain:
    return Chain(
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
    settings.expect("padding_value", 0.0)
    settings.expect("dither", 0.0, remedy="noise is drawn from each example's seed: GPUSpecCollate(augment=Dither())")
    rate, seconds, hop = settings.take("sampling_rate"), settings.take("chunk_length"), settings.take("hop_length")
    n_mels, n_fft = settings.take("feature_size"), settings.take("n_fft")
    settings.derived("n_samples", seconds * rate)
    settings.derived("nb_max_frames", seconds * rate // hop)
    settings.derived("mel_filters", mel_filterbank(sample_rate=rate, n_fft=n_fft, n_mels=n_mels, f_max=8000.0).T)
    return _whisper(n_mels=n_mels, sample_rate=rate, n_fft=n_fft, hop_length=hop)


EXTRACTORS = {"WhisperFeatureExtractor": _of_extractor}
