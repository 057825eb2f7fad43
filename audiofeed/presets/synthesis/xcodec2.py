"""What X-Codec 2 and NeuCodec take: waveforms of whole hops, and Kaldi's filter banks for their semantic encoder."""

from __future__ import annotations

from torch import nn

from audiofeed.presets.extractor_settings import ExtractorSettings
from audiofeed.presets.speech.kaldi import kaldi_fbank
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.compose.stack import Stack
from audiofeed.transforms.normalization.clips import NormalizeClips
from audiofeed.transforms.short_time.stack_frames import StackFrames
from audiofeed.transforms.waveform.padding import PadWaveform
from audiofeed.transforms.waveform.plain import Waveform

_RATE = 16000


def xcodec2(*, hop_length: int = 320) -> Stack:
    """Return what X-Codec 2, Ye et al. 2025, takes, as the module that computes it: waveforms and filter banks.

    The reference is `Xcodec2FeatureExtractor` of transformers.

    1. Both: a zero behind the clip, then zeros up to a multiple of the hop.
    2. "input_values" is this waveform; the zeros after the first do not count: `frame_lengths` is n + 1.
    3. "input_features": half a hop of zeros before and behind it; Kaldi's 80 filter banks (`kaldi_fbank`); each bin
       less its mean over the clip, over the root of its variance (n - 1) plus 1e-7; pairs of frames side by side:
       ceil((n + 1) / 320) frames.

    Past a clip's end: 0. The model takes (batch, 1, time), `waveforms[:, None]`, and (batch, frames, bins),
    `features.mT`.

    Args:
        hop_length: samples of a code, 1 or more.

    Returns:
        The module: {"input_values": (..., time), "input_features": (..., 160, frames)} from a waveform of 16 kHz
        (..., time) and lengths (batch,).

    Differs from the reference: past a clip's end that has 1 in the features.

    >>> import torch
    >>> {name: tuple(found.shape) for name, found in xcodec2()(torch.zeros(2, 16000)).items()}
    {'input_values': (2, 16320), 'input_features': (2, 160, 51)}
    """
    return _stack(hop_length=hop_length, around=hop_length // 2)


def neucodec(*, hop_length: int = 320) -> Stack:
    """Return what NeuCodec, Neuphonic 2025, takes, as the module that computes it: waveforms and filter banks.

    The reference is `NeuCodecFeatureExtractor` of transformers: the steps of `xcodec2` without the zeros around the
    waveform before the filter banks, which have ceil((n + 1) / 320) - 1 frames.

    Past a clip's end: 0. A clip shorter than a frame has one, filled up with zeros.

    Args:
        hop_length: samples of a code, 1 or more.

    Returns:
        The module: {"input_values": (..., time), "input_features": (..., 160, frames)} from a waveform of 16 kHz
        (..., time) and lengths (batch,).

    Differs from the reference: past a clip's end that has 1 in the features.

    >>> import torch
    >>> {name: tuple(found.shape) for name, found in neucodec()(torch.zeros(2, 16000)).items()}
    {'input_values': (2, 16320), 'input_features': (2, 160, 50)}
    """
    return _stack(hop_length=hop_length, around=0)


def _stack(*, hop_length: int, around: int) -> Stack:
    return Stack(
        input_values=Chain(
            Waveform(sample_rate=_RATE), PadWaveform(after=1), PadWaveform(multiple=hop_length, counts=False)
        ),
        input_features=Chain(
            PadWaveform(after=1, multiple=hop_length),
            *([PadWaveform(before=around, after=around)] if around else []),
            *kaldi_fbank(num_mel_bins=80),
            NormalizeClips(eps=1e-7, eps_to="variance"),
            StackFrames(2),
        ),
    )


def _hop_of(settings: ExtractorSettings) -> int:
    settings.expect("sampling_rate", _RATE)
    settings.expect("feature_size", 80)
    # of the frames past a clip's end, 0 here, which a model does not hear: its mask leaves them out
    settings.expect("padding_value", 1.0, 0.0)
    padder = ExtractorSettings(
        f"{settings.cls}'s acoustic_encoder_padder", vars(settings.take("acoustic_encoder_padder"))
    )
    for name, value in (("feature_size", 1), ("sampling_rate", _RATE), ("padding_value", 0.0)):
        padder.expect(name, value)
    padder.finish()
    for name, value in (("stride", 2), ("num_mel_bins", 80), ("frame_length", 400), ("frame_shift", 160)):
        settings.derived(name, value)
    return int(settings.take("hop_length"))


def _of_xcodec2(settings: ExtractorSettings) -> nn.Module:
    return xcodec2(hop_length=_hop_of(settings))


def _of_neucodec(settings: ExtractorSettings) -> nn.Module:
    return neucodec(hop_length=_hop_of(settings))


EXTRACTORS = {"NeuCodecFeatureExtractor": _of_neucodec, "Xcodec2FeatureExtractor": _of_xcodec2}
