"""The waveforms that VibeVoice's and WavTokenizer's encoders take: brought to a level, of whole hops."""

from __future__ import annotations

from torch import nn

from audiofeed.presets.extractor_settings import ExtractorSettings
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.waveform.levels import NormalizePeak, NormalizeRMS
from audiofeed.transforms.waveform.padding import PadWaveform
from audiofeed.transforms.waveform.plain import Waveform


def vibevoice(
    *, sample_rate: int = 24000, level_db: float | None = -25.0, eps: float = 1e-6, hop_length: int = 3200
) -> nn.Module:
    """Return what VibeVoice's acoustic tokenizer, Peng et al. 2025, takes, as the module that computes it.

    The reference is `VibeVoiceAcousticTokenizerFeatureExtractor` of transformers.

    1. The clip times 10^(level / 20) over its root mean square plus eps; where its largest magnitude then exceeds 1,
       over that plus eps.
    2. Zeros up to a multiple of the hop.

    Past a clip's end: 0; the zeros do not count, so that `frame_lengths` are the samples. The model takes
    (batch, 1, time): `waveforms[:, None]`.

    Args:
        sample_rate: Hz.
        level_db: dB relative to full scale, any finite number; None: step 1 is left out.
        eps: added to what is divided by, >= 0.
        hop_length: samples of a code, 1 or more.

    Returns:
        The module: (..., time) from a waveform (..., time) and lengths (batch,).

    >>> import torch
    >>> vibevoice()(torch.zeros(2, 24000)).shape
    torch.Size([2, 25600])
    """
    padding = Chain(Waveform(sample_rate=sample_rate), PadWaveform(multiple=hop_length, counts=False))
    if level_db is None:
        return padding
    return Chain(NormalizeRMS(level_db=level_db, over="channel", floor=1e-30, eps=eps, most=1.0), *padding)


def wavtokenizer(*, sample_rate: int = 24000, level_db: float | None = None) -> nn.Module:
    """Return what WavTokenizer, Ji et al. 2025, takes, as the module that computes it: the waveform of each clip.

    The reference is `WavTokenizerFeatureExtractor` of transformers. Apertus 1.5 has level_db=-3.0.

    1. With a level: the clip's largest magnitude is brought to it.

    Past a clip's end: 0. The model takes (batch, 1, time), `waveforms[:, None]`, and pads to whole codes itself.

    Args:
        sample_rate: Hz.
        level_db: of the largest magnitude in dB relative to full scale, any finite number; None: step 1 is left out.

    Returns:
        The module: (..., time) from a waveform (..., time) and lengths (batch,).

    >>> import torch
    >>> wavtokenizer()(torch.zeros(2, 24001)).shape
    torch.Size([2, 24001])
    """
    as_it_is = Waveform(sample_rate=sample_rate)
    if level_db is None:
        return as_it_is
    return Chain(NormalizePeak(level_db=level_db, over="channel", floor=1e-10), as_it_is)


def _of_vibevoice(settings: ExtractorSettings) -> nn.Module:
    settings.expect("padding_value", 0.0)
    settings.expect("feature_size", 1)
    level_db, eps = settings.take("target_dB_FS"), settings.take("eps")
    return vibevoice(
        sample_rate=settings.take("sampling_rate"),
        level_db=level_db if settings.take("normalize_audio") else None,
        eps=eps,
        hop_length=settings.take("pad_to_multiple_of"),
    )


def _of_wavtokenizer(settings: ExtractorSettings) -> nn.Module:
    settings.expect("padding_value", 0.0)
    settings.expect("feature_size", 1)
    settings.ignore("hop_length")  # for the number of codes
    level_db = settings.take("target_peak_dB_FS")
    return wavtokenizer(
        sample_rate=settings.take("sampling_rate"), level_db=level_db if settings.take("normalize_audio") else None
    )


EXTRACTORS = {
    "VibeVoiceAcousticTokenizerFeatureExtractor": _of_vibevoice,
    "WavTokenizerFeatureExtractor": _of_wavtokenizer,
}
