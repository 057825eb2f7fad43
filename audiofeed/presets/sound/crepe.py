"""The frames of samples that CREPE takes, a pitch tracker."""

from __future__ import annotations

from torch import nn

from audiofeed.arguments.checks import check_count
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.normalization.frames import NormalizeFrames
from audiofeed.transforms.short_time.frame_waveform import FrameWaveform


def crepe(*, hop_length: int = 160, center: bool = True, unbiased: bool = False) -> nn.Module:
    """Return the front-end of CREPE, Kim et al. 2018, as the module that computes it: normalized frames of samples.

    The reference is `get_activation` of crepe's `core.py`.

    1. Frames of 1,024 samples, 160 apart, centered, zeros beyond the ends: 1 + n // 160 frames.
    2. Each frame less its mean, over its standard deviation, 1e-8 at least.

    Past a clip's end: 0. The model takes (frames, 1024): `features.mT[mask]` has those of a batch, in order.

    Args:
        hop_length: samples from frame to frame, 1 or more.
        center: step 1; False: frames begin at the clip's first sample, and there are those that lie inside it.
        unbiased: the variance is over n - 1, as in torchcrepe; False: over n.

    Returns:
        The module: (..., 1024, frames) from a waveform of 16 kHz (..., time) and lengths (batch,).

    >>> import torch
    >>> crepe()(torch.zeros(2, 16000)).shape
    torch.Size([2, 1024, 101])
    """
    hop = check_count("hop_length", hop_length)
    return Chain(
        FrameWaveform(1024, hop_length=hop, center=center, sample_rate=16000), NormalizeFrames(unbiased=unbiased)
    )
