"""The log-mel spectrogram of Pop2Piano, which makes piano covers of songs."""

from __future__ import annotations

from torch import nn

from audiofeed.presets.extractor_settings import ExtractorSettings
from audiofeed.signal.auditory.filterbanks import mel_filterbank
from audiofeed.transforms.auditory.mel import LogMelSpectrogram


def pop2piano(
    *,
    sample_rate: int = 22050,
    n_fft: int = 4096,
    hop_length: int = 1024,
    n_mels: int = 512,
    f_min: float = 10.0,
) -> nn.Module:
    """Return the log-mel spectrogram of Pop2Piano, Choi and Lee 2022, as the module that computes it.

    The reference is `Pop2PianoFeatureExtractor` of transformers, of each segment that it cuts at the beats. Which those
    are, Essentia's beat tracker says there; here the segments are the clips, eight half beats each.

    1. Frames of 4,096 samples, 1,024 apart, centered, their ends reflected: 1 + n // 1,024 frames.
    2. |STFT|^2 with a periodic Hann window; 512 mel filters on HTK's scale, triangles in Hz of peak 1, 10 to 11,025 Hz.
    3. ln(max(., 1e-6)).

    Past a clip's end: 0. The reference pads a song's segments with zeros to the longest before step 1, so that the
    frames at the end of a shorter one are others there; `PadWaveform(to=...)` before this module does as much. The
    model takes (batch, frames, bins): `features.mT`.

    Args:
        sample_rate: Hz.
        n_fft: samples of a frame, 1 or more.
        hop_length: samples from frame to frame, 1 or more.
        n_mels: bins, 1 or more.
        f_min: Hz, the lower edge of the lowest filter.

    Returns:
        The module: (..., n_mels, frames) from a waveform (..., time) and lengths (batch,).

    >>> import torch
    >>> pop2piano(n_mels=128)(torch.zeros(2, 44100)).shape
    torch.Size([2, 128, 44])
    """
    return LogMelSpectrogram(
        sample_rate=sample_rate,
        n_fft=n_fft,
        hop_length=hop_length,
        pad_mode="reflect",
        n_mels=n_mels,
        f_min=f_min,
        f_max=float(sample_rate // 2),
        mel_scale="htk",
        norm=None,
        floor=1e-6,
    )


def _of_extractor(settings: ExtractorSettings) -> nn.Module:
    settings.expect("padding_value", 0)
    settings.ignore("num_bars")  # of the beats at which the reference cuts
    rate, n_fft = settings.take("sampling_rate"), settings.take("window_size")
    n_mels, f_min = settings.take("feature_size"), settings.take("min_frequency")
    filters = mel_filterbank(
        sample_rate=rate, n_fft=n_fft, n_mels=n_mels, f_min=f_min, f_max=float(rate // 2), mel_scale="htk", norm=None
    )
    settings.derived("mel_filters", filters.T)
    return pop2piano(sample_rate=rate, n_fft=n_fft, hop_length=settings.take("hop_length"), n_mels=n_mels, f_min=f_min)


EXTRACTORS = {"Pop2PianoFeatureExtractor": _of_extractor}
