"""The log-mel patches of VGGish and YAMNet, AudioSet's models."""

from __future__ import annotations

from torch import nn

from audiofeed.transforms.auditory.mel import LogMelSpectrogram
from audiofeed.transforms.compose.chain import Chain
from audiofeed.transforms.short_time.stack_frames import StackFrames
from audiofeed.transforms.waveform.padding import PadWaveform

_FRAMES = 96  # of a patch
_SAMPLES = 15600  # of a patch: 95 hops and a window


def vggish(*, patches: bool = True) -> nn.Module:
    """Return the front-end of VGGish, Hershey et al. 2017, as the module that computes it.

    The reference is `waveform_to_examples` of VGGish's `vggish_input.py` and its `mel_features.py`.

    1. Whole frames of 400 samples inside the clip, 160 apart, a periodic Hann window, 512 points:
       1 + (n - 400) // 160 frames.
    2. |STFT|; 64 mel filters straight in mel (1127 ln(1 + f / 700)), peak 1, 125 to 7,500 Hz; ln(. + 0.01).
    3. Patches of 96 frames, 0.96 s, side by side; what does not fill one at the end is left out.

    Past a clip's last patch: 0. A clip shorter than 0.975 s, of which the reference makes none, is padded with zeros
    to one patch. The model takes patches (number, 96, 64): `features.movedim(-1, 1)[mask]` has those of a batch, in
    order.

    Args:
        patches: step 3; False: the frames themselves, of clips as they are.

    Returns:
        The module: (..., 96, 64, patches), without `patches` (..., 64, frames), from a waveform of 16 kHz (..., time)
        and lengths (batch,).

    >>> import torch
    >>> vggish()(torch.zeros(2, 48000)).shape, vggish(patches=False)(torch.zeros(2, 48000)).shape
    (torch.Size([2, 96, 64, 3]), torch.Size([2, 64, 298]))
    """
    mel = _mel(offset=0.01)
    if not patches:
        return mel
    return Chain(PadWaveform(to=_SAMPLES, longer="keep"), mel, StackFrames(_FRAMES, apart=True))


def yamnet(*, patches: bool = True) -> nn.Module:
    """Return the front-end of YAMNet, Plakal and Ellis 2019, as the module that computes it.

    The reference is `features.py` of YAMNet in tensorflow/models: `pad_waveform`, then
    `waveform_to_log_mel_spectrogram_patches`.

    1. Zeros up to 15,600 samples, and from there on to whole hops of 7,680.
    2. The frames, filters and magnitudes of `vggish`; ln(. + 0.001).
    3. Patches of 96 frames, 0.96 s, 48 frames apart.

    Past a clip's last patch: 0. The model takes patches (number, 96, 64): `features.movedim(-1, 1)[mask]` has those of
    a batch, in order.

    Args:
        patches: steps 1 and 3; False: the frames themselves, of clips as they are.

    Returns:
        The module: (..., 96, 64, patches), without `patches` (..., 64, frames), from a waveform of 16 kHz (..., time)
        and lengths (batch,).

    >>> import torch
    >>> yamnet()(torch.zeros(2, 48000)).shape, yamnet(patches=False)(torch.zeros(2, 48000)).shape
    (torch.Size([2, 96, 64, 6]), torch.Size([2, 64, 298]))
    """
    mel = _mel(offset=0.001)
    if not patches:
        return mel
    hop = _FRAMES // 2
    return Chain(
        PadWaveform(to=_SAMPLES, longer="keep", multiple=hop * 160), mel, StackFrames(_FRAMES, hop=hop, apart=True)
    )


def _mel(*, offset: float) -> LogMelSpectrogram:
    return LogMelSpectrogram(
        sample_rate=16000,
        n_fft=512,
        win_length=400,
        hop_length=160,
        placement="snip_edges",
        window_at="left",
        power=1.0,
        n_mels=64,
        mel_scale="kaldi",
        norm=None,
        f_min=125.0,
        f_max=7500.0,
        offset=offset,
        floor=None,
    )
