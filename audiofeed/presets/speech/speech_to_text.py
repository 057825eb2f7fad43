"""Speech2Text's filter banks, normalized by utterance."""

from __future__ import annotations

from torch import nn

from audiofeed.presets.extractor_settings import DITHER, ExtractorSettings
from audiofeed.presets.speech.ast import check_kaldi_filters
from audiofeed.presets.speech.kaldi import kaldi_fbank
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.normalization.clips import NormalizeClips


def speech_to_text(
    *, n_mels: int = 80, normalize_means: bool = True, normalize_vars: bool = True, sample_rate: int = 16000
) -> Chain:
    """Return the front-end of Speech2Text (fairseq S2T, Wang et al. 2020), with utterance-level CMVN, as a module.

    The reference is transformers' `Speech2TextFeatureExtractor`, which follows fairseq's `utterance_cmvn.py`.

    1. Kaldi's log filter banks, as `kaldi_fbank` has them.
    2. Each bin less its mean over the clip's frames, over its standard deviation (of n).

    Past a clip's end: 0.

    Args:
        n_mels: bins, 1 or more.
        normalize_means: less the mean.
        normalize_vars: over the standard deviation; only with normalize_means.
        sample_rate: Hz.

    Returns:
        The module: (..., n_mels, frames) from a waveform (..., time) and lengths (batch,).

    Raises:
        ValueError: for normalize_vars without normalize_means.

    Differs from the reference: a bin that does not change is 0, there NaN.

    >>> import torch
    >>> speech_to_text()(torch.zeros(2, 16000)).shape
    torch.Size([2, 80, 98])
    """
    if normalize_vars and not normalize_means:
        raise ValueError("normalize_vars=True must come with normalize_means=True; pass normalize_vars=False")
    banks = kaldi_fbank(sample_rate=sample_rate, num_mel_bins=n_mels)
    if not normalize_means:
        return banks
    return Chain(banks[0], NormalizeClips(norm_vars=normalize_vars, unbiased=False, eps=0.0))


def _of_extractor(settings: ExtractorSettings) -> nn.Module:
    settings.expect("padding_value", 0.0)
    settings.expect("dither", 0.0, remedy=DITHER)
    settings.ignore("feature_size")
    rate, n_mels = settings.take("sampling_rate"), settings.take("num_mel_bins")
    check_kaldi_filters(settings, rate, n_mels, "povey")
    means, variances = settings.take("normalize_means"), settings.take("normalize_vars")
    if not settings.take("do_ceptral_normalize"):
        means = variances = False
    if variances and not means:
        settings.refuse("normalize_vars", "which divides by a deviation only what has lost its mean")
    return speech_to_text(n_mels=n_mels, normalize_means=means, normalize_vars=variances, sample_rate=rate)


EXTRACTORS = {"Speech2TextFeatureExtractor": _of_extractor}
