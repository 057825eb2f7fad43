"""Partners of clips in a mix of an augmentation: brought to each clip's length, and to a level."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from audiofeed.augment.contract.rows import powers
from audiofeed.methods.lengths import clear_past
from audiofeed.parallel.kept_memory import kept_empty
from audiofeed.parallel.observed import observed

Fit = Literal["tile", "once"]


@dataclass(frozen=True, eq=False)
class Fitting:
    """How the partners of an augmentation's mix are brought to the lengths of their clips.

    A longer partner is cut at a drawn place. A shorter one is repeated, or heard once, from the clip's first sample.

    Args:
        lengths: (batch,) of the clips, samples or frames.
        theirs: (batch,) of their partners.
        rows: (batch,), which of the partners is each clip's.
        places: (batch,) in [0, 1), what the place of a cut is drawn by.
        active: (batch,) bool, False for clips that are not mixed.
        fit: "tile" or "once".
    """

    lengths: torch.Tensor
    theirs: torch.Tensor
    rows: torch.Tensor
    places: torch.Tensor
    active: torch.Tensor
    fit: Fit

    @property
    def offsets(self) -> torch.Tensor:
        """Where each partner of an augmentation's mix is cut, int64 (batch,); 0 for a shorter one."""
        room = (self.theirs - self.lengths).clamp_min(0)
        return torch.minimum((self.places * (room + 1)).floor().long(), room)

    def placed(self, values: torch.Tensor, size: int) -> torch.Tensor:
        """Return the partners of an augmentation's mix as long as their clips, zero past the end of each clip.

        Args:
            values: (n, ..., time) of all partners, zero past their own ends.
            size: Length of the result.

        Returns:
            (batch, ..., size); anything in rows that are not mixed.
        """
        if self._is_watched(values):
            return clear_past(self._gathered(values[self.rows], size), self.lengths)
        out = values.new_zeros(self.rows.shape[0], *values.shape[1:-1], size)
        for row, taken in self._each(values):
            out[row, ..., : taken.shape[-1]] = taken
        return out

    def exchanged(self, values: torch.Tensor, stretch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor | None:
        """Return an augmentation's clips with their partners' samples in a stretch; None where nobody may look.

        Args:
            values: (batch, ..., time), clips and partners alike, zero past their own ends.
            stretch: int64 (batch,) each, begin and end, within each clip.
        """
        if self._is_watched(values):
            return None
        out = kept_empty(values.shape, values.dtype) if values.dtype == torch.float32 else torch.empty_like(values)
        out.copy_(values)
        begins, ends = (place.tolist() for place in stretch)
        for row, taken in self._each(values):
            begin, end = begins[row], ends[row]
            heard = max(begin, min(end, taken.shape[-1]))
            out[row, ..., begin:heard] = taken[..., begin:heard]
            out[row, ..., heard:end] = 0
        return out

    def _each(self, values: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
        """Return the row of each clip that is mixed, and its partner (..., time), which is silent behind its end."""
        told = (self.active, self.lengths, self.theirs, self.offsets, self.rows)
        for row, (mixed, length, own, offset, partner) in enumerate(zip(*(one.tolist() for one in told), strict=True)):
            if not mixed:
                continue
            taken = values[partner, ..., offset : offset + min(own, length)]
            if 0 < own < length and self.fit == "tile":
                taken = taken.repeat(*[1] * (taken.dim() - 1), math.ceil(length / own))[..., :length]
            yield row, taken

    def _is_watched(self, values: torch.Tensor) -> bool:
        """Return True if nothing of an augmentation's mix may be read back."""
        return _is_watched(values) or _is_watched(self.lengths)

    def _gathered(self, values: torch.Tensor, size: int) -> torch.Tensor:
        place = torch.arange(size, device=values.device) + self.offsets[:, None]
        own = self.theirs[:, None]
        if self.fit == "tile":
            place = place % own.clamp_min(1)
        index = place.clamp(max=values.shape[-1] - 1)
        spread = (-1, *[1] * (values.dim() - 2), size)
        found = values.gather(-1, index.view(spread).expand(*values.shape[:-1], size))
        return torch.where((place < own).view(spread), found, 0)


def level_weights(
    share: torch.Tensor, own: torch.Tensor, others: torch.Tensor, lengths: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute the weights of an augmentation's mix such that the energies of its two parts are in a ratio.

    The mix has the energy of the clip. Where one of the two is silent, the weights are the roots of the shares.

    Args:
        share: float64 (batch,), the clip's share of the energy, 0 to 1.
        own: (batch, [channel,] time), the clips, zero past their ends.
        others: The partners, of the same shape.
        lengths: (batch,) samples.

    Returns:
        Weights of the clip and of its partner, float64 (batch,).

    >>> clip, partner = torch.full((1, 4), 0.5), torch.full((1, 4), 0.1)
    >>> level_weights(torch.tensor([0.5]), clip, partner, torch.tensor([4]))[1]
    tensor([3.5355], dtype=torch.float64)
    """
    mine, theirs = powers(own, lengths), powers(others, lengths)
    silent = (mine <= 0) | (theirs <= 0)
    ratio = torch.where(silent, 1.0, mine / torch.where(silent, 1.0, theirs))
    return share.double().sqrt(), ((1 - share.double()) * ratio).sqrt()


def _is_watched(values: torch.Tensor) -> bool:
    """Return True if nothing of an augmentation may be read back, or a gradient is to follow."""
    follows = torch.is_grad_enabled() and values.requires_grad
    return values.device.type != "cpu" or follows or observed(values) is not None
