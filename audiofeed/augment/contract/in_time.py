"""Targets in time that follow an augmentation: found in a tree of targets, and moved as the waveform is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch

from audiofeed.augment.contract.clips import Clips


@runtime_checkable
class InTime(Protocol):
    """Protocol of targets in time in a batch, which know how an augmentation of the waveform moves them.

    Times are in samples from each waveform's first. Each method returns new targets of the batch.
    """

    def stretched(self, factors: torch.Tensor) -> InTime:
        """Return the targets with the times of each clip multiplied by the factor of its augmentation, (batch,)."""

    def shifted(self, samples: torch.Tensor, lengths: torch.Tensor | None = None) -> InTime:
        """Return the targets with the times of each clip later by an augmentation's samples, (batch,).

        With the clips' lengths, (batch,), what leaves a clip is gone for good.
        """

    def rolled(self, samples: torch.Tensor, lengths: torch.Tensor) -> InTime:
        """Return the targets rolled by an augmentation's samples (batch,) within the clips' lengths (batch,)."""

    def taken(self, rows: torch.Tensor) -> InTime:
        """Return the targets of other clips of the batch of an augmentation, by their rows (batch,)."""

    def mixed(self, other: InTime, own: torch.Tensor, others: torch.Tensor) -> InTime:
        """Return the targets mixed with others' of an augmentation, weighted (batch,) and (batch,)."""


def map_in_time(tree: Any, change: Callable[[Any], Any]) -> Any:
    """Apply a function of an augmentation to the targets in time in a tree of dicts and tuples.

    Args:
        tree: Targets or fields of a batch.
        change: Called with each that is `InTime`; everything else stays.

    >>> map_in_time({"class": torch.ones(2)}, lambda targets: None)
    {'class': tensor([1., 1.])}
    """
    if isinstance(tree, InTime):
        return change(tree)
    if isinstance(tree, Mapping):
        return {name: map_in_time(entry, change) for name, entry in tree.items()}
    if isinstance(tree, tuple):
        entries = [map_in_time(entry, change) for entry in tree]
        return type(tree)(*entries) if hasattr(tree, "_fields") else tuple(entries)
    return tree


def with_targets_in_time(clips: Clips, change: Callable[[Any], Any]) -> Clips:
    """Apply a function to every target in time of an augmentation's clips, among targets and fields.

    Args:
        clips: The clips.
        change: As in `map_in_time`.

    >>> clips = Clips(torch.zeros(1, 4), torch.tensor([4]), torch.tensor([0]), targets=torch.ones(1))
    >>> with_targets_in_time(clips, lambda targets: targets.stretched(torch.ones(1))).targets
    tensor([1.])
    """
    return clips.with_values(targets=map_in_time(clips.targets, change), fields=map_in_time(clips.fields, change))
