"""The clips of a batch on their way through augmentations: waveforms or features, lengths, seeds and targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from audiofeed.methods.lengths import clear_past


@dataclass(frozen=True, eq=False)
class Clips:
    """Clips of a batch as augmentations take and return them, on the device; in `audiofeed/augment/contract/`.

    Args:
        waveforms: (batch, time) or (batch, channel, time), floating point, zero past each clip's end.
        lengths: (batch,) int64, samples of each clip, on the waveforms' device.
        seeds: (batch,) int64, one for each clip; all that is drawn for a clip follows from its own.
        sample_rate: Samples per second, Hz, 1 or more; None if unknown.
        targets: The batch's targets, as the collate has them; those in time know how they move with the waveform.
        fields: What else the clips have, collated, by name.
        names: Name of each clip; None if no clip has one.
        features: (batch, ..., bins, frames), or a dict of them; None before the transform.
        feature_lengths: (batch,) frames of each clip, or a dict of them; None before the transform, or if it has no
            `frame_lengths`.
        framed: Which of "targets" and the names of `fields` have the features' frames as their last axis.
        sources: Where among targets and fields the clips' target waveforms lie: "targets" or "fields", and the keys
            from there.
        fetched: What the augmentation had read for these clips in the worker; None if it reads nothing.

    >>> clips = Clips(torch.zeros(2, 8), torch.tensor([8, 4]), torch.tensor([5, 6]), sample_rate=8000)
    >>> clips.batch, clips.size
    (2, 8)
    """

    waveforms: torch.Tensor
    lengths: torch.Tensor
    seeds: torch.Tensor
    sample_rate: int | None = None
    targets: Any = None
    fields: Mapping[Any, Any] = field(default_factory=dict)
    names: list[Any] | None = None
    features: Any = None
    feature_lengths: Any = None
    framed: frozenset[str] = frozenset()
    sources: tuple[tuple[Any, ...], ...] = ()
    fetched: Any = None

    @property
    def batch(self) -> int:
        """Number of clips in an augmentation's batch."""
        return self.waveforms.shape[0]

    @property
    def size(self) -> int:
        """Samples that every clip of an augmentation's batch is padded to."""
        return self.waveforms.shape[-1]

    def rate(self, augmentation: object) -> int:
        """Return the sample rate of an augmentation's clips, Hz.

        Args:
            augmentation: What needs it; named in the error.

        Raises:
            ValueError: It is unknown.
        """
        if self.sample_rate is None:
            raise ValueError(
                f"{type(augmentation).__name__} needs the clips' sample rate, which is unknown: give it with the call, "
                "sample_rate=16000, or let the dataset or the transform of the collate say it"
            )
        return self.sample_rate

    def with_values(self, **values: Any) -> Clips:
        """Return an augmentation's clips with other values of some of their attributes.

        Args:
            values: By the names of the attributes.
        """
        if torch.compiler.is_compiling():
            return replace(self, **values)
        unknown = values.keys() - self.__dict__.keys()
        if unknown:
            raise TypeError(f"Clips have no {sorted(unknown)}; they have {list(self.__dict__)}")
        # a third of the time of `dataclasses.replace`
        clips = object.__new__(type(self))
        clips.__dict__.update(self.__dict__, **values)
        return clips

    def put(self, active: torch.Tensor, waveforms: torch.Tensor) -> Clips:
        """Return the clips with an augmentation's waveforms where it was drawn, zero past each clip's end.

        Args:
            active: (batch,) bool, True for the clips that take the new waveform.
            waveforms: of the same shape as the clips' own; what stands past a clip's end is replaced by 0.
        """
        own = active.view(-1, *[1] * (waveforms.dim() - 1))
        changed = clear_past(waveforms.to(self.waveforms.dtype), self.lengths)
        return self.with_values(waveforms=torch.where(own, changed, self.waveforms))
