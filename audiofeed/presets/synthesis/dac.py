"""The waveforms that DAC and other codecs of whole hops take: Dia, X-Codec, Pocket TTS, PE audio."""

from __future__ import annotations

import warnings

from torch import nn

from audiofeed.presets.extractor_settings import ExtractorSettings
from audiofeed.transforms.auditory.mel import LogMelSpectrogram
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.compose.stack import Stack
from audiofeed.transforms.waveform.padding import PadWaveform
from audiofeed.transforms.waveform.plain import Waveform

# samples of a frame and mel filters of each spectrogram in the loss
_RESOLUTIONS = tuple((32 * 2**i, 5 * 2**i) for i in range(7))
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


def dac_loss(*, sample_rate: float = 44100) -> Stack:
    """Return the log-mel spectrograms that DAC's loss compares, of seven resolutions, as the module that computes them.

    The reference is `MelSpectrogramLoss` of descript-audio-codec's `dac/nn/loss.py` with the settings of its `conf/`:
    the loss is the sum over the resolutions of the mean of |a - b|.

    1. Of n = 32, 64, 128, 256, 512, 1,024 and 2,048 samples: frames n / 4 apart, centered, their ends reflected; |STFT|
       with a periodic Hann window.
    2. 5, 10, 20, 40, 80, 160 and 320 mel filters with Slaney's scale and area, from 0 Hz to half the rate, of which the
       lowest of many hold no bin.
    3. log10(max(., 1e-5)).

    Past a clip's end: 0, in both, so that padding adds nothing to a sum. Gradients go through it.

    Args:
        sample_rate: Hz.

    Returns:
        The module: {"mel_5": (..., 5, frames), ..., "mel_320": (..., 320, frames)} from a waveform (..., time) and
        lengths (batch,).

    >>> import torch
    >>> found = dac_loss()(torch.zeros(2, 4410))
    >>> {name: tuple(mel.shape) for name, mel in found.items()}["mel_320"]
    (2, 320, 9)
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* filters hold no bin", UserWarning)
        return Stack(
            **{
                f"mel_{n_mels}": LogMelSpectrogram(
                    sample_rate=sample_rate,
                    n_fft=n_fft,
                    hop_length=n_fft // 4,
                    pad_mode="reflect",
                    power=1.0,
                    n_mels=n_mels,
                    log="log10",
                    floor=1e-5,
                )
                for n_fft, n_mels in _RESOLUTIONS
            }
        )


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
