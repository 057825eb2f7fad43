"""Targets in time of clips that an augmentation has mixed: added by weights, or one's in a stretch of the other's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch

from audiofeed.data.targets.rolled import RolledBatch

Rule = Literal["sum", "max"]


class MixedBatch(NamedTuple):
    """Targets in time of a batch whose clips were mixed: each part's, before they are weighted and added.

    Args:
        parts: Targets of one batch for each, of the same form.
        weights: (batch,) for each.
        rule: "sum" adds the weighted labels of a frame, "max" takes the largest.
    """

    parts: tuple[Any, ...]
    weights: tuple[torch.Tensor, ...]
    rule: Rule = "sum"

    def at(self, centers: torch.Tensor, frames: torch.Tensor, lengths: torch.Tensor) -> Any:
        """Take each part of a mixed batch's targets to the frames of its features, and add them by their weights.

        Args:
            centers: (frames,) in samples from a waveform's first, ascending.
            frames: (batch,) frames of each clip.
            lengths: (batch,) samples of each clip.

        Returns:
            As the parts give it, float32 at least.
        """
        return _by_mark(self._joined, [part.at(centers, frames, lengths) for part in self.parts])

    def _joined(self, values: list[torch.Tensor]) -> torch.Tensor:
        kind = torch.promote_types(values[0].dtype, torch.float32)
        weighted = [
            value.to(kind) * weight.to(kind).view(-1, *[1] * (value.dim() - 1))
            for value, weight in zip(values, self.weights, strict=True)
        ]
        stacked = torch.stack(weighted)
        return stacked.amax(0) if self.rule == "max" else stacked.sum(0)

    def stretched(self, factors: torch.Tensor) -> MixedBatch:
        """Return the targets of a mixed batch with each clip's times multiplied by its factor, (batch,)."""
        return self._each(lambda part: part.stretched(factors))

    def own_frames(self, centers: torch.Tensor, frames: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return which frames (batch, frames) of a mixed batch's features have a label; arguments as of `at`."""
        return torch.stack([part.own_frames(centers, frames, lengths) for part in self.parts]).any(0)

    def shifted(self, samples: torch.Tensor, lengths: torch.Tensor | None = None) -> MixedBatch:
        """Return the targets of a mixed batch later by each clip's samples, (batch,), within its lengths (batch,)."""
        return self._each(lambda part: part.shifted(samples, lengths))

    def rolled(self, samples: torch.Tensor, lengths: torch.Tensor) -> MixedBatch:
        """Return the targets of a mixed batch rolled by each clip's samples (batch,) within its lengths (batch,)."""
        return self._each(lambda part: part.rolled(samples, lengths))

    def taken(self, rows: torch.Tensor) -> MixedBatch:
        """Return the targets of other clips of a mixed batch, by their rows, (batch,)."""
        parts = self._each(lambda part: part.taken(rows)).parts
        return self._replace(parts=parts, weights=tuple(weight[rows] for weight in self.weights))

    def mixed(self, other: Any, own: torch.Tensor, others: torch.Tensor, rule: Rule = "sum") -> MixedBatch:
        """Return the targets of a mixed batch, mixed again with those of other clips, by weights (batch,)."""
        return MixedBatch((self, other), (own, others), rule)

    def spliced(self, other: Any, begins: torch.Tensor, ends: torch.Tensor) -> SplicedBatch:
        """Return the targets of a mixed batch with other clips' between two samples (batch,) of each clip."""
        return SplicedBatch(self, other, begins, ends)

    def _each(self, change: Callable[[Any], Any]) -> MixedBatch:
        return self._replace(parts=tuple(change(part) for part in self.parts))


class SplicedBatch(NamedTuple):
    """Targets in time of a batch in whose clips a stretch was replaced by other clips'.

    Args:
        outer: The clips' own targets.
        inner: The others', which hold for frames centered in the stretch.
        begins: (batch,) first sample of the stretch.
        ends: (batch,) the sample after its last.
    """

    outer: Any
    inner: Any
    begins: torch.Tensor
    ends: torch.Tensor

    def at(self, centers: torch.Tensor, frames: torch.Tensor, lengths: torch.Tensor) -> Any:
        """Take the targets of a spliced batch to the frames of its features.

        Args:
            centers: (frames,) in samples from a waveform's first, ascending.
            frames: (batch,) frames of each clip.
            lengths: (batch,) samples of each clip.

        Returns:
            As the parts give it.
        """
        within = self._within(centers)

        def joined(values: list[torch.Tensor]) -> torch.Tensor:
            outer, inner = values
            kind = torch.promote_types(outer.dtype, inner.dtype)
            return torch.where(
                within.view(-1, *[1] * (outer.dim() - 2), within.shape[1]), inner.to(kind), outer.to(kind)
            )

        return _by_mark(joined, [part.at(centers, frames, lengths) for part in (self.outer, self.inner)])

    def own_frames(self, centers: torch.Tensor, frames: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return which frames (batch, frames) of a spliced batch's features have a label; arguments as of `at`."""
        outer, inner = (part.own_frames(centers, frames, lengths) for part in (self.outer, self.inner))
        return torch.where(self._within(centers), inner, outer)

    def _within(self, centers: torch.Tensor) -> torch.Tensor:
        """Return which frames (batch, frames) of a spliced batch are centered in the stretch."""
        place = centers.to(self.begins.device, torch.float64)
        return (place >= self.begins.double()[:, None]) & (place < self.ends.double()[:, None])

    def stretched(self, factors: torch.Tensor) -> SplicedBatch:
        """Return the targets of a spliced batch with each clip's times multiplied by its factor, (batch,)."""
        own = factors.to(self.begins.device, torch.float64)
        return SplicedBatch(
            self.outer.stretched(factors), self.inner.stretched(factors), self.begins * own, self.ends * own
        )

    def shifted(self, samples: torch.Tensor, lengths: torch.Tensor | None = None) -> SplicedBatch:
        """Return the targets of a spliced batch later by each clip's samples, (batch,), within its lengths (batch,)."""
        own = samples.to(self.begins.device)
        outer, inner = (part.shifted(samples, lengths) for part in (self.outer, self.inner))
        return SplicedBatch(outer, inner, self.begins + own, self.ends + own)

    def rolled(self, samples: torch.Tensor, lengths: torch.Tensor) -> RolledBatch:
        """Return the targets of a spliced batch rolled by samples (batch,) within the clips' lengths (batch,)."""
        return RolledBatch(self.shifted(samples - lengths, lengths), self.shifted(samples, lengths), samples)

    def taken(self, rows: torch.Tensor) -> SplicedBatch:
        """Return the targets of other clips of a spliced batch, by their rows, (batch,)."""
        return SplicedBatch(self.outer.taken(rows), self.inner.taken(rows), self.begins[rows], self.ends[rows])

    def mixed(self, other: Any, own: torch.Tensor, others: torch.Tensor, rule: Rule = "sum") -> MixedBatch:
        """Return the targets of a spliced batch mixed with those of other clips, by weights (batch,)."""
        return MixedBatch((self, other), (own, others), rule)

    def spliced(self, other: Any, begins: torch.Tensor, ends: torch.Tensor) -> SplicedBatch:
        """Return the targets of a spliced batch with other clips' between two samples (batch,) of each clip."""
        return SplicedBatch(self, other, begins, ends)


def _by_mark(joined: Callable[[list[torch.Tensor]], torch.Tensor], found: list[Any]) -> Any:
    """Join the parts of a batch's mixed targets, which are dicts where they have several marks."""
    if isinstance(found[0], dict):
        return {name: joined([each[name] for each in found]) for name in found[0]}
    return joined(found)
