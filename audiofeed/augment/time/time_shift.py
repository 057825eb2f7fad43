"""TimeShift: a clip that begins earlier or later, what leaves it coming in again at its other end, or not."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F

from audiofeed.arguments.checks import check_choice
from audiofeed.augment.contract.augmentation import Augmentation
from audiofeed.augment.contract.by_row import changed_rows, may_look
from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.contract.draws import Draws
from audiofeed.augment.contract.in_time import with_targets_in_time
from audiofeed.augment.contract.ranges import Range, check_range, shown

_UNITS, _MODES = ("share", "seconds"), ("roll", "pad")


class TimeShift(Augmentation):
    """Augmentation that shifts each clip in time within its own length, and its targets in time with it.

    What leaves a clip at one end comes in at the other (`mode="roll"`), or silence does (`mode="pad"`). The ends are
    those of the clip, never of the batch it is padded in. Events and labels at a frame rate follow: an event across the
    seam of a rolled clip sounds at its end and again at its beginning, with its onset and its offset where they are;
    what a padded shift has moved out is gone, and its silence has no labels.

    Args:
        shift: Range of the shift, uniform, below 0 for earlier; or one number. Rounded to samples.
        unit: What it is measured in: a "share" of the clip's length, -1 to 1, or "seconds".
        mode: "roll" or "pad".
        p: Probability that a clip is augmented, 0 to 1, drawn for each clip.

    Raises:
        ValueError: for a range that is none, a unit or mode that is unknown, or a `p` that is no probability; when
            called, in seconds without a sample rate.

    >>> clips = Clips(torch.tensor([[1.0, 2.0, 3.0, 4.0, 0.0]]), torch.tensor([4]), torch.tensor([5]))
    >>> TimeShift(0.25).run(clips).waveforms
    tensor([[4., 1., 2., 3., 0.]])
    >>> TimeShift(-0.25, mode="pad").run(clips).waveforms
    tensor([[2., 3., 4., 0., 0.]])
    """

    changes = frozenset({"waveforms", "targets", "fields"})
    follows = True

    def __init__(
        self,
        shift: float | Range = (-0.5, 0.5),
        *,
        unit: Literal["share", "seconds"] = "share",
        mode: Literal["roll", "pad"] = "roll",
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.unit = check_choice("unit", unit, _UNITS)
        self.mode = check_choice("mode", mode, _MODES)
        limits = (-1.0, 1.0) if unit == "share" else (-float("inf"), float("inf"))
        self.shift = check_range("shift", shift, "the clip's length" if unit == "share" else "seconds", *limits)

    def extra_repr(self) -> str:
        """Show the settings of this augmentation."""
        own = [shown("shift", self.shift), f"unit={self.unit!r}", f"mode={self.mode!r}", super().extra_repr()]
        return ", ".join(part for part in own if part)

    def drawn(self, clips: Clips, draws: Draws) -> torch.Tensor:
        """Draw this augmentation's shift of each clip in samples, int64 (batch,), within its length."""
        scale = clips.lengths if self.unit == "share" else clips.rate(self)
        samples = (draws.uniform(*self.shift) * scale).round().long()
        if self.mode == "pad":
            return torch.maximum(torch.minimum(samples, clips.lengths), -clips.lengths)
        return samples.remainder(clips.lengths.clamp_min(1))

    def change(self, clips: Clips, active: torch.Tensor, draws: Draws) -> Clips:
        """Shift the active clips of this augmentation, and what of their targets is in time."""
        samples = torch.where(active, self.drawn(clips, draws), 0)
        if may_look(clips):
            own = samples.tolist()
            after = changed_rows(clips, samples != 0, lambda row, waveform: self._one(waveform, own[row]))
        else:
            after = clips.put(active, self._all(clips, samples))
        lengths = clips.lengths
        if self.mode == "pad":
            return with_targets_in_time(after, lambda targets: targets.shifted(samples, lengths))
        return with_targets_in_time(after, lambda targets: targets.rolled(samples, lengths))

    def _one(self, waveform: torch.Tensor, samples: int) -> torch.Tensor:
        """Shift one clip of this augmentation, ([channel,] time)."""
        if self.mode == "roll":
            return waveform.roll(samples, -1)
        n = waveform.shape[-1]
        if samples > 0:
            return F.pad(waveform[..., : n - samples], (samples, 0))
        return F.pad(waveform[..., -samples:], (0, -samples))

    def _all(self, clips: Clips, samples: torch.Tensor) -> torch.Tensor:
        """Shift all clips of this augmentation, without a look at where."""
        places = torch.arange(clips.size, device=samples.device) - samples[:, None]
        ends = clips.lengths[:, None]
        source = places.remainder(ends.clamp_min(1)) if self.mode == "roll" else places.clamp(0, max(clips.size - 1, 0))
        outside = (places < 0) | (places >= ends) if self.mode == "pad" else torch.zeros_like(places, dtype=torch.bool)
        shape = (clips.batch, *[1] * (clips.waveforms.dim() - 2), clips.size)
        taken = clips.waveforms.gather(-1, source.view(shape).expand_as(clips.waveforms))
        return taken.masked_fill(outside.view(shape), 0)
