"""Target waveforms of clips, as the sources of a mixture: found in a tree of targets, and augmented as the clip is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audiofeed.augment.contract.clips import Clips


def source_at(clips: Clips, path: tuple[Any, ...]) -> Any:
    """Return a target waveform of an augmentation's clips.

    Args:
        clips: The clips.
        path: "targets" or "fields", and the keys from there.

    >>> import torch
    >>> clips = Clips(torch.ones(1, 2), torch.tensor([2]), torch.tensor([0]), targets={"a": torch.zeros(1, 2)})
    >>> source_at(clips, ("targets", "a"))
    tensor([[0., 0.]])
    """
    found = getattr(clips, path[0])
    for key in path[1:]:
        found = found[key]
    return found


def with_source_at(clips: Clips, path: tuple[Any, ...], value: Any) -> Clips:
    """Return an augmentation's clips with another target waveform.

    Args:
        clips: The clips.
        path: As in `source_at`.
        value: The waveforms.

    >>> import torch
    >>> clips = Clips(torch.ones(1, 2), torch.tensor([2]), torch.tensor([0]), targets=(torch.zeros(1, 2), 7))
    >>> with_source_at(clips, ("targets", 0), torch.ones(1, 2)).targets
    (tensor([[1., 1.]]), 7)
    """
    return clips.with_values(**{path[0]: _put(getattr(clips, path[0]), path[1:], value)})


def _put(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return a tree of an augmentation's targets with a value at a path."""
    if not path:
        return value
    if isinstance(tree, Mapping):
        return {**tree, path[0]: _put(tree[path[0]], path[1:], value)}
    entries = [_put(entry, path[1:], value) if place == path[0] else entry for place, entry in enumerate(tree)]
    return type(tree)(*entries) if hasattr(tree, "_fields") else type(tree)(entries)
