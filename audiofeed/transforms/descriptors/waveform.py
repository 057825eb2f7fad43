"""Level and zero crossings of the frames of a waveform."""

from __future__ import annotations

import functools
import math

import torch

from audiofeed.methods.descriptors import waveform as framewise
from audiofeed.methods.frames import PAD_MODES, Framing
from audiofeed.transforms.contract.checks import check_count, check_rate
from audiofeed.transforms.contract.transform import Transform


class WaveformDescriptor(Transform):
    """What is computed of a waveform's own frames: the settings of the frames."""

    def __init__(
        self, frame_length: int, hop_length: int | None, center: bool, pad_mode: str, sample_rate: float | None
    ) -> None:
        super().__init__()
        self.frame_length = check_count("frame_length", frame_length)
        self.hop_length = (
            max(1, self.frame_length // 4) if hop_length is None else check_count("hop_length", hop_length)
        )
        if pad_mode not in PAD_MODES:
            raise ValueError(f"pad_mode={pad_mode!r} must be one of {PAD_MODES}")
        if sample_rate is not None:
            check_rate(sample_rate, "times are told by it")
        self.center, self.pad_mode = center, pad_mode
        self.sample_rate = sample_rate
        self._framing = Framing(n_fft=self.frame_length, hop_length=self.hop_length, center=center, pad_mode=pad_mode)

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Frames of clips of `lengths` samples."""
        return self._framing.count(lengths)

    def times(self, n_frames: int) -> torch.Tensor:
        """The center of each frame in seconds, float64.  Shape: (n_frames,). Needs `sample_rate`."""
        if self.sample_rate is None:
            raise ValueError("times needs the sample rate; make the transform with sample_rate=...")
        center = 0.0 if self.center else self.frame_length / 2
        return (torch.arange(n_frames, dtype=torch.float64) * self.hop_length + center) / self.sample_rate


class RMS(WaveformDescriptor):
    """The root mean square of each frame of a waveform: equal to `librosa.feature.rms(y=...)`.

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
        function = functools.partial(framewise.level, framing=self._framing)
        return framewise.of_frames(waveform, lengths, self._framing, function, graph=graph)

    def extra_repr(self) -> str:
        """The settings of the frames."""
        return (
            f"frame_length={self.frame_length}, hop_length={self.hop_length}, center={self.center}, "
            f"pad_mode={self.pad_mode!r}"
        )


class ZeroCrossingRate(WaveformDescriptor):
    """The share of each frame's samples at which the sign changes: equal to `librosa.feature.zero_crossing_rate`.

    A count: a step function of the waveform, so no gradient flows through it.

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
        if not (threshold >= 0 and math.isfinite(threshold)):
            raise ValueError(f"threshold={threshold!r} must be a finite number, 0 or more")
        self.threshold, self.zero_pos, self.pad = float(threshold), zero_pos, pad

    def compute(self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        function = functools.partial(
            framewise.crossings,
            framing=self._framing,
            threshold=self.threshold,
            zero_pos=self.zero_pos,
            pad=self.pad,
        )
        return framewise.of_frames(waveform, lengths, self._framing, function, graph=graph)

    def extra_repr(self) -> str:
        """The settings of the frames and of the count."""
        return (
            f"frame_length={self.frame_length}, hop_length={self.hop_length}, center={self.center}, "
            f"threshold={self.threshold:g}, zero_pos={self.zero_pos}, pad={self.pad}"
        )
