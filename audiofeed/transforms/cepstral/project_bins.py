"""The bins of features multiplied by a matrix: cosine transforms with weights of their own, selections, orders."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch

from audiofeed.arguments.checks import shortened
from audiofeed.methods.cepstral.cepstrum import over_bins
from audiofeed.transforms.contract.feature_transform import FeatureTransform


class ProjectBins(FeatureTransform):
    """Project the bins of features by a fixed matrix, as a module: every frame is multiplied by it.

    It is a cosine transform whose coefficients are weighted (Kaldi's cepstra), a projection that was learned elsewhere
    (LDA, a whitening), a selection or another order of bins.

    Args:
        matrix: (other bins, bins) finite numbers; not trained.

    Returns:
        (..., other bins, frames), from features (batch, ..., bins, frames) or (bins, frames), lengths (batch,) in
        frames.

    Raises:
        ValueError: for a matrix of another form; at the call, for features of other bins, or lengths that do not fit.
        TypeError: for features that are complex or of integers.

    >>> ProjectBins([[0.0, 2.0], [1.0, 0.0]])(torch.tensor([[1.0, 3.0], [5.0, 5.0]])).tolist()
    [[10.0, 10.0], [1.0, 3.0]]
    """

    def __init__(self, matrix: np.ndarray | torch.Tensor | Sequence[Sequence[float]]) -> None:
        super().__init__()
        rule = "(other bins, bins) finite real numbers: a row of weights for each bin of the result"
        given = matrix.detach().cpu().numpy() if isinstance(matrix, torch.Tensor) else matrix
        try:
            found = np.array(given)
        except ValueError:  # rows of unequal lengths
            found = np.empty((), dtype=object)
        if found.dtype.kind not in "iuf" or found.ndim != 2 or 0 in found.shape or not np.isfinite(found).all():
            shape = f"of shape {found.shape}" if found.ndim and found.dtype.kind != "O" else "of another kind"
            raise ValueError(f"matrix={shortened(matrix)} ({shape}) must be {rule}")
        self.matrix = tuple(tuple(row) for row in found.astype(np.float64).tolist())
        self.define("of_matrix", functools.partial(np.asarray, self.matrix))

    def check_features(self, features: torch.Tensor) -> None:
        super().check_features(features)
        if features.shape[-2] != len(self.matrix[0]):
            raise ValueError(
                f"features has shape (..., {features.shape[-2]}, {features.shape[-1]}), and matrix is of "
                f"{len(self.matrix[0])} bins; the second last dimension is the bins"
            )

    def compute(self, features: torch.Tensor, lengths: torch.Tensor | None, *, graph: bool) -> torch.Tensor:
        return over_bins(features, self.filter_like("of_matrix", features))
