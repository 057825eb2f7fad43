"""Filter: low, high and band passes, band stops, shelves and peaks whose settings are drawn for each clip."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from audiofeed.arguments.checks import check_choice
from audiofeed.augment.contract.augmentation import Augmentation
from audiofeed.augment.contract.by_group import changed_groups
from audiofeed.augment.contract.by_row import may_look
from audiofeed.augment.contract.clips import Clips
from audiofeed.augment.contract.draws import Draws, HostDraws
from audiofeed.augment.contract.ranges import Range, check_range, shown
from audiofeed.augment.filters.biquad import biquad_step
from audiofeed.augment.filters.recursion import Matrices, Section, filtered, matrices_of, recursion_of, section_of
from audiofeed.augment.kernels.rows import RowStep
from audiofeed.methods.lengths import clear_past

Kind = Literal["low_pass", "high_pass", "band_pass", "band_stop", "peak", "low_shelf", "high_shelf"]
KINDS = ("low_pass", "high_pass", "band_pass", "band_stop", "peak", "low_shelf", "high_shelf")
_WITH_GAIN = ("peak", "low_shelf", "high_shelf")
# clips of a group, for what is computed of them to stay in cache
_ROWS = 4


class Filter(Augmentation):
    """Augmentation that filters each clip by a biquad whose settings are drawn.

    The filters are those of R. Bristow-Johnson's "Cookbook formulae for audio equalizer biquad filter coefficients",
    as scipy's `sosfilt` computes them in float64 from rest: 12 dB an octave beside a pass, a band pass of 0 dB in its
    middle. They are causal, and delay by less than a period of the cutoff. Levels are not kept: what is filtered out is
    gone, and a gain may lead beyond full scale; a `Gain` behind it sets the level.

    Args:
        kind: "low_pass", "high_pass", "band_pass", "band_stop", "peak", "low_shelf" or "high_shelf"; for one of
            several use `OneOf`.
        cutoff: Range of the cutoff, the middle of a band or peak, or the middle of a shelf's slope, in Hz, above 0 and
            below half of the clips' sample rate, its logarithm uniform; or one number.
        q: Range of the quality, 0.05 to 1000, its logarithm uniform; or one number. 0.7071 is a pass without overshoot
            (Butterworth); the middle over the bandwidth of a band or a peak.
        gain_db: Range of the gain of a peak or shelf, dB, -60 to 60, uniform; or one number; None: (-12, 12). The
            other kinds have none.
        p: Probability that a clip is augmented, 0 to 1, drawn for each clip.

    Raises:
        ValueError: The kind is unknown, a range is none, `gain_db` is given to a kind without a gain, or, when called,
            the cutoff reaches half of the clips' sample rate.

    >>> tone = torch.sin(torch.arange(16_000) * 0.5)[None]
    >>> quiet = Filter("low_pass", 100.0)(tone, seeds=torch.tensor([1]), sample_rate=16_000)
    >>> quiet.shape, bool(quiet[0, 4000:].abs().max() < 0.02)
    (torch.Size([1, 16000]), True)
    """

    def __init__(
        self,
        kind: Kind,
        cutoff: float | Range,
        *,
        q: float | Range = 0.7071067811865476,
        gain_db: float | Range | None = None,
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.kind = check_choice("kind", kind, KINDS)
        self.cutoff = check_range("cutoff", cutoff, "Hz", 0.0, open_low=True)
        self.q = check_range("q", q, "quality", 0.05, 1000.0)
        if gain_db is not None and kind not in _WITH_GAIN:
            raise ValueError(
                f"gain_db={gain_db!r}: {kind!r} has no gain, only {', '.join(_WITH_GAIN)} have; leave it out"
            )
        given = (-12.0, 12.0) if gain_db is None else gain_db
        self.gain_db = check_range("gain_db", given, "dB", -60.0, 60.0) if kind in _WITH_GAIN else (0.0, 0.0)

    def extra_repr(self) -> str:
        """Show the kind and the ranges of this augmentation."""
        own = [repr(self.kind), shown("cutoff", self.cutoff), shown("q", self.q)]
        own += [shown("gain_db", self.gain_db)] * (self.kind in _WITH_GAIN)
        return ", ".join(part for part in (*own, super().extra_repr()) if part)

    def drawn(self, draws: Draws) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Draw this augmentation's cutoff in Hz, quality and gain in dB for each clip, (batch,) each."""
        return draws.log_uniform(*self.cutoff), draws.log_uniform(*self.q), draws.uniform(*self.gain_db)

    def row_step(self, clips: Clips, rows: np.ndarray, draws: HostDraws) -> RowStep | None:
        """Filter the active clips, by a kernel."""
        return biquad_step(rows, recursion_of(self._section(clips, draws.on_tensors())))

    def change(self, clips: Clips, active: torch.Tensor, draws: Draws) -> Clips:
        """Filter the active clips."""
        matrices = matrices_of(self._section(clips, draws))
        if not may_look(clips):
            return clips.put(active, _filtered(clips.waveforms, matrices))

        def some(rows: torch.Tensor, waveforms: torch.Tensor) -> torch.Tensor:
            return clear_past(_filtered(waveforms, matrices.of(rows)), clips.lengths[rows])

        return changed_groups(clips, active, some, _ROWS)

    def _section(self, clips: Clips, draws: Draws) -> Section:
        """Draw the section of this augmentation's filter of each clip."""
        rate = clips.rate(self)
        if 2 * self.cutoff[1] >= rate:
            raise ValueError(
                f"{type(self).__name__}'s cutoff={self.cutoff[1]:g} Hz must be below half of the clips' sample rate, "
                f"{rate} Hz: lower it"
            )
        cutoff, q, gain_db = self.drawn(draws)
        # the exponential of a logarithm may round beyond the limit
        return section_of(self.kind, cutoff.clamp(*self.cutoff), rate, q, gain_db)


def _filtered(waveforms: torch.Tensor, matrices: Matrices) -> torch.Tensor:
    """Filter the waveforms (rows, [channel,] time) of an augmentation's clips, those of float64 in float32."""
    found = filtered(waveforms.float() if waveforms.dim() == 3 else waveforms.float()[:, None], matrices)
    return found.view(waveforms.shape).to(waveforms.dtype)
