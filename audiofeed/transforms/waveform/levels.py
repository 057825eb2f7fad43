"""Waveforms brought to a level before any feature: by their peak, or by their root mean square (RMS)."""

from __future__ import annotations

import torch

from audiofeed.arguments.checks import check_finite, check_floor, check_not_negative, check_positive
from audiofeed.methods.waveform.levels import peak, peak_without_graph, rms, rms_without_graph
from audiofeed.parallel.exports import plus
from audiofeed.transforms.waveform.waveform_transform import WaveformTransform, over_dims


class NormalizePeak(WaveformTransform):
    """Waveform normalization by the peak, as a module: one gain brings each clip's largest sample to a level.

    It stands before any feature: `Chain(NormalizePeak(), LogMelSpectrogram(...))`. Batch-mates and padding do not
    count.

    Args:
        level_db: level of the largest magnitude in dB relative to full scale, 1.0; any finite number.
        over: "clip" (the channels of a clip share a gain, and keep their balance) or "channel" (each has its own).
        floor: the smallest peak that is divided by, > 0: silence stays silence, with a finite gradient.

    Returns:
        (..., time), the shape of the waveform, from lengths (batch,) in samples.

    Raises:
        ValueError: for a setting outside its range.

    A waveform (2, time) is two clips, and (1, 2, time) the two channels of one.

    >>> NormalizePeak(level_db=0.0)(torch.tensor([0.25, -0.5, 0.0])).tolist()
    [0.5, -1.0, 0.0]
    """

    keeps_zeros = True

    def __init__(self, *, level_db: float = 0.0, over: str = "clip", floor: float = 1e-8) -> None:
        super().__init__()
        self.level_db, self.over, self.floor = _check_level(level_db), over, check_floor("floor", floor)
        self._dims, self._level = over_dims(over), 10.0 ** (self.level_db / 20.0)

    def into(self, clips: torch.Tensor, out: torch.Tensor, lengths: torch.Tensor | None) -> None:
        torch.mul(clips, self._level / peak_without_graph(clips, self._dims).clamp_(min=self.floor), out=out)

    def of_clips(self, clips: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        return clips * (self._level / peak(clips, self._dims).clamp(min=self.floor))


class NormalizeRMS(WaveformTransform):
    """Waveform normalization by root mean square (RMS), as a module: one gain brings each clip to a level in dB.

    It stands before any feature: `Chain(NormalizeRMS(), LogMelSpectrogram(...))`. Batch-mates and padding do not count.
    Samples may leave the range from -1 to 1, and are not clipped; `most` brings a clip down as a whole instead.

    Args:
        level_db: level of the root mean square in dB relative to full scale, 1.0; any finite number.
        over: "clip" (the channels of a clip share a gain, and keep their balance) or "channel" (each has its own).
        floor: the smallest root mean square that is divided by, > 0: silence stays silence, with a finite gradient.
        eps: added to what is divided by, >= 0.
        most: a result whose largest magnitude exceeds this is divided by that magnitude over `most`, > 0; None: no
            limit. VibeVoice has 1.0.

    Returns:
        (..., time), the shape of the waveform, from lengths (batch,) in samples.

    Raises:
        ValueError: for a setting outside its range.

    A waveform (2, time) is two clips, and (1, 2, time) the two channels of one.

    >>> NormalizeRMS(level_db=0.0)(torch.tensor([0.25, -0.25])).round(decimals=6).tolist()
    [1.0, -1.0]
    """

    keeps_zeros = True

    def __init__(
        self,
        *,
        level_db: float = -20.0,
        over: str = "clip",
        floor: float = 1e-8,
        eps: float = 0.0,
        most: float | None = None,
    ) -> None:
        super().__init__()
        self.level_db, self.over, self.floor = _check_level(level_db), over, check_floor("floor", floor)
        self.eps = check_not_negative("eps", eps)
        self.most = None if most is None else check_positive("most", most, "a number > 0, or None for no limit")
        self._dims, self._level = over_dims(over), 10.0 ** (self.level_db / 20.0)

    def into(self, clips: torch.Tensor, out: torch.Tensor, lengths: torch.Tensor | None) -> None:
        gain = self._gain(rms_without_graph(clips, lengths, self._dims, self.floor))
        if self.most is not None:
            gain = self._limited(gain, peak_without_graph(clips, self._dims))
        torch.mul(clips, gain, out=out)

    def of_clips(self, clips: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        gain = self._gain(rms(clips, lengths, self._dims, self.floor))
        return clips * (gain if self.most is None else self._limited(gain, peak(clips, self._dims)))

    def _gain(self, root: torch.Tensor) -> torch.Tensor:
        return self._level / plus(root, self.eps)

    def _limited(self, gain: torch.Tensor, largest: torch.Tensor) -> torch.Tensor:
        """Return the gain to a level of waveforms, less where it would bring the largest sample above the limit."""
        assert self.most is not None
        after = largest * gain
        return torch.where(after > self.most, gain * (self.most / plus(after, self.eps).clamp(min=self.floor)), gain)


def _check_level(level_db: float) -> float:
    """Check the level in dB that a waveform is normalized to, and return it."""
    return check_finite("level_db", level_db, "a finite number of dB relative to full scale; 0.0 is 1.0")
