"""The waveforms that DAC and other codecs of whole hops take: Dia, X-Codec, Pocket TTS, PE audio."""

from __future__ import annotations

from torch import nn

from audiofeed.presets.extractor_settings import ExtractorSettings
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.waveform.padding import PadWaveform
from audiofeed.transforms.waveform.plain import Waveform

_HOPS = {16000: 320, 24000: 320, 44100: 512}


def dac(*, sample_rate: int = 44100, hop_length: int | None = None) -> nn.Module:
    """Return what DAC, Kumar et al. 2023, takes, as the module that computes it: waveforms of whole hops.

    The reference is `DacFeatureExtractor` of transformers. X-Codec and Higgs Audio have it, and Dia (44.1 kHz, whose
    `DiaFeatureExtractor` does as much).

    1. Zeros up to a multiple of the hop.

    Past a clip's end: 0; the zeros do not count, so that `frame_lengths` are the samples. The model takes
    (batch, 1, time): `waveforms[:, None]`.

    Args:
        sample_rate: Hz, 44100, 24000 or 16000.
        hop_length: samples of a code, 1 or more; None: 512 at 44.1 kHz, 320 at 16 and 24 kHz.

    Returns:
        The module: (..., time) from a waveform (..., time) and lengths (batch,).

    Raises:
        ValueError: for another sample rate without `hop_length`.

    >>> import torch
    >>> dac()(torch.zeros(2, 44100)).shape
    torch.Size([2, 44544])
    """
    if hop_length is None and sample_rate not in _HOPS:
        raise ValueError(f"sample_rate={sample_rate!r} must be 44100, 24000 or 16000, or pass hop_length too")
    hop = _HOPS[sample_rate] if hop_length is None else hop_length
    return Chain(Waveform(sample_rate=sample_rate), PadWaveform(multiple=hop, counts=False))


def pe_audio(*, hop_length: int = 1920) -> nn.Module:
    """Return what PE audio (Perception Encoder), Meta 2025, takes, as the module that computes it.

    The reference is `PeAudioFeatureExtractor` of transformers.

    1. Samples mirrored at the clip's end, without the last one, up to a multiple of the hop: they count as the clip's.

    Past a clip's end: 0. The model takes (batch, 1, time): `waveforms[:, None]`.

    Args:
        hop_length: samples, 1 or more.

    Returns:
        The module: (..., time) from a waveform of 48 kHz (..., time) and lengths (batch,).

    >>> import torch
    >>> pe_audio()(torch.zeros(2, 48000)).shape
    torch.Size([2, 48000])
    """
    return _mirrored(sample_rate=48000, hop_length=hop_length)


def _mirrored(*, sample_rate: int, hop_length: int) -> nn.Module:
    return Chain(Waveform(sample_rate=sample_rate), PadWaveform(multiple=hop_length, mode="reflect"))


def _of_dac(settings: ExtractorSettings) -> nn.Module:
    settings.expect("padding_value", 0.0)
    settings.expect("feature_size", 1, remedy="make the channels one in the dataset: AudioFolder(mono=True)")
    return dac(sample_rate=settings.take("sampling_rate"), hop_length=settings.take("hop_length"))


def _of_pe_audio(settings: ExtractorSettings) -> nn.Module:
    settings.expect("padding_value", 0.0)
    settings.expect("feature_size", 1)
    return _mirrored(sample_rate=settings.take("sampling_rate"), hop_length=settings.take("hop_length"))


def _of_pocket_tts(settings: ExtractorSettings) -> nn.Module:
    settings.expect("padding_value", 0.0)
    settings.expect("feature_size", 1)
    settings.expect(
        "end_on_pause",
        False,
        remedy="how long a prompt then is follows from its samples, not from their number; cut it in the dataset",
    )
    settings.ignore(
        "pause_duration", "fade_out_duration", "silence_floor_db", "analysis_frame_duration", "frame_size"
    )  # of the pause
    return dac(sample_rate=settings.take("sampling_rate"), hop_length=settings.take("pad_to_multiple_of"))


EXTRACTORS = {
    "DacFeatureExtractor": _of_dac,
    "DiaFeatureExtractor": _of_dac,
    "PeAudioFeatureExtractor": _of_pe_audio,
    "PocketTTSFeatureExtractor": _of_pocket_tts,
}
