"""FunASR's filter banks at a low frame rate: Paraformer, SenseVoice, Fun-ASR-Nano."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from audiofeed.presets.extractor_settings import ExtractorSettings
from audiofeed.presets.speech.kaldi import kaldi_fbank
from audiofeed.presets.speech.kaldi_settings import FULL_SCALE
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.normalization.constants import Normalize
from audiofeed.transforms.short_time.stack_frames import StackFrames


def fun_asr_nano(
    *,
    n_mels: int = 80,
    frame_length: float = 25.0,
    frame_shift: float = 10.0,
    window_type: str = "hamming",
    lfr_m: int = 7,
    lfr_n: int = 6,
    sample_rate: int = 16000,
) -> Chain:
    """Return the front-end of Fun-ASR-Nano (2025) as a module: Kaldi's filter banks at a low frame rate.

    The reference is transformers' `FunAsrNanoFeatureExtractor`.

    1. Kaldi's log filter banks, as `kaldi_fbank` has them, with a Hamming window and of samples as they are (not 16-bit
       integers).
    2. Every sixth frame with three before and behind it, as one (low frame rate); the first and the last frame are
       repeated beyond the ends.

    Past a clip's end: 0.

    Args:
        n_mels: bins of a frame, 1 or more.
        frame_length: ms of a frame, > 0.
        frame_shift: ms from frame to frame, > 0.
        window_type: of `kaldi_fbank`.
        lfr_m: frames that become one, 1 or more.
        lfr_n: frames from one to the next, 1 or more.
        sample_rate: Hz.

    Returns:
        The module: (..., lfr_m * n_mels, ceil(frames / lfr_n)) from a waveform (..., time) and lengths (batch,).

    >>> import torch
    >>> fun_asr_nano()(torch.zeros(2, 16000)).shape
    torch.Size([2, 560, 17])
    """
    banks = kaldi_fbank(
        sample_rate=sample_rate,
        num_mel_bins=n_mels,
        frame_length=frame_length,
        frame_shift=frame_shift,
        window_type=window_type,
        full_scale=1.0,
    )
    return Chain(banks[0], StackFrames(lfr_m, hop=lfr_n, edges="replicate"))


def sense_voice(
    *,
    n_mels: int = 80,
    lfr_m: int = 7,
    lfr_n: int = 6,
    shift: Sequence[float] | None = None,
    scale: Sequence[float] | None = None,
) -> Chain:
    """Return the front-end of SenseVoice and Paraformer (FunASR 2023) as a module: `fun_asr_nano`'s of 16-bit integers.

    The reference is `WavFrontend` in funasr/frontends/wav_frontend.py (with dither=0.0), and asrfront's `sensevoice`.

    1. Kaldi's log filter banks, as `kaldi_fbank` has them, with a Hamming window.
    2. Every sixth frame with three before and behind it, as one; the first and the last frame are repeated.
    3. (. + shift) * scale of each bin, from the model's am.mvn.

    Past a clip's end: 0.

    Args:
        n_mels: bins of a frame, 1 or more.
        lfr_m: frames that become one, 1 or more.
        lfr_n: frames from one to the next, 1 or more.
        shift: (lfr_m * n_mels,) finite numbers, <AddShift> of am.mvn; None: 0.
        scale: (lfr_m * n_mels,) numbers > 0, <Rescale> of am.mvn; None: 1.

    Returns:
        The module: (..., lfr_m * n_mels, ceil(frames / lfr_n)) from a waveform of 16 kHz (..., time) and lengths
        (batch,).

    >>> import torch
    >>> sense_voice()(torch.zeros(2, 16000)).shape
    torch.Size([2, 560, 17])
    """
    banks = kaldi_fbank(num_mel_bins=n_mels, window_type="hamming", full_scale=FULL_SCALE)
    members = [*banks, StackFrames(lfr_m, hop=lfr_n, edges="replicate")]
    if shift is not None or scale is not None:
        added = np.zeros(lfr_m * n_mels) if shift is None else np.asarray(shift, dtype=np.float64)
        factor = np.ones(lfr_m * n_mels) if scale is None else np.asarray(scale, dtype=np.float64)
        members.append(Normalize(-added, 1.0 / factor))
    return Chain(*members)


def _of_extractor(settings: ExtractorSettings) -> nn.Module:
    settings.expect("padding_value", 0.0)
    return fun_asr_nano(
        n_mels=settings.take("feature_size"),
        frame_length=settings.take("frame_length"),
        frame_shift=settings.take("frame_shift"),
        window_type=settings.take("window"),
        lfr_m=settings.take("num_frames_lfr"),
        lfr_n=settings.take("stride_lfr"),
        sample_rate=settings.take("sampling_rate"),
    )


EXTRACTORS = {"FunAsrNanoFeatureExtractor": _of_extractor}
