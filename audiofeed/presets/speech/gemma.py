"""Gemma's log-mel spectrograms, of Gemma 3n and Gemma 4."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from audiofeed.presets.extractor_settings import DITHER, ExtractorSettings
from audiofeed.presets.known_filters import known_filters
from audiofeed.signal.auditory.filterbanks import mel_filterbank
from audiofeed.signal.windows import get_window
from audiofeed.transforms.auditory.mel import LogMelSpectrogram
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.normalization.constants import Normalize
from audiofeed.transforms.waveform.padding import PadWaveform

# samples that the extractors cut clips at, and bring their number up to a multiple of
_MOST, _MULTIPLE = 480000, 128


def gemma3n(
    *,
    n_mels: int = 128,
    per_bin_mean: Sequence[float] | None = None,
    per_bin_stddev: Sequence[float] | None = None,
) -> Chain:
    """Return the front-end of Gemma 3n's audio encoder (2025), a Universal Speech Model, as a module.

    The reference is transformers' `Gemma3nAudioFeatureExtractor`.

    1. Zeros behind the clip up to a multiple of 128 samples; past 30 s it is cut.
    2. Frames of 32 ms, 10 ms apart, that lie inside the clip with one more sample; pre-emphasis within the frame,
       x[i] - 0.97 x[i - 1], the first sample times 1 - 0.97; the periodic Hann window at the left of 1,024 points.
    3. |FFT|; mel filters of peak 1, on HTK's scale, 125 to 7,600 Hz; ln(max(., 1e-5)).
    4. Less a mean and over a standard deviation of each bin, where they are given.

    Past a clip's end: 0.

    Args:
        n_mels: bins, 1 or more.
        per_bin_mean: (n_mels,) finite numbers; None: 0.
        per_bin_stddev: (n_mels,) numbers > 0; None: 1.

    Returns:
        The module: (..., n_mels, frames) from a waveform of 16 kHz (..., time) and lengths (batch,).

    Differs from the reference: in a batch it gives a clip up to three frames more, of the zeros behind it, which its
    mask counts as the clip's own.

    >>> import torch
    >>> gemma3n()(torch.zeros(2, 16000)).shape
    torch.Size([2, 128, 97])
    """
    return _gemma3n(n_mels=n_mels, per_bin_mean=per_bin_mean, per_bin_stddev=per_bin_stddev)


def gemma4(
    *,
    n_mels: int = 128,
    per_bin_mean: Sequence[float] | None = None,
    per_bin_stddev: Sequence[float] | None = None,
) -> Chain:
    """Return the front-end of Gemma 4's audio encoder (2026) as a module.

    The reference is transformers' `Gemma4AudioFeatureExtractor`.

    1. Past 30 s the clip is cut; 160 zeros before it.
    2. Frames of 20 ms, 10 ms apart, that lie inside the clip with one more sample; the periodic Hann window at the left
       of 512 points.
    3. |FFT|; mel filters of peak 1, on HTK's scale, 0 to 8,000 Hz; ln(. + 1e-3).
    4. Less a mean and over a standard deviation of each bin, where they are given.

    Past a clip's end: 0.

    Args:
        n_mels: bins, 1 or more.
        per_bin_mean: (n_mels,) finite numbers; None: 0.
        per_bin_stddev: (n_mels,) numbers > 0; None: 1.

    Returns:
        The module: (..., n_mels, frames) from a waveform of 16 kHz (..., time) and lengths (batch,).

    Differs from the reference: frames there that reach into zeros behind the clip are 0 and masked; here they are none.

    >>> import torch
    >>> gemma4()(torch.zeros(2, 16000)).shape
    torch.Size([2, 128, 99])
    """
    return _gemma4(n_mels=n_mels, per_bin_mean=per_bin_mean, per_bin_stddev=per_bin_stddev)


def _spectrogram(
    *,
    n_mels: int,
    per_bin_mean: Sequence[float] | None,
    per_bin_stddev: Sequence[float] | None,
    sample_rate: int,
    frame_length: int,
    hop_length: int,
    n_fft: int,
    scale: float,
    **others: Any,
) -> list[nn.Module]:
    with known_filters():
        spectrogram = LogMelSpectrogram(
            sample_rate=sample_rate,
            n_fft=n_fft,
            win_length=frame_length,
            hop_length=hop_length,
            placement="snip_edges",
            window_at="left",
            power=1.0,
            n_mels=n_mels,
            mel_scale="htk",
            norm=None,
            log="ln",
            **others,
        )
    if per_bin_mean is None and per_bin_stddev is None and scale == 1.0:
        return [spectrogram]
    mean = np.zeros(n_mels) if per_bin_mean is None else np.asarray(per_bin_mean, dtype=np.float64)
    std = np.ones(n_mels) if per_bin_stddev is None else np.asarray(per_bin_stddev, dtype=np.float64)
    return [spectrogram, Normalize(mean - math.log(scale), std)]


def _gemma3n(
    *,
    sample_rate: int = 16000,
    frame_length: int = 512,
    hop_length: int = 160,
    n_fft: int = 1024,
    f_min: float = 125.0,
    f_max: float = 7600.0,
    preemphasis: float = 0.97,
    mel_floor: float = 1e-5,
    scale: float = 1.0,
    **others: Any,
) -> Chain:
    return Chain(
        PadWaveform(to=_MOST, longer="crop", shorter="keep"),
        # the extra sample of each frame is used for nothing
        PadWaveform(multiple=_MULTIPLE),
        PadWaveform(after=-1),
        *_spectrogram(
            sample_rate=sample_rate,
            frame_length=frame_length,
            hop_length=hop_length,
            n_fft=n_fft,
            f_min=f_min,
            f_max=f_max,
            preemphasis=preemphasis,
            floor=mel_floor / scale,
            scale=scale,
            **others,
        ),
    )


def _gemma4(
    *,
    sample_rate: int = 16000,
    frame_length: int = 320,
    hop_length: int = 160,
    n_fft: int = 512,
    f_min: float = 0.0,
    f_max: float = 8000.0,
    preemphasis: float = 0.0,
    mel_floor: float = 1e-3,
    scale: float = 1.0,
    **others: Any,
) -> Chain:
    return Chain(
        PadWaveform(to=_MOST, longer="crop", shorter="keep"),
        PadWaveform(before=frame_length // 2, after=-1),
        *_spectrogram(
            sample_rate=sample_rate,
            frame_length=frame_length,
            hop_length=hop_length,
            n_fft=n_fft,
            f_min=f_min,
            f_max=f_max,
            preemphasis=preemphasis,
            offset=mel_floor / scale,
            floor=None,
            scale=scale,
            **others,
        ),
    )


def _settings(settings: ExtractorSettings) -> dict[str, Any]:
    settings.expect("padding_value", 0.0)
    settings.expect("dither", 0.0, remedy=DITHER)
    rate, n_mels, frame = settings.take("sampling_rate"), settings.take("feature_size"), settings.take("frame_length")
    preemphasis = settings.take("preemphasis")
    if not settings.take("preemphasis_htk_flavor") and preemphasis > 0:
        settings.refuse("preemphasis_htk_flavor", "whose first sample of a frame has none before it")
    n_fft = 2 ** math.ceil(math.log2(frame)) * (2 if settings.take("fft_overdrive") else 1)
    settings.derived("fft_length", n_fft)
    span = {"f_min": settings.take("min_frequency"), "f_max": settings.take("max_frequency")}
    filters = mel_filterbank(sample_rate=rate, n_fft=n_fft, n_mels=n_mels, mel_scale="htk", norm=None, **span)
    settings.derived("mel_filters", filters.T)
    settings.derived("window", get_window("hann", frame))
    constants = {name: settings.take(name) for name in ("per_bin_mean", "per_bin_stddev")}
    return {
        "n_mels": n_mels,
        "sample_rate": rate,
        "frame_length": frame,
        "hop_length": settings.take("hop_length"),
        "n_fft": n_fft,
        "preemphasis": preemphasis,
        "mel_floor": float(settings.take("mel_floor")),
        "scale": float(settings.take("input_scale_factor")),
        **{name: None if value is None else np.ravel(value) for name, value in constants.items()},
        **span,
    }


def _of_gemma3n(settings: ExtractorSettings) -> nn.Module:
    return _gemma3n(**_settings(settings))


def _of_gemma4(settings: ExtractorSettings) -> nn.Module:
    return _gemma4(**_settings(settings))


EXTRACTORS = {"Gemma3nAudioFeatureExtractor": _of_gemma3n, "Gemma4AudioFeatureExtractor": _of_gemma4}
