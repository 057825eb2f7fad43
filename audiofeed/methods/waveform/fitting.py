"""Waveforms of a batch brought to lengths: cut, repeated, or padded."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import pad

from audiofeed.methods.frames import Count, mirrored
from audiofeed.signal.waveform.fitting import COPIES


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """Lengths that waveforms are brought to, and what they are continued by: see `signal.waveform.fitting.fitted`.

    >>> Fitting(at_least=4, at_most=None, multiple=3, before=1, after=0, mode="constant", place="start").size(5)
    8
    """

    at_least: int
    at_most: int | None
    multiple: int
    before: int
    after: int
    mode: str
    place: str

    def kept(self, length: Count) -> Count:
        """Return the samples that are left of a waveform of `length` samples."""
        if self.at_most is None:
            return length
        return length.clamp(max=self.at_most) if isinstance(length, torch.Tensor) else min(length, self.at_most)

    def size(self, length: Count) -> Count:
        """Return the samples that a waveform of `length` samples is brought to."""
        return self.before + self._between(self.kept(length)) + self.after

    def _between(self, kept: Count) -> Count:
        """Return the samples that a waveform has between the zeros before and after, once it is cut."""
        more = kept - self.at_least
        more = more.clamp(min=0) if isinstance(more, torch.Tensor) else max(more, 0)
        return self.at_least + -(-more // self.multiple) * self.multiple

    def apply(self, clips: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Compute the waveforms of a batch brought to their lengths; every operation has a gradient.

        Shape: (clips, channels, time), 0 past lengths (clips,) -> (clips, channels, time of the result).
        """
        time = clips.shape[-1]
        if self.mode == "constant" and (lengths is None or self.place == "start"):
            kept = self.kept(time)
            width = self._between(kept)
            lead = (width - kept) // 2 if self.place == "center" else 0
            return pad(clips[..., :kept], (self.before + lead, width - kept - lead + self.after))
        own = clips.new_full((1,), time, dtype=torch.long) if lengths is None else lengths
        return pad(self._gathered(clips, self.kept(own)[:, None]), (self.before, self.after))

    def _gathered(self, clips: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """Return the waveforms of a batch, with what continues each, by the place of each sample in its clip.

        Shape: clips (clips, channels, time), kept (clips or 1, 1) -> (clips, channels, time of the result).
        """
        width = self._between(self.kept(clips.shape[-1]))
        result = torch.arange(width, device=clips.device).expand(kept.shape[0], -1)
        size = self._between(kept)
        place = result - (size - kept) // 2 if self.place == "center" else result
        if self.mode == COPIES:
            held, source = place < size // kept * kept, torch.remainder(place, kept)
        elif self.mode == "constant":
            held, source = (place >= 0) & (place < kept), place
        else:
            held, source = result < size, mirrored(place, kept, self.mode)
        # a position past a clip's own end is of no matter, but is to be one of its samples
        source = torch.minimum(source.clamp(min=0), kept - 1).expand(clips.shape[0], -1)
        found = clips.gather(-1, source[:, None].expand(-1, clips.shape[1], -1))
        return torch.where(held[:, None], found, 0)
