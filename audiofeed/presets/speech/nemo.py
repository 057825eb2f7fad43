"""NeMo's log-mel spectrograms: Parakeet, Canary, Nemotron, and Cohere's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn

from audiofeed.arguments.checks import check_choice, check_count, check_positive
from audiofeed.presets.extractor_settings import DITHER, ExtractorSettings
from audiofeed.signal.auditory.filterbanks import mel_filterbank
from audiofeed.signal.windows import get_window
from audiofeed.transforms.auditory.mel import LogMelSpectrogram
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.normalization.clips import NormalizeClips
from audiofeed.transforms.short_time.pad_frames import PadFrames
from audiofeed.transforms.short_time.stack_frames import StackFrames
from audiofeed.transforms.waveform.pre_emphasis import PreEmphasis

_GUARD = 2.0**-24
_NORMALIZATIONS = ("per_feature", "all_features", None)


def nemo(
    *,
    sample_rate: int = 16000,
    features: int = 64,
    window_size: float = 0.02,
    window_stride: float = 0.01,
    window: str = "hann",
    n_fft: int | None = None,
    preemph: float | None = 0.97,
    lowfreq: float = 0.0,
    highfreq: float | None = None,
    mag_power: float = 2.0,
    log_zero_guard_type: str = "add",
    log_zero_guard_value: float = _GUARD,
    normalize: str | None = "per_feature",
    frame_splicing: int = 1,
    pad_to: int = 16,
    pad_value: float = 0.0,
    mel_norm: str | None = "slaney",
) -> Chain:
    """Return NeMo's front-end, `AudioToMelSpectrogramPreprocessor`, as a module, by its argument names.

    The reference is `FilterbankFeatures` in nemo/collections/asr/parts/preprocessing/features.py.

    1. Pre-emphasis over the clip, x[i] - 0.97 x[i - 1], the first sample as it is.
    2. Frames of 20 ms, 10 ms apart, centered, zeros beyond the ends: n // hop frames; the symmetric window in the
       middle of n_fft points, the next power of two.
    3. |STFT|^2; mel filters with Slaney's scale and area; ln(. + 2^-24).
    4. Each bin less its mean over the clip's frames, over their standard deviation (of n - 1) plus 1e-5.
    5. Frames padded to a multiple of 16 with zeros, which do not count.

    Past a clip's end: 0.

    Args:
        sample_rate: Hz.
        features: bins, 1 or more; 80 or 128 for most models.
        window_size: s of the window, > 0; 0.025 for most models.
        window_stride: s from frame to frame, > 0.
        window: "hann", "hamming", "blackman", "bartlett", or "ones"; symmetric.
        n_fft: points of the FFT, at least the window's; None: the next power of two.
        preemph: share of the sample before that is taken off; None: none.
        lowfreq: Hz, the lower edge of the lowest filter, >= 0.
        highfreq: Hz, the upper edge of the highest filter; None: half the sample rate.
        mag_power: exponent of the magnitude, > 0.
        log_zero_guard_type: "add", or "clamp" (no value below the guard).
        log_zero_guard_value: the guard, > 0.
        normalize: "per_feature", "all_features" (all values of a clip together), or None.
        frame_splicing: frames that become one, 1 or more; what is left over at the end goes.
        pad_to: the number of frames is brought up to a multiple of this; 0: it is not.
        pad_value: what the frames hold that are added, any finite number.
        mel_norm: "slaney", or None (filters of peak 1).

    Returns:
        The module: (..., frame_splicing * features, frames) from a waveform (..., time) and lengths (batch,).

    Differs from the reference: `dither` is noise (1e-5 by default there, in training too): draw it from each example's
    seed, `GPUSpecCollate(nemo(), augment=af.Dither(1e-5))`. A magnitude has no 1e-5 under its root where a gradient is
    asked for. Fixed normalizations (`normalize={"fixed_mean": ...}`) are `af.Normalize`, `exact_pad`, log=False and
    the narrow-band augmentation are left out.

    >>> import torch
    >>> nemo(features=80, window_size=0.025)(torch.zeros(2, 16000)).shape
    torch.Size([2, 80, 112])
    """
    check_choice("log_zero_guard_type", log_zero_guard_type, ("add", "clamp"))
    check_choice("normalize", normalize, _NORMALIZATIONS)
    guard = check_positive("log_zero_guard_value", log_zero_guard_value)
    win_length = int(check_positive("window_size", window_size) * sample_rate)
    members = _spectrogram(
        sample_rate=sample_rate,
        n_mels=features,
        n_fft=n_fft or 2 ** math.ceil(math.log2(win_length)),
        win_length=win_length,
        hop_length=int(check_positive("window_stride", window_stride) * sample_rate),
        preemphasis=preemph,
        window={"ones": "boxcar"}.get(window, window),
        power=mag_power,
        f_min=lowfreq,
        f_max=highfreq,
        norm=mel_norm,
        **({"offset": guard, "floor": None} if log_zero_guard_type == "add" else {"floor": guard}),
    )
    splicing = check_count("frame_splicing", frame_splicing, "an integer number of frames, 1 or more")
    members += [StackFrames(splicing)] if splicing > 1 else []
    if normalize is not None:
        members.append(NormalizeClips(over={"per_feature": "bin", "all_features": "clip"}[normalize]))
    return Chain(*members, *([PadFrames(multiple=pad_to, value=pad_value)] if pad_to else []))


def parakeet(*, n_mels: int = 80) -> Chain:
    """Return the front-end of Parakeet and Canary, NeMo's without padded frames, as a module.

    The reference is transformers' `ParakeetFeatureExtractor`, which follows NeMo's `FilterbankFeatures`.

    1. Pre-emphasis over the clip, x[i] - 0.97 x[i - 1], the first sample as it is.
    2. Frames of 400 samples, 160 apart, centered, zeros beyond the ends: n // 160 frames; the symmetric Hann window in
       the middle of 512 points.
    3. |STFT|^2; mel filters with Slaney's scale and area; ln(. + 2^-24).
    4. Each bin less its mean over the clip's frames, over their standard deviation (of n - 1) plus 1e-5.

    Past a clip's end: 0.

    Args:
        n_mels: bins, 80 or 128; 1 or more.

    Returns:
        The module: (..., n_mels, frames) from a waveform of 16 kHz (..., time) and lengths (batch,).

    Differs from the reference: one more frame is computed there, and set to 0. A bin that does not change is 0.

    >>> import torch
    >>> parakeet()(torch.zeros(2, 16000)).shape
    torch.Size([2, 80, 100])
    """
    return Chain(*_parakeet(n_mels=n_mels), NormalizeClips())


def nemotron(*, n_mels: int = 128, rounded: str = "float32") -> Chain:
    """Return the front-end of Nemotron's streaming recognizers, Parakeet's without normalization, as a module.

    The reference is transformers' `NemotronAsrStreamingFeatureExtractor`.

    1. to 3. As `parakeet` has them: pre-emphasis, centered frames, ln(mel + 2^-24).

    Past a clip's end: 0.

    Args:
        n_mels: bins, 1 or more.
        rounded: "float32", or "bfloat16": the window and the filters as numbers of that kind hold them, as some
            checkpoints do.

    Returns:
        The module: (..., n_mels, frames) from a waveform of 16 kHz (..., time) and lengths (batch,).

    >>> import torch
    >>> nemotron()(torch.zeros(2, 16000)).shape
    torch.Size([2, 128, 100])
    """
    return Chain(*_parakeet(n_mels=n_mels, rounded=rounded))


def cohere_asr(*, n_mels: int = 128) -> Chain:
    """Return the front-end of Cohere's speech recognizer, Parakeet's with 128 bins, as a module.

    The reference is transformers' `CohereAsrFeatureExtractor`: see `parakeet` for its steps.

    Past a clip's end: 0.

    Args:
        n_mels: bins, 1 or more.

    Returns:
        The module: (..., n_mels, frames) from a waveform of 16 kHz (..., time) and lengths (batch,).

    Differs from the reference: noise of 1e-5 is added there, seeded by the clip's length; here it is drawn from each
    example's seed, `GPUSpecCollate(cohere_asr(), augment=af.Dither(1e-5))`. Clips of more than 30 s are split there
    where they are quiet; split them in the dataset.

    >>> import torch
    >>> cohere_asr()(torch.zeros(2, 16000)).shape
    torch.Size([2, 128, 100])
    """
    return parakeet(n_mels=n_mels)


def _spectrogram(
    *, preemphasis: float | None, sample_rate: int, n_fft: int, win_length: int, window: Any, **others: Any
) -> list[nn.Module]:
    spectrogram = LogMelSpectrogram(
        sample_rate=sample_rate,
        n_fft=n_fft,
        win_length=win_length,
        window=window,
        periodic=False,
        placement="hops",
        log="ln",
        **others,
    )
    return [*([] if preemphasis is None else [PreEmphasis(preemphasis)]), spectrogram]


def _parakeet(
    *,
    n_mels: int,
    sample_rate: int = 16000,
    n_fft: int = 512,
    win_length: int = 400,
    hop_length: int = 160,
    preemphasis: float | None = 0.97,
    rounded: str = "float32",
) -> list[nn.Module]:
    filters: dict[str, Any] = {"n_mels": n_mels}
    window: Any = "hann"
    if check_choice("rounded", rounded, ("float32", "bfloat16")) == "bfloat16":
        window = _rounded(get_window("hann", win_length, periodic=False))
        filters = {"filters": _rounded(mel_filterbank(sample_rate=sample_rate, n_fft=n_fft, n_mels=n_mels))}
    return _spectrogram(
        sample_rate=sample_rate,
        n_fft=n_fft,
        win_length=win_length,
        hop_length=hop_length,
        preemphasis=preemphasis,
        window=window,
        offset=_GUARD,
        floor=None,
        **filters,
    )


def _rounded(values: np.ndarray) -> np.ndarray:
    """Return numbers as bfloat16 holds those of float32."""
    return torch.from_numpy(values).float().bfloat16().double().numpy()


def _settings(settings: ExtractorSettings) -> dict[str, Any]:
    settings.expect("padding_value", 0.0)
    rate, n_fft, n_mels = settings.take("sampling_rate"), settings.take("n_fft"), settings.take("feature_size")
    settings.derived("mel_filters", mel_filterbank(sample_rate=rate, n_fft=n_fft, n_mels=n_mels))
    return {
        "n_mels": n_mels,
        "sample_rate": rate,
        "n_fft": n_fft,
        "win_length": settings.take("win_length"),
        "hop_length": settings.take("hop_length"),
        "preemphasis": settings.take("preemphasis"),
    }


def _of_parakeet(settings: ExtractorSettings) -> nn.Module:
    return Chain(*_parakeet(**_settings(settings)), NormalizeClips())


def _of_nemotron(settings: ExtractorSettings) -> nn.Module:
    rounded = settings.expect("mel_filters_dtype", "float32", "bfloat16")
    return Chain(*_parakeet(**_settings(settings), rounded=rounded))


def _of_cohere(settings: ExtractorSettings) -> nn.Module:
    settings.expect("dither", 0.0, remedy=DITHER)
    # how clips of more than half a minute are split, which is done before any feature
    settings.ignore("max_audio_clip_s", "overlap_chunk_second", "min_energy_window_samples")
    return Chain(*_parakeet(**_settings(settings)), NormalizeClips())


EXTRACTORS = {
    "CohereAsrFeatureExtractor": _of_cohere,
    "NemotronAsrStreamingFeatureExtractor": _of_nemotron,
    "ParakeetFeatureExtractor": _of_parakeet,
}
