"""Log-mel spectrograms of Whisper's kind, of other lengths: Qwen, Voxtral, MOSS."""

from __future__ import annotations

import math

from torch import nn

from audiofeed.arguments.checks import check_count, check_positive
from audiofeed.presets.extractor_settings import ExtractorSettings
from audiofeed.presets.speech.whisper import whisper, whisper_like, whisper_settings
from audiofeed.signal.auditory.filterbanks import mel_filterbank
from audiofeed.transforms.auditory.mel import LogMelSpectrogram
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.normalization.constants import Normalize
from audiofeed.transforms.short_time.pad_frames import PadFrames
from audiofeed.transforms.waveform.padding import PadWaveform


def qwen2_audio(*, seconds: float | None = 30.0) -> Chain:
    """Return the front-end of Qwen2-Audio (2024) and of Qwen2.5-Omni, Whisper's with 128 bins, as a module.

    The reference is transformers' `WhisperFeatureExtractor` with feature_size=128: see `whisper` for its steps.

    Past a clip's end: silence, which counts as frames; with `seconds=None` 0.

    Args:
        seconds: s that each clip is padded or cut to, > 0; None: clips as they are.

    Returns:
        The module: (..., 128, frames) from a waveform of 16 kHz (..., time) and lengths (batch,).

    >>> import torch
    >>> qwen2_audio()(torch.zeros(2, 16000)).shape
    torch.Size([2, 128, 3000])
    """
    return whisper(n_mels=128, seconds=seconds)


def voxtral(*, seconds: float | None = 30.0) -> Chain:
    """Return the front-end of Voxtral (Mistral 2025), Whisper's with 128 bins, as a module.

    The reference is transformers' `WhisperFeatureExtractor` with feature_size=128: see `whisper` for its steps.
    Voxtral takes longer clips as several of 30 s; split them in the dataset, `af.Windows(30.0)`.

    Past a clip's end: silence, which counts as frames; with `seconds=None` 0.

    Args:
        seconds: s that each clip is padded or cut to, > 0; None: clips as they are.

    Returns:
        The module: (..., 128, frames) from a waveform of 16 kHz (..., time) and lengths (batch,).

    >>> import torch
    >>> voxtral()(torch.zeros(2, 16000)).shape
    torch.Size([2, 128, 3000])
    """
    return whisper(n_mels=128, seconds=seconds)


def qwen3_asr(*, n_mels: int = 128, n_window: int = 50, min_length: int = 8000) -> Chain:
    """Return the front-end of Qwen3-ASR (2026) as a module: Whisper's, of the whole clip.

    The reference is transformers' `Qwen3ASRFeatureExtractor` with padding=True, as its processor calls it.

    1. A clip of less than half a second is filled up with zeros, which count.
    2. The log-mel spectrogram of `whisper`, of n // 160 frames, its limit the clip's own largest value less 8.
    3. Frames padded with zeros to a multiple of 100, which do not count.

    Past a clip's end: 0.

    Args:
        n_mels: bins, 1 or more.
        n_window: half of the frames that the number of frames is brought up to a multiple of; 0: it is not.
        min_length: samples of the shortest clip, 1 or more; 0: of any.

    Returns:
        The module: (..., n_mels, frames) from a waveform of 16 kHz (..., time) and lengths (batch,).

    Differs from the reference: there, in a batch, clips are padded to the longest before the spectrogram, and their
    last frames look at zeros instead of a reflected end.

    >>> import torch
    >>> qwen3_asr()(torch.zeros(2, 16000)).shape
    torch.Size([2, 128, 100])
    """
    return _qwen3_asr(whisper_like(n_mels=n_mels, seconds=None), n_window, min_length)


def _qwen3_asr(spectrogram: Chain, n_window: int, min_length: int) -> Chain:
    shortest = [PadWaveform(to=min_length, longer="keep")] if min_length else []
    rule = "an integer number of frames, 1 or more; 0: none"
    multiple = [PadFrames(multiple=2 * check_count("n_window", n_window, rule))] if n_window else []
    return Chain(*shortest, *spectrogram, *multiple)


def voxtral_realtime(*, n_mels: int = 128, largest: float | None = 1.5) -> Chain:
    """Return the front-end of Voxtral Realtime (Mistral 2026) as a module: Whisper's, with one limit for all clips.

    The reference is transformers' `VoxtralRealtimeFeatureExtractor`.

    1. Frames of 400 samples, 160 apart, centered, their ends reflected; the last is left out: n // 160 frames.
    2. |STFT|^2 with a periodic Hann window; mel filters with Slaney's scale and area, 0 to 8,000 Hz.
    3. log10(max(., 1e-10)), not below `largest` less 8, which a stream knows beforehand; then (. + 4) / 4.

    Past a clip's end: 0.

    Args:
        n_mels: bins, 1 or more.
        largest: log10 of a mel value, finite; None: each clip's own.

    Returns:
        The module: (..., n_mels, frames) from a waveform of 16 kHz (..., time) and lengths (batch,).

    Differs from the reference: with largest=None it takes the largest value of a whole batch.

    >>> import torch
    >>> voxtral_realtime()(torch.zeros(2, 16000)).shape
    torch.Size([2, 128, 100])
    """
    return _voxtral_realtime(n_mels=n_mels, largest=largest)


def _voxtral_realtime(
    *, n_mels: int, largest: float | None, sample_rate: int = 16000, n_fft: int = 400, hop_length: int = 160
) -> Chain:
    limit = {"top": 8.0} if largest is None else {"floor": max(1e-10, 10.0 ** (largest - 8.0))}
    spectrogram = LogMelSpectrogram(
        sample_rate=sample_rate,
        n_fft=n_fft,
        hop_length=hop_length,
        placement="hops",
        pad_mode="reflect",
        n_mels=n_mels,
        f_max=8000.0,
        log="log10",
        **limit,
    )
    return Chain(spectrogram, Normalize(mean=-4.0, std=4.0))


def moss_transcribe(*, n_mels: int = 80, seconds: float = 30.0) -> Chain:
    """Return the front-end of MOSS-Transcribe-Diarize (2026), Whisper's for clips of one window, as a module.

    The reference is transformers' `MossTranscribeDiarizeFeatureExtractor`: see `whisper` for its steps. It splits
    longer audio into windows, each of which is a clip; here that is `af.Windows(30.0)` in the dataset.

    Past a clip's end: silence, which counts as frames.

    Args:
        n_mels: bins, 1 or more.
        seconds: s that each clip is padded to, > 0.

    Returns:
        The module: (..., n_mels, frames) from a waveform of 16 kHz (..., time) and lengths (batch,).

    Raises:
        ValueError: at the call, for a longer clip.

    >>> import torch
    >>> moss_transcribe()(torch.zeros(2, 16000)).shape
    torch.Size([2, 80, 3000])
    """
    return whisper_like(n_mels=n_mels, seconds=check_positive("seconds", seconds), longer="error")


def _of_qwen3_asr(settings: ExtractorSettings) -> nn.Module:
    spectrogram = whisper_like(**whisper_settings(settings), seconds=None)
    return _qwen3_asr(spectrogram, settings.take("n_window"), settings.take("min_length"))


def _of_voxtral_realtime(settings: ExtractorSettings) -> nn.Module:
    settings.expect("padding_value", 0.0)
    rate, n_fft, n_mels = settings.take("sampling_rate"), settings.take("n_fft"), settings.take("feature_size")
    filters = mel_filterbank(sample_rate=rate, n_fft=n_fft, n_mels=n_mels, f_max=8000.0)
    settings.derived("mel_filters", filters.T)
    # it says which frames a mask counts, and is no window
    settings.ignore("win_length")
    largest = settings.take("global_log_mel_max")
    if largest is not None and not math.isfinite(largest):
        settings.refuse("global_log_mel_max", "in which it is a finite number or None")
    hop = settings.take("hop_length")
    return _voxtral_realtime(n_mels=n_mels, largest=largest, sample_rate=rate, n_fft=n_fft, hop_length=hop)


def _of_moss(settings: ExtractorSettings) -> nn.Module:
    return whisper_like(**whisper_settings(settings), seconds=settings.take("chunk_length"), longer="error")


EXTRACTORS = {
    "MossTranscribeDiarizeFeatureExtractor": _of_moss,
    "Qwen3ASRFeatureExtractor": _of_qwen3_asr,
    "VoxtralRealtimeFeatureExtractor": _of_voxtral_realtime,
}
