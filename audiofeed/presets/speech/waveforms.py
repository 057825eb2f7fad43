"""Models that take waveforms: wav2vec 2.0 and its kin, Moonshine, OmniASR, Kyutai's speech to text, Muse Spark."""

from __future__ import annotations

from torch import nn

from audiofeed.arguments.checks import check_not_negative
from audiofeed.presets.extractor_settings import ExtractorSettings
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.waveform.padding import PadWaveform
from audiofeed.transforms.waveform.plain import Waveform
from audiofeed.transforms.waveform.standardization import NormalizeWaveform


def wav2vec2(*, normalize: bool = True, sample_rate: int = 16000) -> Chain:
    """Return what wav2vec 2.0 does to a waveform (Baevski et al. 2020): mean 0 and variance 1, as a module.

    HuBERT (`hubert`), WavLM, UniSpeech, data2vec and SEW have it too, where their configuration says do_normalize. The
    reference is transformers' `Wav2Vec2FeatureExtractor`.

    1. Each clip less the mean of its samples, over the root of their variance (of n) plus 1e-7.

    Past a clip's end: 0.

    Args:
        normalize: False: the samples as they are, as "do_normalize": false in a checkpoint's preprocessor_config.json
            has it.
        sample_rate: Hz.

    Returns:
        The module: (..., time) from a waveform (..., time) and lengths (batch,).

    Differs from the reference: without an attention mask, as most checkpoints have it, a clip's mean and variance there
    count what it is padded with in a batch.

    >>> import torch
    >>> wav2vec2()(torch.tensor([1.0, 3.0])).round().tolist()
    [-1.0, 1.0]
    """
    return Chain(*([NormalizeWaveform()] if normalize else []), Waveform(sample_rate=sample_rate))


def hubert(*, normalize: bool = True) -> Chain:
    """Return what HuBERT does to a waveform (Hsu et al. 2021): mean 0 and variance 1, as a module.

    The reference is transformers' `Wav2Vec2FeatureExtractor`, which HuBERT shares with wav2vec 2.0: see `wav2vec2`.

    Past a clip's end: 0.

    Args:
        normalize: as the large models have it; False: the samples as they are.

    Returns:
        The module: (..., time) from a waveform (..., time) and lengths (batch,).

    >>> import torch
    >>> hubert()(torch.tensor([1.0, 3.0])).round().tolist()
    [-1.0, 1.0]
    """
    return wav2vec2(normalize=normalize)


def moonshine() -> Chain:
    """Return what Moonshine does to a waveform (Jeffries et al. 2024): nothing, as a module that knows its rate.

    The reference is transformers' `Wav2Vec2FeatureExtractor` with do_normalize=False, which its checkpoints have.

    Past a clip's end: 0.

    Returns:
        The module: (..., time) from a waveform of 16 kHz (..., time) and lengths (batch,).

    >>> import torch
    >>> moonshine()(torch.tensor([1.0, 3.0])).tolist()
    [1.0, 3.0]
    """
    return wav2vec2(normalize=False)


def omniasr(*, normalize: bool = True, sample_rate: int = 16000) -> Chain:
    """Return what Omnilingual ASR does to a waveform (2025): mean 0 and variance 1, as a module.

    The reference is transformers' `OmniASRFeatureExtractor`, which follows the layer norm of the authors' repository
    (facebookresearch/omnilingual-asr).

    1. Each clip less the mean of its samples, over the root of their variance (of n) plus 1e-5.

    Past a clip's end: 0.

    Args:
        normalize: False: the samples as they are.
        sample_rate: Hz.

    Returns:
        The module: (..., time) from a waveform (..., time) and lengths (batch,).

    >>> import torch
    >>> omniasr()(torch.tensor([1.0, 3.0])).round().tolist()
    [-1.0, 1.0]
    """
    return Chain(*([NormalizeWaveform(eps=1e-5)] if normalize else []), Waveform(sample_rate=sample_rate))


def kyutai_speech_to_text(
    *, prefix_seconds: float = 0.0, delay_seconds: float = 0.0, sample_rate: int = 24000
) -> Chain:
    """Return what Kyutai's speech to text does to a waveform (2025): silence before and behind, as a module.

    The reference is transformers' `KyutaiSpeechToTextFeatureExtractor`.

    1. Zeros before the clip, and behind it those of the delay and of one second more.

    Past a clip's end: zeros, of which those that were added count.

    Args:
        prefix_seconds: s of silence before the clip, >= 0.
        delay_seconds: s of the model's delay, >= 0; 2.5 for the model of English, 0.5 for the small one.
        sample_rate: Hz.

    Returns:
        The module: (..., other time) from a waveform (..., time) and lengths (batch,).

    >>> import torch
    >>> kyutai_speech_to_text(delay_seconds=0.5)(torch.zeros(2, 24000)).shape
    torch.Size([2, 60000])
    """
    before = int(check_not_negative("prefix_seconds", prefix_seconds) * sample_rate)
    after = int((check_not_negative("delay_seconds", delay_seconds) + 1.0) * sample_rate)
    return Chain(PadWaveform(before=before, after=after), Waveform(sample_rate=sample_rate))


def muse_spark(*, samples_per_token: int = 1920, sample_rate: int = 24000) -> Chain:
    """Return what Muse Spark does to a waveform: zeros up to a multiple of the samples of a token, as a module.

    The reference is transformers' `MuseSparkFeatureExtractor`.

    1. Zeros behind the clip up to a multiple of 1,920 samples.

    Past a clip's end: zeros, of which those that were added to it count.

    Args:
        samples_per_token: samples, 1 or more.
        sample_rate: Hz.

    Returns:
        The module: (..., other time) from a waveform (..., time) and lengths (batch,).

    >>> import torch
    >>> muse_spark()(torch.zeros(2, 24000)).shape
    torch.Size([2, 24960])
    """
    return Chain(PadWaveform(multiple=samples_per_token), Waveform(sample_rate=sample_rate))


def _mono(settings: ExtractorSettings) -> None:
    settings.expect("padding_value", 0.0)
    settings.expect("feature_size", 1)


def _of_wav2vec2(settings: ExtractorSettings) -> nn.Module:
    _mono(settings)
    return wav2vec2(normalize=settings.take("do_normalize"), sample_rate=settings.take("sampling_rate"))


def _of_omniasr(settings: ExtractorSettings) -> nn.Module:
    _mono(settings)
    return omniasr(normalize=settings.take("do_normalize"), sample_rate=settings.take("sampling_rate"))


def _of_kyutai(settings: ExtractorSettings) -> nn.Module:
    _mono(settings)
    settings.expect("chunk_length_s", None)
    settings.expect("overlap", None)
    return kyutai_speech_to_text(
        prefix_seconds=settings.take("audio_silence_prefix_seconds"),
        delay_seconds=settings.take("audio_delay_seconds"),
        sample_rate=settings.take("sampling_rate"),
    )


def _of_muse_spark(settings: ExtractorSettings) -> nn.Module:
    _mono(settings)
    return muse_spark(samples_per_token=settings.take("samples_per_token"), sample_rate=settings.take("sampling_rate"))


EXTRACTORS = {
    "KyutaiSpeechToTextFeatureExtractor": _of_kyutai,
    "MuseSparkFeatureExtractor": _of_muse_spark,
    "OmniASRFeatureExtractor": _of_omniasr,
    "Wav2Vec2FeatureExtractor": _of_wav2vec2,
}
