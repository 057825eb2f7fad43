"""Targets in time in a batch: joined in the collate, and brought to the features' frames when these are computed.

Only the training process knows the transform, and so where its frames lie. A worker joins and pads what the dataset has
cut (`audiofeed.data.targets.timed`); `at_frames` does the rest on the device, from the transform's own centers and
frame lengths, so that any way of framing is right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch

from audiofeed.data.targets.timed import TIMED, TimedBatch, WaveformBatch
from audiofeed.feed.padding import Padded
from audiofeed.feed.states.batch_fields import CARRIED_IN_TIME
from audiofeed.feed.states.tensor_trees import is_named_tuple
from audiofeed.feed.transform_contract import centers_of


def has_timed(tree: Any) -> bool:
    """Return True if a batch's targets, or some in their tree of dicts, lists and tuples, wait for features' frames.

    >>> has_timed({"a": torch.zeros(2)})
    False
    """
    if isinstance(tree, TIMED):
        return True
    if isinstance(tree, Mapping):
        return any(has_timed(entry) for entry in tree.values())
    return isinstance(tree, tuple) and any(has_timed(entry) for entry in tree)


def waits_for_frames(padded: Padded, name: str) -> bool:
    """Return True for a field of a padded batch that holds targets in time, which follow the features' frames.

    Args:
        padded: The batch.
        name: Name of the field.
    """
    return name in CARRIED_IN_TIME and has_timed(getattr(padded, name))


def in_frames(padded: Padded, transform: torch.nn.Module, computed: Mapping[str, Any]) -> dict[str, Any]:
    """Bring the fields of a padded batch that hold targets in time to the frames of its features.

    Args:
        padded: The batch, on the features' device.
        transform: The module that made the features.
        computed: The features, frames last, and their lengths, by the names of the batch's fields.

    Returns:
        Those fields by name, as `at_frames` gives them.

    Raises:
        ValueError: The transform does not say where its frames lie.
    """
    features, frames = computed["features"], computed["feature_lengths"]
    return {
        name: at_frames(getattr(padded, name), transform, features, frames, padded.lengths, padded.sample_rate)
        for name in CARRIED_IN_TIME
        if waits_for_frames(padded, name)
    }


def framed_names(padded: Padded) -> frozenset[str]:
    """Return which targets of a padded batch have the features' frames as their last axis, once these are computed.

    Args:
        padded: The batch.

    Returns:
        "targets" if the batch's targets are in time, and the name of each entry of its fields that is.
    """
    own = {"targets"} if isinstance(padded.targets, TIMED) else set()
    return frozenset(own | {name for name, entry in padded.fields.items() if isinstance(entry, TIMED)})


def fit_waveforms(padded: Padded) -> Padded:
    """Pad the target waveforms of a padded batch as its waveforms are, once their length is known.

    Args:
        padded: The batch.

    Returns:
        The batch with (batch, [channel,] time) tensors for target waveforms.
    """
    size = padded.waveforms.shape[-1]
    changed = {
        name: _mapped(getattr(padded, name), WaveformBatch, lambda batch: batch.padded(size))
        for name in CARRIED_IN_TIME
    }
    sources = [(name, *path) for name in CARRIED_IN_TIME for path in _paths(getattr(padded, name), WaveformBatch)]
    return replace(padded, **changed, sources=tuple(sources))


def at_frames(
    tree: Any,
    transform: torch.nn.Module,
    features: Any,
    frames: Any,
    lengths: torch.Tensor,
    sample_rate: int | None,
) -> Any:
    """Bring the targets in time in a batch's tree of targets to the frames of its features.

    Args:
        tree: Collated targets or fields, on the features' device.
        transform: The module that made the features.
        features: (batch, ..., frames), or a dict of them.
        frames: (batch,) frames of each clip, or a dict of them; None: all of them.
        lengths: (batch,) samples of each clip.
        sample_rate: Hz of the clips; None if unknown.

    Returns:
        The tree with tensors of as many frames as the features have. Where features are a dict, each target in time
        becomes a dict by the features' names, for the frames of each.

    Raises:
        ValueError: The transform does not say where its frames lie.

    >>> at_frames({"class": torch.ones(2)}, torch.nn.Identity(), torch.ones(2, 1, 3), None, torch.tensor([3, 3]), None)
    {'class': tensor([1., 1.])}
    """

    def in_time(batch: TimedBatch) -> Any:
        if isinstance(features, Mapping):
            return {
                name: _at(batch, _member(transform, name), features[name], _entry(frames, name), lengths, sample_rate)
                for name in features
            }
        return _at(batch, transform, features, frames, lengths, sample_rate)

    with torch.no_grad():
        return _mapped(tree, TIMED, in_time)


def _at(
    batch: TimedBatch,
    transform: torch.nn.Module,
    features: torch.Tensor,
    frames: torch.Tensor | None,
    lengths: torch.Tensor,
    sample_rate: int | None,
) -> Any:
    """Bring targets in time of a batch to the frames of its features, which are one tensor."""
    count = features.shape[-1]
    centers = centers_of(transform, count, sample_rate)
    if centers is None:
        raise ValueError(
            f"the targets of this batch are events or labels in time, and {type(transform).__name__} does not say "
            "where its frames lie; give it a method centers(n_frames), in samples, or times(n_frames), in seconds"
        )
    if frames is None:
        frames = torch.full(features.shape[:1], count, dtype=torch.int64)
    return batch.at(torch.as_tensor(centers), frames, lengths)


def _entry(frames: Any, name: str) -> Any:
    """Return the frames of the clips of one of a batch's features that are a dict."""
    return frames.get(name) if isinstance(frames, Mapping) else frames


def _member(transform: torch.nn.Module, name: str) -> torch.nn.Module:
    """Return the transform of one of a batch's features that are a dict: the module of that name."""
    try:
        member: torch.nn.Module = transform[name]  # type: ignore[index]
    except (TypeError, KeyError, IndexError):
        return transform
    return member


def _paths(tree: Any, kind: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the keys that lead to each node of one kind in a batch's tree of targets."""
    if isinstance(tree, kind):
        yield ()
    elif isinstance(tree, Mapping | tuple):
        for key, entry in tree.items() if isinstance(tree, Mapping) else enumerate(tree):
            yield from ((key, *path) for path in _paths(entry, kind))


def _mapped(tree: Any, kind: Any, change: Any) -> Any:
    """Apply a function to the nodes of one kind in a batch's tree of targets, and keep everything else."""
    if isinstance(tree, kind):
        return change(tree)
    if isinstance(tree, dict):
        return {name: _mapped(entry, kind, change) for name, entry in tree.items()}
    if is_named_tuple(tree):
        return type(tree)(*(_mapped(entry, kind, change) for entry in tree))
    if isinstance(tree, tuple):
        return tuple(_mapped(entry, kind, change) for entry in tree)
    return tree
