"""Gain and Polarity: a clip made louder, softer, set to a level, or turned upside down."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch

from audiofeed.arguments.checks import check_choice
from audiofeed.augment.contract.augmentation import Augmentation
from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.contract.draws import Draws, HostDraws
from audiofeed.augment.contract.ranges import Range, check_range, shown
from audiofeed.augment.contract.rows import peaks, powers
from audiofeed.augment.kernels.rows import RowStep, gain_step

_REFERENCES = ("clip", "peak", "rms")


class Gain(Augmentation):
    """Augmentation that makes each clip louder or softer by a gain drawn for it, or sets its level.

    With `relative_to="peak"` or `"rms"` the gain is the level that the clip comes out with, in decibels of full scale
    (1.0), whatever it had: a normalization with a drawn goal. Levels are over a clip's own samples in all its channels,
    never over padding. Silence stays silence. Nothing is clipped: a loud result may exceed full scale.

    Args:
        gain_db: Range of the gain, dB, uniform; or one number.
        relative_to: What the gain is added to: the "clip" as it is; or full scale, which the clip's "peak" (largest
            absolute sample) or its "rms" then lies at.
        p: Probability that a clip is augmented, 0 to 1, drawn for each clip.

    Raises:
        ValueError: for a range that is none, a `relative_to` that is unknown, or a `p` that is no probability.

    >>> waveforms, seeds = torch.tensor([[0.1, -0.2, 0.0], [0.4, 0.0, 0.0]]), torch.tensor([5, 6])
    >>> Gain(20.0)(waveforms, torch.tensor([3, 1]), seeds)
    tensor([[ 1., -2.,  0.],
            [ 4.,  0.,  0.]])
    >>> Gain(0.0, relative_to="peak")(waveforms, torch.tensor([3, 1]), seeds)
    tensor([[ 0.5000, -1.0000,  0.0000],
            [ 1.0000,  0.0000,  0.0000]])
    """

    def __init__(
        self,
        gain_db: float | Range = (-18.0, 6.0),
        *,
        relative_to: Literal["clip", "peak", "rms"] = "clip",
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.gain_db = check_range("gain_db", gain_db, "dB")
        self.relative_to = check_choice("relative_to", relative_to, _REFERENCES)
        # a level is measured on the clip, and a source has another
        self.follows = self.relative_to == "clip"
        self.parts_sources = not self.follows

    def extra_repr(self) -> str:
        """Show the range of this augmentation."""
        own = "" if self.relative_to == "clip" else f"relative_to={self.relative_to!r}"
        return ", ".join(part for part in (shown("gain_db", self.gain_db), own, super().extra_repr()) if part)

    def drawn(self, draws: Draws) -> Any:
        """Draw this augmentation's gain of each clip, dB, float64 (batch,)."""
        return draws.uniform(*self.gain_db)

    def row_step(self, clips: Clips, rows: np.ndarray, draws: HostDraws) -> RowStep | None:
        """Multiply the active clips by this augmentation's gains, by a kernel."""
        if self.relative_to != "clip":
            return None
        return gain_step(rows, 10.0 ** (self.drawn(draws) / 20))

    def change(self, clips: Clips, active: torch.Tensor, draws: Draws) -> Clips:
        """Multiply the clips by this augmentation's gains; padding, which is 0, stays so."""
        factors = 10.0 ** (self.drawn(draws) / 20)
        if self.relative_to != "clip":
            level = self._level(clips)
            factors = torch.where(level > 0, factors / torch.where(level > 0, level, 1.0), 1.0)
        return _scaled(clips, active, factors)

    def _level(self, clips: Clips) -> torch.Tensor:
        """Measure the level of each clip of an augmentation, 1 being full scale, float64 (batch,)."""
        if self.relative_to == "peak":
            return peaks(clips.waveforms).double()
        power = powers(clips.waveforms, clips.lengths)
        # the root of 0 has no slope
        return torch.where(power > 0, torch.where(power > 0, power, 1.0).sqrt(), 0.0)


class Polarity(Augmentation):
    """Augmentation that turns some of the clips upside down: every sample times -1.

    Args:
        p: Probability that a clip is turned, 0 to 1, drawn for each clip.

    Raises:
        ValueError: for a `p` that is no probability.

    >>> Polarity(p=1.0)(torch.tensor([[0.5, -0.25]]))
    tensor([[-0.5000,  0.2500]])
    """

    follows = True

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)

    def row_step(self, clips: Clips, rows: np.ndarray, draws: HostDraws) -> RowStep | None:
        """Turn the active clips of this augmentation upside down, by a kernel."""
        return gain_step(rows, np.full(clips.batch, -1.0))

    def change(self, clips: Clips, active: torch.Tensor, draws: Draws) -> Clips:
        """Turn the active clips of this augmentation upside down."""
        return _scaled(clips, active, torch.full_like(clips.seeds, -1.0, dtype=torch.float64))


def _scaled(clips: Clips, active: torch.Tensor, factors: torch.Tensor) -> Clips:
    """Multiply the active clips of an augmentation by a factor each; the others are multiplied by 1, in one pass."""
    waveforms = clips.waveforms
    factors = torch.where(active, factors, 1.0).to(waveforms.dtype).view(-1, *[1] * (waveforms.dim() - 1))
    return clips.with_values(waveforms=waveforms * factors)
