"""The audio spectrogram transformer's filter banks."""

from __future__ import annotations

from torch import nn

from audiofeed.presets.extractor_settings import ExtractorSettings
from audiofeed.presets.known_filters import known_filters
from audiofeed.presets.speech.kaldi import kaldi_fbank
from audiofeed.signal.auditory.filterbanks import mel_filterbank
from audiofeed.signal.windows import get_window
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.normalization.constants import Normalize
from audiofeed.transforms.short_time.pad_frames import PadFrames

_MEAN, _STD = -4.2677393, 4.5689974


def ast(
    *, n_mels: int = 128, frames: int = 1024, mean: float | None = _MEAN, std: float = _STD, sample_rate: int = 16000
) -> Chain:
    """Return the front-end of the audio spectrogram transformer (AST, Gong et al. 2021), and of SSAST, as a module.

    The references are `dataloader.py` of the authors' repository (YuanGongND/ast) and transformers'
    `ASTFeatureExtractor`.

    1. Kaldi's log filter banks, as `kaldi_fbank` has them, with the symmetric Hann window and of samples as they are
       (not 16-bit integers).
    2. Padded with zeros, or cut, to 1,024 frames.
    3. (. - mean) / (2 std), the padding too.

    Past a clip's end: what zeros become, which count as frames.

    Args:
        n_mels: bins, 1 or more.
        frames: of every clip, 1 or more.
        mean: of the data set's log filter banks, a finite number; None: they are not normalized.
        std: their standard deviation, > 0; half of what is divided by. Without effect where mean is None.
        sample_rate: Hz.

    Returns:
        The module: (..., n_mels, frames) from a waveform (..., time) and lengths (batch,). The model of transformers
        takes frames before bins: `features.transpose(-1, -2)`, or `GPUSpecCollate(..., layout="frames_bins")`.

    Differs from the reference: a clip's own mean is not taken off first (the authors do, transformers does not): every
    frame loses its own. Clips shorter than a frame have one.

    >>> import torch
    >>> ast()(torch.zeros(2, 16000)).shape
    torch.Size([2, 128, 1024])
    """
    with known_filters():
        banks = kaldi_fbank(sample_rate=sample_rate, num_mel_bins=n_mels, window_type="hanning", full_scale=1.0)
    padded = PadFrames(to=frames, longer="crop", counts=True)
    return Chain(banks[0], padded, *([] if mean is None else [Normalize(mean=mean, std=2 * std)]))


def _of_extractor(settings: ExtractorSettings) -> nn.Module:
    settings.expect("padding_value", 0.0)
    settings.ignore("feature_size")
    rate, n_mels = settings.take("sampling_rate"), settings.take("num_mel_bins")
    mean, std = settings.take("mean"), settings.take("std")
    check_kaldi_filters(settings, rate, n_mels, "hann")
    return ast(
        n_mels=n_mels,
        frames=settings.take("max_length"),
        mean=mean if settings.take("do_normalize") else None,
        std=std,
        sample_rate=rate,
    )


def check_kaldi_filters(settings: ExtractorSettings, sample_rate: float, n_mels: int, window: str) -> None:
    """Check the filters and the window that an extractor has where torchaudio is not installed."""
    filters = mel_filterbank(
        sample_rate=sample_rate,
        n_fft=512,
        n_mels=n_mels,
        f_min=20.0,
        f_max=sample_rate // 2,
        mel_scale="kaldi",
        norm=None,
    )
    settings.derived("mel_filters", filters.T)
    settings.derived("window", get_window(window, 400, periodic=False))


EXTRACTORS = {"ASTFeatureExtractor": _of_extractor}
