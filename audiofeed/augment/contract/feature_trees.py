"""Features of an augmentation's clips, one tensor or a dict of them, each changed with the frames of its clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from audiofeed.augment.contract.clips import Clips
from audiofeed.methods.lengths import length_mask


def map_features(clips: Clips, change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Any:
    """Apply a function to each of an augmentation's features.

    Args:
        clips: The clips.
        change: Called with features (batch, ..., bins, frames) and the frames of each clip (batch,), one after another
            where features are a dict.

    Returns:
        The features, as a dict where they are one.

    Raises:
        ValueError: Features have fewer than three axes.

    >>> clips = Clips(torch.zeros(1, 4), torch.tensor([4]), torch.tensor([0]), features={"a": torch.ones(1, 2, 3)})
    >>> map_features(clips, lambda features, frames: features * frames)["a"].sum()
    tensor(18.)
    """
    return _walk(clips.features, clips.feature_lengths, change)


def map_framed(clips: Clips, change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> dict[str, Any]:
    """Apply a function to the targets of an augmentation's clips whose last axis is the features' frames.

    Args:
        clips: The clips.
        change: Called with targets (batch, ..., frames) and the frames of each clip (batch,).

    Returns:
        The targets and the fields, by these names.

    >>> clips = Clips(torch.zeros(1, 4), torch.tensor([4]), torch.tensor([0]), features=torch.ones(1, 2, 3))
    >>> clips = clips.with_values(targets=torch.ones(1, 3), framed=frozenset({"targets"}))
    >>> map_framed(clips, lambda targets, frames: -targets)["targets"]
    tensor([[-1., -1., -1.]])
    """

    def changed(value: Any) -> Any:
        return _walk_framed(value, clips.features, clips.feature_lengths, change)

    targets = changed(clips.targets) if "targets" in clips.framed else clips.targets
    fields = {name: changed(entry) if name in clips.framed else entry for name, entry in clips.fields.items()}
    return {"targets": targets, "fields": fields}


def own_frames(features: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """Return a mask of an augmentation's features, True for the frames of each clip itself, with as many axes.

    >>> own_frames(torch.zeros(2, 80, 3), torch.tensor([1, 3])).shape
    torch.Size([2, 1, 3])
    """
    own = length_mask(features.shape[-1], frames)
    return own.view(own.shape[0], *[1] * (features.dim() - 2), own.shape[1])


def of_clips(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return what an augmentation has of each clip, (batch,), with as many axes as its features.

    >>> of_clips(torch.zeros(2), torch.zeros(2, 80, 3)).shape
    torch.Size([2, 1, 1])
    """
    return values.view(-1, *[1] * (like.dim() - 1))


def all_frames(features: torch.Tensor, frames: torch.Tensor | None) -> torch.Tensor:
    """Return the frames of each of an augmentation's clips: all, where the transform does not say.

    >>> all_frames(torch.zeros(2, 80, 3), None)
    tensor([3, 3])
    """
    if frames is None:
        return torch.full(features.shape[:1], features.shape[-1], dtype=torch.int64, device=features.device)
    return frames


def _entry(tree: Any, name: Any) -> Any:
    return tree.get(name) if isinstance(tree, Mapping) else tree


def _walk(features: Any, frames: Any, change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(features, Mapping):
        return {name: _walk(entry, _entry(frames, name), change) for name, entry in features.items()}
    if features.dim() < 3:
        raise ValueError(
            f"features of shape {tuple(features.shape)} cannot be augmented; they must be (batch, ..., bins, frames)"
        )
    return change(features, all_frames(features, frames))


def _walk_framed(value: Any, features: Any, frames: Any, change: Callable[..., torch.Tensor]) -> Any:
    if isinstance(features, Mapping):
        return {
            name: _walk_framed(value[name], entry, _entry(frames, name), change) for name, entry in features.items()
        }
    if isinstance(value, Mapping):
        return {name: _walk_framed(entry, features, frames, change) for name, entry in value.items()}
    return change(value, all_frames(features, frames))
