"""The contract of transforms from features back to waveforms, and the lengths of these."""

from __future__ import annotations

from typing import cast

import torch

from audiofeed.arguments.checks import check_count
from audiofeed.methods.batch_rows import check_lengths
from audiofeed.transforms.contract.feature_transform import FeatureTransform


class ToWaveform(FeatureTransform):
    """Base class of a transform back to waveforms, a module from (batch, ..., bins, frames) to samples.

    Called as `transform(features, length=None, *, lengths=None)`. A subclass gives `compute`, which is told the
    `length` asked for, `sample_lengths` and `bins_of_features`; the checks of a length and of the bins are kept here.
    """

    gives_waveforms = True

    def sample_lengths(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the samples of waveforms made from `frames` frames if no length is given.  Shape: any -> the same."""
        raise NotImplementedError

    def bins_of_features(self) -> tuple[int, str]:
        """Return the number of bins that a transform back to waveforms takes, and the rule behind it for an error."""
        raise NotImplementedError

    def forward(  # type: ignore[override]  # a length before lengths, as in torch.istft and librosa
        self,
        features: torch.Tensor,
        length: int | torch.Tensor | None = None,
        *,
        lengths: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Transform the features of one clip or of a batch back to waveforms.

        Args:
            features: (..., bins, frames) with any leading dimensions, of which the first is the batch; complex, or real
                where the class takes magnitudes.
            length: samples of the waveform, or (batch,) samples of each; a batch is as long as its longest. None:
                `sample_lengths` of the frames. Zeros follow where the frames end before. Where it is the length that
                the features were computed from, the end is as good as the rest.
            lengths: (batch,) frames of each clip of a padded batch. What stands past them is not looked at.

        Returns:
            (..., time). Row i equals that clip alone, with zeros past its end.

        Raises:
            TypeError: for features of another kind (real for complex, or the reverse), or lengths that are not
                integers.
            ValueError: for another number of bins, empty features, or lengths that do not fit them.
        """
        return self._run_to(features, length, lengths)

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Return the lengths in samples of the results of a transform back to waveforms. See `sample_lengths`."""
        return self.sample_lengths(lengths)

    def result_lengths(self, lengths: torch.Tensor, **settings: object) -> torch.Tensor:
        length = settings.get("length")
        if isinstance(length, torch.Tensor):
            return length.to(lengths.device)
        return self.sample_lengths(lengths) if length is None else torch.full_like(lengths, cast("int", length))

    def check_features(self, features: torch.Tensor) -> None:
        super().check_features(features)
        self.check_bins(features)

    def check_bins(self, features: torch.Tensor) -> None:
        """Check the number of bins given to a transform back to waveforms; another number is a ValueError."""
        bins, rule = self.bins_of_features()
        if features.shape[-2] != bins:
            raise ValueError(
                f"features has shape {tuple(features.shape)}, and {rule}; the second last dimension is the bins"
            )

    def _check_length(self, length: int | torch.Tensor | None, features: torch.Tensor) -> int | torch.Tensor | None:
        """Return the checked length asked of a transform back to waveforms: a sample count, or one for each clip."""
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
        """Run a transform back to waveforms of `length`; if each clip has one but no `lengths`, all frames count."""
        self.check_features(features)
        length = self._check_length(length, features)
        if isinstance(length, torch.Tensor) and lengths is None:
            lengths = torch.full_like(length, features.shape[-1])
        return self.run(features, lengths, length=length, **settings)  # type: ignore[arg-type]
