"""SeamlessM4T's and wav2vec2-BERT's filter banks."""

from __future__ import annotations

from torch import nn

from audiofeed.presets.extractor_settings import ExtractorSettings
from audiofeed.presets.speech.ast import check_kaldi_filters
from audiofeed.presets.speech.kaldi import kaldi_fbank
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.normalization.clips import NormalizeClips
from audiofeed.transforms.short_time.stack_frames import StackFrames


def seamless(*, n_mels: int = 80, stride: int = 2, sample_rate: int = 16000) -> Chain:
    """Return the front-end of SeamlessM4T (2023) and of wav2vec2-BERT as a module.

    The reference is transformers' `SeamlessM4TFeatureExtractor`, which follows fairseq2's `WaveformToFbankConverter`.

    1. Kaldi's log filter banks, as `kaldi_fbank` has them.
    2. Each bin less its mean over the clip's frames, over the root of their variance (of n - 1) plus 1e-7.
    3. Two frames become one, the bins of the first above those of the second.

    Past a clip's end: 0. A frame that is left over at the end is in the statistics, and in no pair.

    Args:
        n_mels: bins of a frame, 1 or more.
        stride: frames that become one, 1 or more.
        sample_rate: Hz.

    Returns:
        The module: (..., stride * n_mels, frames // stride) from a waveform (..., time) and lengths (batch,).

    Differs from the reference: what is left over is there paired with zeros and masked.

    >>> import torch
    >>> seamless()(torch.zeros(2, 16000)).shape
    torch.Size([2, 160, 49])
    """
    banks = kaldi_fbank(sample_rate=sample_rate, num_mel_bins=n_mels, high_freq=sample_rate // 2)
    # what 2^15 adds to the logarithms goes with their mean
    normalized = NormalizeClips(eps=1e-7, eps_to="variance")
    return Chain(banks[0], normalized, *([StackFrames(stride)] if stride != 1 else []))


def _of_extractor(settings: ExtractorSettings) -> nn.Module:
    settings.expect("padding_value", 0.0)
    settings.ignore("feature_size")
    rate, n_mels = settings.take("sampling_rate"), settings.take("num_mel_bins")
    check_kaldi_filters(settings, rate, n_mels, "povey")
    return seamless(n_mels=n_mels, stride=settings.take("stride"), sample_rate=rate)


EXTRACTORS = {"SeamlessM4TFeatureExtractor": _of_extractor}
