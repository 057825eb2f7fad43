"""The log-mel spectrogram of SpeechT5 and its vocoder."""

from __future__ import annotations

from torch import nn

from audiofeed.presets.extractor_settings import ExtractorSettings
from audiofeed.signal.auditory.filterbanks import mel_filterbank
from audiofeed.signal.windows import get_window
from audiofeed.transforms.auditory.mel import LogMelSpectrogram
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.compose.stack import Stack
from audiofeed.transforms.waveform.plain import Waveform
from audiofeed.transforms.waveform.standardization import NormalizeWaveform


def speecht5(
    *,
    sample_rate: int = 16000,
    n_fft: int = 1024,
    hop_length: int = 256,
    n_mels: int = 80,
    f_min: float = 80.0,
    f_max: float = 7600.0,
    floor: float = 1e-10,
) -> nn.Module:
    """Return the log-mel spectrogram of SpeechT5, Ao et al. 2022, as the module that computes it.

    It is what the decoder learns and what the vocoder takes; the encoder takes waveforms. The reference is
    `SpeechT5FeatureExtractor` of transformers, called with `audio_target=`.

    1. Frames of 1,024 samples, 256 apart, centered, their ends reflected: 1 + n // 256 frames.
    2. |STFT| with a periodic Hann window; 80 mel filters with Slaney's scale and area, 80 to 7,600 Hz.
    3. log10(max(., 1e-10)).

    Past a clip's end: 0. The model takes (batch, frames, bins): `features.mT`. `from_extractor` gives both,
    {"input_values": waveforms, "labels": this}.

    Args:
        sample_rate: Hz.
        n_fft: samples of a frame, a power of 2.
        hop_length: samples from frame to frame, 1 or more.
        n_mels: bins, 1 or more.
        f_min: Hz, the lower edge of the lowest filter.
        f_max: Hz, the upper edge of the highest filter.
        floor: the smallest value that is taken the logarithm of, > 0.

    Returns:
        The module: (..., n_mels, frames) from a waveform (..., time) and lengths (batch,).

    >>> import torch
    >>> speecht5()(torch.zeros(2, 16000)).shape
    torch.Size([2, 80, 63])
    """
    return _speecht5(
        sample_rate=sample_rate,
        n_fft=n_fft,
        hop_length=hop_length,
        n_mels=n_mels,
        f_min=f_min,
        f_max=f_max,
        floor=floor,
    )


def _speecht5(
    *,
    sample_rate: int,
    n_fft: int,
    hop_length: int,
    n_mels: int,
    f_min: float,
    f_max: float,
    floor: float,
    window: str = "hann",
) -> LogMelSpectrogram:
    return LogMelSpectrogram(
        sample_rate=sample_rate,
        n_fft=n_fft,
        hop_length=hop_length,
        pad_mode="reflect",
        window=window,
        power=1.0,
        n_mels=n_mels,
        f_min=f_min,
        f_max=f_max,
        log="log10",
        floor=floor,
    )


def _of_extractor(settings: ExtractorSettings) -> nn.Module:
    settings.expect("padding_value", 0.0)
    settings.expect("feature_size", 1)
    rate = settings.take("sampling_rate")
    n_fft, hop = settings.take("win_length") * rate // 1000, settings.take("hop_length") * rate // 1000
    settings.derived("sample_size", n_fft)
    settings.derived("sample_stride", hop)
    settings.expect("n_fft", n_fft, remedy="a window shorter than its frame stands elsewhere there; use a power of 2")
    settings.derived("n_freqs", n_fft // 2 + 1)
    window = settings.expect("win_function", "hann_window", "hann").removesuffix("_window")
    settings.derived("window", get_window(window, n_fft))
    n_mels, f_min, f_max = settings.take("num_mel_bins"), settings.take("fmin"), settings.take("fmax")
    filters = mel_filterbank(sample_rate=rate, n_fft=n_fft, n_mels=n_mels, f_min=f_min, f_max=f_max)
    settings.derived("mel_filters", filters.T)
    labels = _speecht5(
        sample_rate=rate,
        n_fft=n_fft,
        hop_length=hop,
        n_mels=n_mels,
        f_min=f_min,
        f_max=f_max,
        floor=settings.take("mel_floor"),
        window=window,
    )
    waveforms = Chain(*([NormalizeWaveform()] if settings.take("do_normalize") else []), Waveform(sample_rate=rate))
    return Stack(input_values=waveforms, labels=labels)


EXTRACTORS = {"SpeechT5FeatureExtractor": _of_extractor}
