"""Clip: what an amplifier or a converter does to samples beyond its range."""

from __future__ import annotations

from typing import Literal

import torch

from audiofeed.arguments.checks import check_choice
from audiofeed.augment.contract.augmentation import Augmentation
from audiofeed.augment.contract.by_row import deal_without_graph, may_look
from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.contract.draws import Draws
from audiofeed.augment.contract.ranges import Range, check_range, shown
from audiofeed.augment.contract.rows import peaks
from audiofeed.methods.lengths import length_mask

_REFERENCES = ("peak", "full_scale", "samples")


class Clip(Augmentation):
    """Augmentation that clips waveforms hard: samples beyond a limit drawn for each clip are set to the limit.

    Peaks and shares are of a clip's own samples in all its channels, never of padding. The level is not made up for;
    put `Gain(0, relative_to="peak")` behind it where that is wanted. Gradients are 1 within the limit and 0 beyond it;
    the limit itself counts as given.

    Args:
        level: Range of the limit, uniform, or one number. Above 0 and up to 1; 0 to 1 of "samples".
        relative_to: What the limit is a share of: the clip's "peak" (largest absolute sample), or "full_scale" (1.0);
            or "samples": so large a share of the clip's samples, the loudest, is beyond the limit.
        p: Probability that a clip is augmented, 0 to 1, drawn for each clip.

    Raises:
        ValueError: for a range that is none, a `relative_to` that is unknown, or a `p` that is no probability.

    >>> waveforms = torch.tensor([[0.1, -0.8, 0.4, 0.0]])
    >>> Clip(0.5)(waveforms)
    tensor([[ 0.1000, -0.4000,  0.4000,  0.0000]])
    >>> Clip(0.5, relative_to="samples")(waveforms)
    tensor([[ 0.1000, -0.1000,  0.1000,  0.0000]])
    """

    def __init__(
        self,
        level: float | Range = (0.2, 0.9),
        *,
        relative_to: Literal["peak", "full_scale", "samples"] = "peak",
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.relative_to = check_choice("relative_to", relative_to, _REFERENCES)
        unit = "a share of the samples" if relative_to == "samples" else f"a share of the {relative_to}"
        self.level = check_range("level", level, unit, 0.0, 1.0, open_low=relative_to != "samples")

    def extra_repr(self) -> str:
        """Show the range of this augmentation."""
        own = "" if self.relative_to == "peak" else f"relative_to={self.relative_to!r}"
        return ", ".join(part for part in (shown("level", self.level), own, super().extra_repr()) if part)

    def drawn(self, draws: Draws) -> torch.Tensor:
        """Draw this augmentation's level of each clip, float64 (batch,)."""
        return draws.uniform(*self.level)

    def change(self, clips: Clips, active: torch.Tensor, draws: Draws) -> Clips:
        """Clip the active clips of this augmentation; padding, which is 0, stays so."""
        level = self.drawn(draws)
        with torch.no_grad():
            limits = self._limits(clips, active, level).to(clips.waveforms.dtype)
        limits = torch.where(active, limits, float("inf")).view(-1, *[1] * (clips.waveforms.dim() - 1))
        return clips.with_values(waveforms=clips.waveforms.clamp(-limits, limits))

    def _limits(self, clips: Clips, active: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        """Find the limit of each clip of this augmentation, (batch,)."""
        if self.relative_to == "full_scale":
            return level
        if self.relative_to == "peak":
            return level * peaks(clips.waveforms)
        flat = clips.waveforms.flatten(1)
        channels = flat.shape[1] // max(clips.size, 1)
        counts = clips.lengths * channels
        # the limit is the smallest of the samples that are beyond it or at it, less one: those above it are clipped
        beyond = (level * counts).long().clamp_max(counts - 1)
        if not may_look(clips):
            mask = length_mask(clips.size, clips.lengths).repeat(1, channels)
            loudest_last = torch.where(mask, flat.abs(), -1.0).sort(dim=1).values
            return loudest_last.gather(1, (flat.shape[1] - 1 - beyond)[:, None])[:, 0].clamp_min(0)
        found = torch.zeros(clips.batch, dtype=flat.dtype, device=flat.device)
        lengths, below = clips.lengths.tolist(), (counts - 1 - beyond).tolist()
        rows = [row for row, own in enumerate(active.tolist()) if own and lengths[row]]

        def work(number: int) -> None:
            row = rows[number]
            samples = clips.waveforms[row, ..., : lengths[row]].detach().abs().flatten()
            if samples.dtype in (torch.float32, torch.float64):
                # many times faster than torch's `kthvalue`
                own = samples.numpy()
                own.partition(below[row])
                found[row] = float(own[below[row]])
            else:
                found[row] = samples.kthvalue(below[row] + 1).values

        deal_without_graph(work, len(rows))
        return found
