"""The moments of a data set's features, for its normalization: what batches may look like, and the loop over them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from audiofeed.arguments.checks import warn_caller
from audiofeed.methods.batch_rows import check_lengths
from audiofeed.methods.lengths import length_mask
from audiofeed.methods.normalization.moments import moments_of
from audiofeed.progress import with_progress
from audiofeed.signal.moments import Moments

_FORMS = (
    "batches must be features (batch, ..., bins, frames), (features, lengths) with (batch,) integer frames, or have "
    "`features` and `feature_lengths` as those of GPUSpecCollate"
)
_PAIR = 2


def measured_moments(loader: Iterable[Any], *, progress: bool | None) -> Moments:
    """Measure the moments of a data set's features, bin by bin, for its normalization. See `Normalize.of`."""
    try:
        total = len(loader)  # type: ignore[arg-type]
    except TypeError:
        total = None
    moments: Moments | None = None
    with torch.no_grad():
        parts = with_progress(loader, what="measuring features", total=total, progress=progress)
        for number, batch in enumerate(parts):
            features, lengths = _read(batch, number)
            own = moments_of(features, lengths)
            if moments is not None and len(own.mean) != len(moments.mean):
                raise ValueError(
                    f"batch {number} has {len(own.mean)} bins, and those before have {len(moments.mean)}; measure the "
                    "features of one transform"
                )
            moments = own if moments is None else moments.merged(own)
    if moments is None:
        raise ValueError("the loader gave no batch, so that there is nothing to measure; an iterator may be used up")
    return moments


def _read(batch: Any, number: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the features of a batch and the frames of its clips; errors name the batch of the measured set."""
    features, lengths = _found(batch, number)
    if not isinstance(features, torch.Tensor) or not features.is_floating_point() or features.dim() < _PAIR:
        shown = f"{features.dtype} {tuple(features.shape)}" if isinstance(features, torch.Tensor) else type(features)
        raise TypeError(f"batch {number} has features {shown}, and must have real (batch, ..., bins, frames); {_FORMS}")
    if features.numel() == 0:
        raise ValueError(f"batch {number} has features of shape {tuple(features.shape)}, without a value")
    n_clips, frames = features.shape[0] if features.dim() > _PAIR else 1, features.shape[-1]
    if lengths is not None:
        try:
            lengths = check_lengths(lengths, n_clips, frames, unit="frames").to(features.device)
        except (TypeError, ValueError) as error:
            raise type(error)(f"batch {number} is (features, lengths) whose {error}; {_FORMS}") from None
    finite = torch.isfinite(features).reshape(n_clips, -1, frames).all(dim=1)
    if lengths is not None:
        finite = finite | ~length_mask(frames, lengths)
    if not finite.all():
        clip = int((~finite.all(dim=1)).nonzero()[0])
        raise ValueError(
            f"clip {clip} of batch {number} has features that are NaN or infinite; a logarithm needs a floor or an "
            "offset above 0, and samples must be finite"
        )
    return features, lengths


def _found(batch: Any, number: int) -> tuple[Any, torch.Tensor | None]:
    """Return what a batch of a measured set has as features, and the lengths it says, if any."""
    if isinstance(batch, torch.Tensor):
        return batch, None
    # a pair of features and targets knows the batch that it is of
    whole = getattr(batch, "batch", batch)
    if isinstance(whole, Mapping):
        features = getattr(whole, "features", None)
        features = whole.get("features") if features is None else features
        if isinstance(features, Mapping):
            raise TypeError(
                f"batch {number} has several features, {sorted(features)}; measure a loader of one of them at a time"
            )
        lengths = getattr(whole, "feature_lengths", None)
        lengths = whole.get("feature_lengths") if lengths is None else lengths
        if features is not None and lengths is None and features.shape[0] > 1:
            warn_caller(
                "the batches do not say how many frames their clips have, so that padding is measured as well; give "
                "the transform a method frame_lengths(lengths), or batches of one clip"
            )
        return features, lengths
    if isinstance(batch, list | tuple) and 1 <= len(batch) <= _PAIR:
        return batch[0], batch[1] if len(batch) == _PAIR else None
    raise TypeError(f"batch {number} is a {type(batch).__name__}; {_FORMS}")
