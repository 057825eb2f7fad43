"""The contract of transforms from features back to waveforms, and the lengths of these."""

from __future__ import annotations

from typing import cast

import torch

from audiofeed.arguments.checks import check_count
from audiofeed.methods.rows import check_lengths
from audiofeed.transforms.contract.feature_transform import FeatureTransform


class ToWaveform(FeatureTransform):
    """A module from (batch, ..., bins, frames) to waveforms: `transform(features, length=None, *, lengths=None)`.

    A subclass gives `compute`, which is told the `length` that was asked for, and `sample_lengths`. The checks of a
    length are kept here.
    """

    gives_waveforms = True

    def sample_lengths(self, frames: torch.Tensor) -> torch.Tensor:
        """Samples of clips of `frames` frames, where no length is given: integers of any shape, and of the same."""
        raise NotImplementedError

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """The lengths of the results, which are samples: see `sample_lengths`."""
        return self.sample_lengths(lengths)

    def result_lengths(self, lengths: torch.Tensor, **settings: object) -> torch.Tensor:
        length = settings.get("length")
        if isinstance(length, torch.Tensor):
            return length.to(lengths.device)
        return self.sample_lengths(lengths) if length is None else torch.full_like(lengths, cast("int", length))

    def _check_length(self, length: int | torch.Tensor | None, features: torch.Tensor) -> int | torch.Tensor | None:
        """The length asked for, after making sure that it is one: a count of samples, or one for each clip."""
        if length is None or not isinstance(length, torch.Tensor):
            return length if length is None else check_count("length", length)
        batch = features.shape[0] if features.dim() > 2 else 1
        return check_lengths(length, batch, torch.iinfo(torch.int32).max, unit="samples")

    def _run_to(
        self,
        features: torch.Tensor,
        length: int | torch.Tensor | None,
        lengths: torch.Tensor | None,
        **settings: object,
    ) -> torch.Tensor:
        """Waveforms of `length`. Where each clip has its own and no `lengths` are given, all frames are each clip's."""
        length = self._check_length(length, features)
        if isinstance(length, torch.Tensor) and lengths is None:
            lengths = torch.full_like(length, features.shape[-1])
        return self.run(features, lengths, length=length, **settings)
