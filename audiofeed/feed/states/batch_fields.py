"""The fields of a batch, and what a batch knows about its collate in a process without the transform."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch.utils.data import get_worker_info

FIELDS = (
    "features", "feature_lengths", "feature_mask", "waveforms", "lengths", "targets", "names", "fields", "sample_rate",
    "target_lengths",
)  # fmt: skip
FEATURE_FIELDS = ("features", "feature_lengths", "feature_mask")
CARRIED_IN_TIME = ("targets", "fields")  # may hold targets in time, which follow the features' frames
METADATA = ("names", "sample_rate")  # never on a device
_COUNTED = ("waveforms", "lengths", "features")


@dataclass(frozen=True)
class CollateInfo:
    """Names and settings of the collate behind a batch's fields, known in every process, without its module.

    Args:
        token: Token of the collate's `Runtime`; None for a `PadCollate`, which has no features.
        transform_name: Class name of the transform.
        knows_lengths: Whether the transform has `frame_lengths`.
        augmented: Names of the fields that the augmentation changes before the transform.
        with_features: Names of the other fields that it changes along with the features.
        layout: Order of the last two axes of features.
    """

    token: str | None = None
    transform_name: str = ""
    knows_lengths: bool = True
    augmented: frozenset[str] = frozenset()
    with_features: frozenset[str] = frozenset()
    layout: Literal["bins_frames", "frames_bins"] = "bins_frames"


def count_clips(fields: Mapping[str, Any], entries: Mapping[str, Any] | None = None) -> int:
    """Count the clips of a batch by its fields, or by the tensors of its other entries.

    Args:
        fields: Values by field name.
        entries: Values by other names.

    Raises:
        ValueError: There are no waveforms, lengths or features with one row per clip, and no such entry.

    >>> import torch
    >>> count_clips({"waveforms": torch.zeros(2, 8)})
    2
    """
    counted = [fields[name] for name in _COUNTED if fields.get(name) is not None] or [dict(entries or {})]
    for shape in _shapes_in(counted):
        if len(shape) > 0:
            return int(shape[0])
    raise ValueError(
        f"fields has {[*fields, *(entries or {})]}; a batch needs waveforms, lengths or features with one row per "
        "clip: give at least one of them"
    )


def _shapes_in(tree: Any) -> Iterator[Sequence[int]]:
    """Yield the shape of each tensor in a batch's fields, or of what Accelerate puts in its place to describe it."""
    if isinstance(tree, Mapping):
        tree = list(tree.values())
    if hasattr(tree, "shape"):
        yield tree.shape
    elif isinstance(tree, list | tuple):
        for entry in tree:
            yield from _shapes_in(entry)


def describe_pending(name: str, info: CollateInfo, progress: str) -> str:
    """Describe a feature field of a batch that has no value.

    Args:
        name: One of `FEATURE_FIELDS`.
        info: What is known about the collate.
        progress: How far the work is: "started", for example.
    """
    if name != "features" and not info.knows_lengths:
        return f"unknown: {info.transform_name} has no frame_lengths"
    return f"{progress}, by {info.transform_name}" if name == "features" else progress


def foreign_message(name: str, info: CollateInfo) -> str:
    """Return the error message of a batch's field that this process must not compute."""
    worker = get_worker_info()
    place = f"process {os.getpid()}" + ("" if worker is None else f", DataLoader worker {worker.id}")
    head = (
        f"batch.{name} was read in {place}, "
        f"where the GPUSpecCollate({info.transform_name}) that made this batch does not live. "
    )
    if worker is not None:
        return head + (
            "Features are computed in the process that built the collate, because a worker must not use the GPU: read "
            f"batch.{name} in the training loop"
        )
    return f"{head}{AWAY}. Or read batch.features before the batch is pickled, so that the pickle carries them"


AWAY = (
    "If this is a training process, build the transform and the GPUSpecCollate there: in the function given to "
    "torch.multiprocessing.spawn, in train_dataloader of Lightning. A pickled collate takes its transform along, but "
    "to a process started by spawn or forkserver only a copy of one that is not trained, because an optimizer or a "
    "model would not hold the copy's parameters, and of at most 32 MB, as a DataLoader starts its workers like that"
)
