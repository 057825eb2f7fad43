"""Frames of samples as features, for models that take the waveform frame by frame."""

from __future__ import annotations

import torch

from audiofeed.arguments.checks import check_count, check_pad_mode
from audiofeed.methods.frames import Framing
from audiofeed.parallel.exports import first_columns
from audiofeed.transforms.contract.transform import Transform


class FrameWaveform(Transform):
    """Module that cuts a waveform into overlapping frames of samples, which are its features: no window, no spectrum.

    CREPE takes them, each with mean 0 and deviation 1: `Chain(FrameWaveform(1024, hop_length=160), NormalizeFrames())`.

    Args:
        frame_length: samples of a frame, 1 or more.
        hop_length: samples from frame to frame, 1 or more; None: frame_length // 4.
        center: frame f is centered on sample f * hop_length; False: it starts there, and a clip shorter than a frame is
            filled up with zeros.
        pad_mode: what stands beyond the ends of each clip: "constant" (zeros), "reflect", "symmetric", "replicate" or
            "circular", for any clip, however short.
        sample_rate: Hz; only `times` needs it.

    Returns:
        (..., frame_length, frames), from a waveform (..., time) and lengths (batch,).

    Raises:
        ValueError: for a setting outside its range.

    >>> FrameWaveform(4, hop_length=2, center=False)(torch.arange(8.0)).tolist()
    [[0.0, 2.0, 4.0], [1.0, 3.0, 5.0], [2.0, 4.0, 6.0], [3.0, 5.0, 7.0]]
    """

    framing: Framing
    is_light = True

    def __init__(
        self,
        frame_length: int,
        *,
        hop_length: int | None = None,
        center: bool = True,
        pad_mode: str = "constant",
        sample_rate: float | None = None,
    ) -> None:
        super().__init__(sample_rate)
        self.frame_length = check_count("frame_length", frame_length)
        hop = max(1, self.frame_length // 4) if hop_length is None else check_count("hop_length", hop_length)
        self.hop_length, self.center, self.pad_mode = hop, bool(center), check_pad_mode(pad_mode)
        self.framing = Framing(n_fft=self.frame_length, hop_length=hop, center=self.center, pad_mode=self.pad_mode)

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        framing = self.framing
        needed = framing.span(framing.count(waveform.shape[-1]))
        frames = framing.cut(first_columns(framing.pad(waveform, lengths), needed))
        return frames.transpose(1, 2).contiguous()
