"""The contract of what takes features, not waveforms: decibels, deltas, inverses."""

from __future__ import annotations

import torch

from audiofeed.transforms.contract.filters import Filtered
from audiofeed.transforms.contract.transform import check_lengths, in_full_precision


class FeatureTransform(Filtered):
    """A module from (batch, ..., bins, frames) to features or waveforms: `transform(features, lengths=None)`.

    A subclass computes clips (`_compute`) and says how long the results are (`frame_lengths`). The rest of the contract
    is kept here: any leading dimensions, clips of their own length, zero past the end, float32 under autocast.
    """

    # a collate, which has waveforms, can say so before the first batch
    takes_features = True
    # whether the features are complex (a spectrum) or real
    takes_complex = False
    # what complex or integer features should have been, for the error
    remedy = "take its power or magnitude"
    # whether the result has the bins of the features, so that a bin keeps its frequency
    keeps_bins = False
    # whether the result is waveforms, which a transform of waveforms may follow
    gives_waveforms = False

    # ---------------------------------------------------------------- what a subclass gives

    def _compute(self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        """Results of clips; what stands past a clip's own result does not matter.

        Shape: (clips, rows of each, bins, frames), 0 past lengths (clips,) -> (clips, rows of each, ..., result).
        """
        raise NotImplementedError

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Lengths of the results of clips of `lengths` frames; here: frames in, frames out."""
        return lengths

    # ---------------------------------------------------------------- what a caller uses

    def forward(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Results of one clip or of a batch.

        Args:
            features: (bins, frames), or (batch, ..., bins, frames) with any leading dimensions, of which the first is
                the batch. float16 and bfloat16 are computed in float32, and float32 comes back.
            lengths: (batch,) frames of each clip of a padded batch, 1 to frames. What stands past them is not looked
                at, and there the result is 0.

        Raises:
            TypeError: for features of another kind (integers; complex for real, or real for complex).
            ValueError: for empty features, or lengths that do not fit them.
        """
        return self._run(features, lengths)

    def _run(self, features: torch.Tensor, lengths: torch.Tensor | None, **settings: object) -> torch.Tensor:
        """`forward` with further arguments for `_compute`."""
        self._check_features(features)
        graph = self._needs_graph(features)
        if features.dtype in (torch.float16, torch.bfloat16):
            features = features.float()
        *leading, bins, frames = features.shape
        clips = features.reshape(leading[0] if leading else 1, -1, bins, frames)
        if lengths is not None:
            lengths = check_lengths(lengths, clips.shape[0], frames, unit="frames").to(clips.device)
            clips = clear_past(clips, lengths)
        with in_full_precision(clips.device, graph=graph):
            result = self._compute(clips, lengths, graph=graph, **settings)
            if lengths is not None:
                result = clear_past(result, self._result_lengths(lengths, **settings))
        return result.reshape(*leading, *result.shape[2:])

    def _result_lengths(self, lengths: torch.Tensor, **settings: object) -> torch.Tensor:
        """Where each clip's result ends, along its last dimension."""
        return self.frame_lengths(lengths)

    def _check_features(self, features: torch.Tensor) -> None:
        if not isinstance(features, torch.Tensor):
            raise TypeError(
                f"features is a {type(features).__name__}, and must be a torch.Tensor; use torch.as_tensor(features)"
            )
        if self.takes_complex and not features.is_complex():
            raise TypeError(f"features has dtype {features.dtype}, and must be complex: {self.remedy}")
        if not self.takes_complex and not features.is_floating_point():
            raise TypeError(f"features has dtype {features.dtype}, and must be real floating point; {self.remedy}")
        if features.dim() < 2 or features.numel() == 0:
            raise ValueError(
                f"features has shape {tuple(features.shape)}, and must be (..., bins, frames) with at least one frame"
            )


def clear_past(features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """0 past each clip's own length, whatever stood there.  Shape: (clips, ..., n), lengths (clips,) -> the same.

    >>> clear_past(torch.ones(2, 3), torch.tensor([1, 3])).tolist()
    [[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    """
    past = torch.arange(features.shape[-1], device=features.device) >= lengths[:, None]
    return features.masked_fill(past.view(len(past), *[1] * (features.dim() - 2), -1), 0)
