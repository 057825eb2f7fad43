"""Waveforms of a batch padded, repeated or cut to numbers of samples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import pad

from audiofeed.methods.frames import Count, mirrored
from audiofeed.methods.lengths import clear_past
from audiofeed.parallel.exports import ceil_divided, first_columns
from audiofeed.signal.waveform.padding import COPIES


@dataclass(frozen=True, kw_only=True)
class Padding:
    """Lengths that waveforms are padded or cut to, and what they are continued by: see `signal.waveform.padding`.

    >>> Padding(before=1, after=0, at_most=None, at_least=4, multiple=3, mode="constant", place="start").size(5)
    7
    """

    before: int
    after: int
    at_most: int | None
    at_least: int
    multiple: int
    mode: str
    place: str

    def left(self, samples: Count) -> Count:
        """Return how many of so many samples of a waveform are left: all, or less those taken off its end."""
        if self.after >= 0:
            return samples
        if isinstance(samples, torch.Tensor):
            return torch.minimum(samples, (samples + self.after).clamp(min=1))
        return min(samples, max(1, samples + self.after))

    def whole(self, samples: Count) -> Count:
        """Return how many samples a waveform of so many has with the zeros around it, before it is cut."""
        added = self.before + max(0, self.after)
        return self.left(samples) + added if added else self.left(samples)

    def kept(self, samples: Count) -> Count:
        """Return how many samples a waveform of so many has when it is cut, before it is made longer."""
        return self._cut(self.whole(samples))

    def own(self, samples: Count) -> Count:
        """Return where a padded waveform's own samples end: those before what was added behind it."""
        return self._cut(self.left(samples) + self.before)

    def size(self, samples: Count) -> Count:
        """Return how many samples a waveform of so many has in the end."""
        if (
            self.at_most is not None and self.at_most <= self.at_least
        ):  # what is cut is no longer than what is asked for
            if isinstance(samples, torch.Tensor):
                return torch.full_like(samples, self.at_least)
            return self.at_least
        return self._grown(self.kept(samples))

    def _cut(self, samples: Count) -> Count:
        if self.at_most is None:
            return samples
        return samples.clamp(max=self.at_most) if isinstance(samples, torch.Tensor) else min(samples, self.at_most)

    def _grown(self, kept: Count) -> Count:
        """Return how many samples a waveform has that had so many when it was cut."""
        if isinstance(kept, torch.Tensor) and self.multiple == 1:
            return kept.clamp(min=self.at_least)
        more = kept - self.at_least
        more = more.clamp(min=0) if isinstance(more, torch.Tensor) else max(more, 0)
        return self.at_least + ceil_divided(more, self.multiple) * self.multiple

    def apply(self, clips: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Compute the padded waveforms of a batch; every operation has a gradient.

        Shape: (clips, channels, time), 0 past lengths (clips,) -> (clips, channels, time of the result), past a clip's
        own result anything.
        """
        time = clips.shape[-1]
        if self.after < 0:
            clips = first_columns(clips, self.left(time))
            if lengths is not None:
                clips = clear_past(clips, self.left(lengths))
        left, width = self.own(time) - self.before, self.size(time)
        if self.mode == "constant" and (lengths is None or self.place == "start"):
            lead = (width - self.kept(time)) // 2 if self.place == "center" else 0
            first = self.before + lead
            return pad(first_columns(clips, left), (first, width - first - left))
        clips = pad(clips, (self.before, max(0, self.after)))
        kept = self.kept(clips.new_full((1,), time, dtype=torch.long) if lengths is None else lengths)
        return self._gathered(clips, kept[:, None], width)

    def _gathered(self, clips: torch.Tensor, kept: torch.Tensor, width: int) -> torch.Tensor:
        """Return waveforms of a batch made longer, by the place of each sample of the result in its clip.

        Shape: clips (clips, channels, time), kept (clips or 1, 1) -> (clips, channels, width).
        """
        result = torch.arange(width, device=clips.device).expand(kept.shape[0], -1)
        size = self._grown(kept)
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
