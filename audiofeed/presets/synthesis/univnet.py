"""The log-mel spectrogram of UnivNet, a vocoder."""

from __future__ import annotations

import math

from torch import nn

from audiofeed.presets.extractor_settings import ExtractorSettings
from audiofeed.presets.synthesis.hifigan import vocoder_mel
from audiofeed.signal.auditory.filterbanks import mel_filterbank
from audiofeed.signal.windows import get_window
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.normalization.rescale import Rescale
from audiofeed.transforms.waveform.padding import PadWaveform

_MIN, _MAX = -11.512925148010254, 2.3143386840820312


def univnet(*, normalize: bool = False, seconds: float | None = None) -> nn.Module:
    """Return the log-mel spectrogram of UnivNet, Jang et al. 2021, as the module that computes it.

    The reference is `UnivNetFeatureExtractor` of transformers. The noise that it gives beside the features is no part
    of them.

    1. (1,024 - 256) / 2 samples of reflection before and after the clip; frames of 1,024 samples, 256 apart:
       n // 256 frames.
    2. sqrt(re^2 + im^2 + 1e-9) with a periodic Hann window; 100 mel filters with Slaney's scale and area, 0 to
       12,000 Hz.
    3. ln(max(., 1e-5)); with `normalize` this from -11.513 to 2.314 becomes -1 to 1.

    Past a clip's end: 0. The model takes (batch, frames, bins): `features.mT`.

    Args:
        normalize: step 3's second part.
        seconds: s after which each clip is cut, > 0; None: never. The reference cuts after 10.

    Returns:
        The module: (..., 100, frames) from a waveform of 24 kHz (..., time) and lengths (batch,).

    Differs from the reference: that pads the waveforms of a batch with zeros before step 1, so that the last frames of
    a clip depend on its longest batch-mate.

    >>> import torch
    >>> univnet()(torch.zeros(2, 24000)).shape
    torch.Size([2, 100, 93])
    """
    samples = None if seconds is None else round(seconds * 24000)
    return _chain(
        vocoder_mel(sample_rate=24000, n_fft=1024, hop_length=256, n_mels=100, f_max=None),
        samples=samples,
        span=(_MIN, _MAX) if normalize else None,
    )


def _chain(mel: nn.Module, *, samples: int | None, span: tuple[float, float] | None, add: float = 0.0) -> nn.Module:
    """Return a module that cuts clips, takes their log-mel spectrogram, and maps a span of it to -1 to 1."""
    cut = [] if samples is None else [PadWaveform(to=samples, longer="crop", shorter="keep")]
    scaled = [Rescale(add=add)] if add else []
    if span is not None:
        # 2 (x - low) / (high - low) - 1
        low, high = span
        scaled = [Rescale(add=add - (low + high) / 2, divide=(high - low) / 2)]
    return Chain(*cut, mel, *scaled)


def _of_extractor(settings: ExtractorSettings) -> nn.Module:
    settings.expect("padding_value", 0.0)
    settings.expect("feature_size", 1)
    settings.expect("center", False, remedy="frames of reflected clips are not centered once more")
    settings.ignore("pad_end_length", "model_in_channels")  # of the call with pad_end=True, and of the noise
    rate, hop_length = settings.take("sampling_rate"), settings.take("hop_length")
    n_fft, n_mels = settings.take("n_fft"), settings.take("num_mel_bins")
    settings.expect("win_length", n_fft, remedy="the class has no shorter window either")
    settings.expect("filter_length", n_fft, None)
    samples = settings.take("max_length_s") * rate
    settings.derived("num_max_samples", samples)
    settings.derived("n_freqs", n_fft // 2 + 1)
    window = settings.expect("win_function", "hann_window", "hann").removesuffix("_window")
    settings.derived("window", get_window(window, n_fft))
    f_min, f_max = settings.take("fmin"), settings.take("fmax")
    filters = mel_filterbank(sample_rate=rate, n_fft=n_fft, n_mels=n_mels, f_min=f_min, f_max=f_max)
    settings.derived("mel_filters", filters.T)
    low, high = settings.take("normalize_min"), settings.take("normalize_max")
    mel = vocoder_mel(
        sample_rate=rate,
        n_fft=n_fft,
        hop_length=hop_length,
        n_mels=n_mels,
        f_min=f_min,
        f_max=f_max,
        root_offset=settings.take("mel_floor"),
        floor=settings.take("compression_clip_val"),
        window=window,
    )
    return _chain(
        mel,
        samples=samples,
        span=(low, high) if settings.take("do_normalize") else None,
        add=math.log(settings.take("compression_factor")),
    )


EXTRACTORS = {"UnivNetFeatureExtractor": _of_extractor}
