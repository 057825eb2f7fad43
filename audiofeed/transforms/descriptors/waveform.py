"""Level and zero crossings of the frames of a waveform."""

from __future__ import annotations

import functools

import torch

from audiofeed.arguments.checks import check_count, check_not_negative, check_pad_mode
from audiofeed.methods.descriptors import waveform as framewise
from audiofeed.methods.frames import Framing
from audiofeed.transforms.contract.transform import Transform


class WaveformDescriptor(Transform):
    """Base class of waveform descriptor modules: a number for each frame of the waveform itself."""

    framing: Framing

    def __init__(
        self, frame_length: int, hop_length: int | None, center: bool, pad_mode: str, sample_rate: float | None
    ) -> None:
        super().__init__(sample_rate)
        self.frame_length = check_count("frame_length", frame_length)
        self.hop_length = (
            max(1, self.frame_length // 4) if hop_length is None else check_count("hop_length", hop_length)
        )
        self.center, self.pad_mode = center, check_pad_mode(pad_mode)
        self.framing = Framing(n_fft=self.frame_length, hop_length=self.hop_length, center=center, pad_mode=pad_mode)


class RMS(WaveformDescriptor):
    """Root mean square (RMS) of each waveform frame as a module, equal to `librosa.feature.rms(y=...)`.

    Computed of the samples, without a window. librosa's other variant, `rms(S=...)`, is the same by Parseval's theorem
    for the magnitude of an STFT with window="boxcar"; with another window it weighs the middle of a frame, and is
    lower. A silent frame has gradient 0.

    Args:
        frame_length: samples of a frame.
        hop_length: samples from frame to frame; None: frame_length // 4.
        center: frame f is centered on sample f * hop_length; False: it starts there, and a clip shorter than a frame is
            filled up with zeros.
        pad_mode: what stands beyond the ends of a clip: "constant" (zeros), "reflect", "replicate" or "circular".
        sample_rate: Hz; only `times` needs it.

    Returns:
        (..., 1, frames), from a waveform (..., time) and lengths (batch,).

    Differs from librosa: float64 samples are squared in float64 (there in float32, unless dtype says otherwise).

    >>> RMS(400, hop_length=160)(torch.ones(2, 1600)).shape
    torch.Size([2, 1, 11])
    """

    is_light = True

    def __init__(
        self,
        frame_length: int = 2048,
        *,
        hop_length: int | None = None,
        center: bool = True,
        pad_mode: str = "constant",
        sample_rate: float | None = None,
    ) -> None:
        super().__init__(frame_length, hop_length, center, pad_mode, sample_rate)

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        return framewise.levels(waveform, lengths, self.framing, graph=graph)


class ZeroCrossingRate(WaveformDescriptor):
    """Zero-crossing rate of each waveform frame as a module, equal to `librosa.feature.zero_crossing_rate`.

    The share of a frame's samples at which the sign changes: a step function of the waveform, so no gradient flows.

    Args:
        frame_length: samples of a frame.
        hop_length: samples from frame to frame; None: frame_length // 4.
        center: frame f is centered on sample f * hop_length, and the first and last sample of a clip are repeated
            beyond its ends; False: it starts there, and a clip shorter than a frame is filled up with zeros.
        threshold: samples no larger than this are 0, >= 0.
        zero_pos: 0 counts as positive; False: as a sign of its own.
        pad: the first sample of each frame counts as a crossing.
        sample_rate: Hz; only `times` needs it.

    Returns:
        (..., 1, frames), from a waveform (..., time) and lengths (batch,).

    >>> ZeroCrossingRate(400, hop_length=160)(torch.ones(2, 1600)).shape
    torch.Size([2, 1, 11])
    """

    def __init__(
        self,
        frame_length: int = 2048,
        *,
        hop_length: int | None = None,
        center: bool = True,
        threshold: float = 1e-10,
        zero_pos: bool = True,
        pad: bool = False,
        sample_rate: float | None = None,
    ) -> None:
        super().__init__(frame_length, hop_length, center, "replicate", sample_rate)
        self.threshold = check_not_negative("threshold", threshold)
        self.zero_pos, self.pad = zero_pos, pad

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        function = functools.partial(
            framewise.crossings,
            framing=self.framing,
            threshold=self.threshold,
            zero_pos=self.zero_pos,
            pad=self.pad,
        )
        return framewise.of_frames(waveform, lengths, self.framing, function, graph=graph)
