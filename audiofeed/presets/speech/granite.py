"""Granite Speech's stacked log-mel spectrograms."""

from __future__ import annotations

from typing import Any

from torch import nn

from audiofeed.presets.extractor_settings import ExtractorSettings
from audiofeed.transforms.auditory.log_compression import LogCompression
from audiofeed.transforms.auditory.mel import LogMelSpectrogram, MelSpectrogram
from audiofeed.transforms.cepstral.deltas import Deltas
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.normalization.rescale import Rescale
from audiofeed.transforms.short_time.pad_frames import PadFrames
from audiofeed.transforms.short_time.stack_frames import StackFrames


def granite_speech(*, n_mels: int = 80) -> Chain:
    """Return the front-end of Granite Speech (IBM 2025) as a module.

    The reference is transformers' `GraniteSpeechFeatureExtractor`, whose spectrogram is torchaudio's.

    1. Frames of 400 samples in the middle of 512 points, 160 apart, centered, their ends reflected.
    2. |STFT|^2 with a periodic Hann window; mel filters of peak 1, on HTK's scale, up to half the rate.
    3. log10(max(., 1e-10)), not below the clip's largest less 8; then (. + 4) / 4.
    4. Two frames become one, the bins of the first above those of the second; the last goes if it is left over.

    Past a clip's end: 0.

    Args:
        n_mels: bins of a frame, 1 or more.

    Returns:
        The module: (..., 2 * n_mels, frames // 2) from a waveform of 16 kHz (..., time) and lengths (batch,).

    Differs from the reference: there, in a batch, the largest is that of the padded clip, whose end is not reflected.

    >>> import torch
    >>> granite_speech()(torch.zeros(2, 16000)).shape
    torch.Size([2, 160, 50])
    """
    return _granite_speech(**_sizes(n_mels=n_mels))


def granite_speech5(*, n_mels: int = 80, delta_win_length: int = 3, top: float = 8.0) -> Chain:
    """Return the front-end of Granite Speech 5 (IBM 2026), with deltas, as a module.

    The reference is transformers' `GraniteSpeech5FeatureExtractor`, whose spectrogram and deltas are torchaudio's.

    1. and 2. As `granite_speech` has them. Of the frames an even number is left.
    3. log10(max(., 1e-10)), not below the clip's largest less 8; then (. + 4) / 4.
    4. Below them their deltas over 3 frames, the first and the last repeated beyond the ends.
    5. Two frames become one, the bins of the first above those of the second.

    Past a clip's end: 0.

    Args:
        n_mels: bins of a frame, 1 or more.
        delta_win_length: frames of a delta, odd, 3 or more.
        top: nothing lies more than this below the clip's largest, in log10, >= 0.

    Returns:
        The module: (..., 4 * n_mels, frames // 2) from a waveform of 16 kHz (..., time) and lengths (batch,).

    Differs from the reference: a clip whose samples are an odd number of hops is one zero longer there before its end
    is reflected. In a batch clips are padded to the longest there, whose end is not reflected, and the largest is that
    of the padded clip.

    >>> import torch
    >>> granite_speech5()(torch.zeros(2, 16000)).shape
    torch.Size([2, 320, 50])
    """
    return _granite_speech5(**_sizes(n_mels=n_mels), delta_win_length=delta_win_length, top=top)


def _sizes(
    *, n_mels: int, sample_rate: int = 16000, n_fft: int = 512, win_length: int = 400, hop_length: int = 160
) -> dict[str, Any]:
    """Return torchaudio's MelSpectrogram as arguments."""
    return {
        "sample_rate": sample_rate,
        "n_fft": n_fft,
        "win_length": win_length,
        "hop_length": hop_length,
        "pad_mode": "reflect",
        "n_mels": n_mels,
        "mel_scale": "htk",
        "norm": None,
    }


def _granite_speech(**sizes: Any) -> Chain:
    return Chain(LogMelSpectrogram(**sizes, log="log10", top=8.0), Rescale(add=4.0, divide=4.0), StackFrames(2))


def _granite_speech5(*, delta_win_length: int, top: float, **sizes: Any) -> Chain:
    return Chain(
        MelSpectrogram(**sizes),
        PadFrames(multiple=2, longer="crop", counts=True),
        LogCompression(log="log10", top=top),
        Rescale(add=4.0, divide=4.0),
        Deltas(delta_win_length, mode="nearest", append=True),
        StackFrames(2),
    )


def _check_spectrogram(settings: ExtractorSettings, sizes: dict[str, Any]) -> None:
    """Check torchaudio's MelSpectrogram, which the extractor keeps."""
    module = settings.take("mel_filters")
    told = {
        name: getattr(module, name, None) for name in ("sample_rate", "n_fft", "win_length", "hop_length", "n_mels")
    }
    told |= {"f_min": getattr(module, "f_min", None), "power": getattr(module, "power", None)}
    wanted = {**{name: sizes[name] for name in told if name in sizes}, "f_min": 0.0, "power": 2.0}
    if told != wanted:
        settings.refuse("mel_filters", f"in which it follows from the other settings: {told} is to be {wanted}")


def _of_granite_speech(settings: ExtractorSettings) -> nn.Module:
    settings.expect("padding_value", 0.0)
    # how many embeddings the model makes of the frames
    settings.ignore("projector_window_size", "projector_downsample_rate")
    given = settings.take("melspec_kwargs")
    settings.derived("feature_size", given["n_mels"])
    settings.derived("sampling_rate", given["sample_rate"])
    sizes = _sizes(**given)
    _check_spectrogram(settings, sizes)
    return _granite_speech(**sizes)


def _of_granite_speech5(settings: ExtractorSettings) -> nn.Module:
    settings.expect("padding_value", 0.0)
    n_mels = settings.take("num_mel_bins")
    settings.derived("feature_size", 4 * n_mels)
    names = ("n_fft", "win_length", "hop_length")
    sizes = _sizes(
        n_mels=n_mels, sample_rate=settings.take("sampling_rate"), **{name: settings.take(name) for name in names}
    )
    _check_spectrogram(settings, sizes)
    delta, top = settings.take("delta_win_length"), settings.take("logmel_floor_db")
    return _granite_speech5(**sizes, delta_win_length=delta, top=float(top))


EXTRACTORS = {
    "GraniteSpeech5FeatureExtractor": _of_granite_speech5,
    "GraniteSpeechFeatureExtractor": _of_granite_speech,
}
