"""Targets in time of clips that were rolled: what left a clip at its end, and came in again at its beginning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch


class RolledBatch(NamedTuple):
    """Targets in time of a batch whose clips were rolled: twice the same, of which each clip has a piece.

    An event across the seam is in both pieces, and has its onset in the one and its offset in the other.

    Args:
        earlier: Targets of the piece before the seam, which was a clip's end.
        later: Those of the piece from the seam on.
        seam: (batch,) sample of each clip at which its former first sample lies.
    """

    earlier: Any
    later: Any
    seam: torch.Tensor

    def at(self, centers: torch.Tensor, frames: torch.Tensor, lengths: torch.Tensor) -> Any:
        """Take the targets of a rolled batch to the frames of its features.

        Events are marked in all frames that either piece marks. Of labels at a frame rate, a frame on the seam has
        those of the piece that its center lies in, with `resample="max"` the larger of what either piece has for it.

        Args:
            centers: (frames,) in samples from a waveform's first, ascending.
            frames: (batch,) frames of each clip.
            lengths: (batch,) samples of each clip.

        Returns:
            As the targets had given it.
        """
        earlier, later = (piece.at(centers, frames, lengths) for piece in (self.earlier, self.later))
        if isinstance(earlier, dict):
            return {mark: torch.maximum(earlier[mark], later[mark]) for mark in earlier}
        if not hasattr(_innermost(self), "own_frames"):
            return torch.maximum(earlier, later)
        covers = [piece.own_frames(centers, frames, lengths) for piece in (self.earlier, self.later)]
        before = centers.to(covers[0].device) < self.seam[:, None]
        first = covers[0] & (before | ~covers[1])
        shape = (first.shape[0], *[1] * (earlier.dim() - 2), first.shape[1])
        found = torch.where(first.view(shape), earlier, later)
        if _innermost(self).resample != "max":
            return found
        return torch.where((covers[0] & covers[1]).view(shape), torch.maximum(earlier, later), found)

    def own_frames(self, centers: torch.Tensor, frames: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return which frames (batch, frames) of a rolled batch's features have a label; arguments as of `at`."""
        found: torch.Tensor = self.earlier.own_frames(centers, frames, lengths)
        return found | self.later.own_frames(centers, frames, lengths)

    def stretched(self, factors: torch.Tensor) -> RolledBatch:
        """Return the targets of a rolled batch with each clip's times multiplied by its factor, (batch,)."""
        seam = self.seam.double() * factors.to(self.seam.device, torch.float64)
        return self._each(lambda piece: piece.stretched(factors))._replace(seam=seam)

    def shifted(self, samples: torch.Tensor, lengths: torch.Tensor | None = None) -> RolledBatch:
        """Return the targets of a rolled batch later by each clip's samples, (batch,), within its lengths (batch,)."""
        seam = self.seam + samples.to(self.seam.device)
        return self._each(lambda piece: piece.shifted(samples, lengths))._replace(seam=seam)

    def rolled(self, samples: torch.Tensor, lengths: torch.Tensor) -> RolledBatch:
        """Return the targets of a rolled batch rolled again by samples (batch,) within the clips' lengths (batch,)."""
        return RolledBatch(self.shifted(samples - lengths, lengths), self.shifted(samples, lengths), samples)

    def taken(self, rows: torch.Tensor) -> RolledBatch:
        """Return the targets of other clips of a rolled batch, by their rows, (batch,)."""
        return self._each(lambda piece: piece.taken(rows))._replace(seam=self.seam[rows])

    def mixed(self, other: Any, own: torch.Tensor, others: torch.Tensor) -> Any:
        """Return the targets of a rolled batch mixed with those of other clips, by weights (batch,)."""
        return self.later.mixed(other, own, others)._replace(parts=(self, other))

    def _each(self, change: Callable[[Any], Any]) -> RolledBatch:
        return self._replace(earlier=change(self.earlier), later=change(self.later))


def _innermost(targets: Any) -> Any:
    """Return the targets in time that were rolled, however often."""
    return _innermost(targets.later) if isinstance(targets, RolledBatch) else targets
