"""The fields of a batch, and what a batch knows about its collate in a process without the transform."""

from __future__ import annotations

import os
from dataclasses import dataclass

from torch.utils.data import get_worker_info

FIELDS = ("features", "feature_lengths", "feature_mask", "waveforms", "lengths", "targets", "names", "sample_rate")
FEATURE_FIELDS = ("features", "feature_lengths", "feature_mask")
METADATA = ("names", "sample_rate")  # never on a device


@dataclass(frozen=True)
class CollateInfo:
    """Names and settings of the collate behind a batch's fields, known in every process, without its module.

    Args:
        token: Token of the collate's `Runtime`; None for a `PadCollate`, which has no features.
        transform_name: Class name of the transform.
        knows_lengths: Whether the transform has `frame_lengths`.
        augments: Whether waveforms are augmented.
    """

    token: str | None = None
    transform_name: str = ""
    knows_lengths: bool = True
    augments: bool = False


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
    return (
        f"batch.{name} was read in {place}, where the GPUSpecCollate({info.transform_name}) that made this batch "
        "does not live. Features are computed in the process that built the collate, because a worker must not use "
        f"the GPU: read batch.{name} in the training loop. To use batches in another process, build a GPUSpecCollate "
        "there, or read batch.features before the batch is pickled, so that the pickle carries them"
    )
