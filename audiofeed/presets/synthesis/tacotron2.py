"""The log-mel spectrogram of Tacotron 2, WaveGlow and FastPitch, and Tortoise's."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from audiofeed.presets.extractor_settings import ExtractorSettings
from audiofeed.signal.auditory.filterbanks import mel_filterbank
from audiofeed.transforms.auditory.mel import LogMelSpectrogram
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.normalization.constants import Normalize
from audiofeed.transforms.waveform.padding import PadWaveform


def tacotron2() -> nn.Module:
    """Return the log-mel spectrogram of Tacotron 2, Shen et al. 2018, as the module that computes it.

    The reference is `TacotronSTFT` of NVIDIA's tacotron2, `layers.py`. WaveGlow and FastPitch have the same.

    1. Frames of 1,024 samples, 256 apart, centered, their ends reflected: 1 + n // 256 frames.
    2. |STFT| with a periodic Hann window; 80 mel filters with Slaney's scale and area, 0 to 8,000 Hz.
    3. ln(max(., 1e-5)).

    Past a clip's end: 0.

    Returns:
        The module: (..., 80, frames) from a waveform of 22.05 kHz (..., time) and lengths (batch,).

    >>> import torch
    >>> tacotron2()(torch.zeros(2, 22050)).shape
    torch.Size([2, 80, 87])
    """
    return LogMelSpectrogram(
        sample_rate=22050,
        n_fft=1024,
        hop_length=256,
        pad_mode="reflect",
        power=1.0,
        n_mels=80,
        f_max=8000.0,
        floor=1e-5,
    )


def clvp(*, mel_norms: Sequence[float] | None = None, seconds: float | None = 6.0) -> nn.Module:
    """Return the log-mel spectrogram of Tortoise and its CLVP, Betker 2023, as the module that computes it.

    The reference is `ClvpFeatureExtractor` of transformers.

    1. The clip is padded with zeros, or cut, to 6 s.
    2. Frames of 1,024 samples, 256 apart, centered, their ends reflected: 1 + n // 256 frames.
    3. |STFT|^2 with a periodic Hann window; 80 mel filters with HTK's scale and Slaney's area, 0 to 8,000 Hz.
    4. ln(max(., 1e-5)); then each bin over its norm.

    Past a clip's end: silence, which counts as frames; with `seconds=None` 0.

    Args:
        mel_norms: (80,) what each bin is divided by, > 0, as it comes with the model; None: nothing.
        seconds: s that each clip is padded or cut to, > 0; None: clips as they are.

    Returns:
        The module: (..., 80, frames) from a waveform of 22.05 kHz (..., time) and lengths (batch,).

    >>> import torch
    >>> clvp()(torch.zeros(2, 22050)).shape
    torch.Size([2, 80, 517])
    """
    samples = None if seconds is None else round(seconds * 22050)
    return _clvp(mel_norms=mel_norms, samples=samples)


def _clvp(
    *,
    mel_norms: Sequence[float] | None,
    samples: int | None,
    sample_rate: int = 22050,
    n_fft: int = 1024,
    hop_length: int = 256,
    n_mels: int = 80,
) -> nn.Module:
    return Chain(
        *([] if samples is None else [PadWaveform(to=samples, longer="crop")]),
        LogMelSpectrogram(
            sample_rate=sample_rate,
            n_fft=n_fft,
            hop_length=hop_length,
            pad_mode="reflect",
            n_mels=n_mels,
            f_max=8000.0,
            mel_scale="htk",
            floor=1e-5,
        ),
        *([] if mel_norms is None else [Normalize(mean=0.0, std=tuple(mel_norms))]),
    )


def _of_extractor(settings: ExtractorSettings) -> nn.Module:
    settings.expect("padding_value", 0.0)
    rate, n_fft, n_mels = settings.take("sampling_rate"), settings.take("n_fft"), settings.take("feature_size")
    hop_length, seconds = settings.take("hop_length"), settings.take("default_audio_length")
    most = settings.take("chunk_length") * rate  # of which the class makes no use
    settings.derived("n_samples", most)
    settings.derived("nb_max_frames", most // hop_length)
    filters = mel_filterbank(sample_rate=rate, n_fft=n_fft, n_mels=n_mels, f_max=8000.0, mel_scale="htk", norm="slaney")
    settings.derived("mel_filters", filters.T)
    return _clvp(
        mel_norms=settings.take("mel_norms"),
        samples=round(seconds * rate),
        sample_rate=rate,
        n_fft=n_fft,
        hop_length=hop_length,
        n_mels=n_mels,
    )


EXTRACTORS = {"ClvpFeatureExtractor": _of_extractor}
