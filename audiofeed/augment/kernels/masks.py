"""Features of an augmentation masked by a kernel: copied once, and filled where a mask lies."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import torch

from audiofeed.augment.kernels.masks_code import FIELDS, write_masks
from audiofeed.augment.kernels.rows import Rows, RowStep
from audiofeed.methods.short_time.kernel import jit


@functools.lru_cache(maxsize=4)
def _kernel(lanes: int) -> jit.Machine | None:
    return jit.compiled(write_masks(lanes))


def mask_step(
    shape: Sequence[int],
    rows: np.ndarray,
    time: tuple[np.ndarray, np.ndarray],
    frequency: tuple[np.ndarray, np.ndarray],
    fill: float | None,
) -> RowStep | None:
    """Return the step that masks an augmentation's features; None where there is no kernel.

    Args:
        shape: Of the features, (batch, ..., bins, frames).
        rows: The clips to mask.
        time: int64 (batch, masks), begin and end of each span of frames, within the clip's own.
        frequency: int64 (batch, masks), of bins.
        fill: What stands in a mask; None: the mean of the clip's own frames in all bins.
    """
    machine = _kernel(jit.lanes())
    if machine is None or 0 in shape:
        return None
    n_time, n_frequency = time[0].shape[1], frequency[0].shape[1]
    spans = np.empty((shape[0], n_time + n_frequency, 2), np.int64)
    for part in (0, 1):
        spans[:, :n_time, part], spans[:, n_time:, part] = time[part], frequency[part]
    fields = {
        "bins": shape[-2],
        "groups": math.prod(shape[1:-2]),
        "n_time": n_time,
        "n_frequency": n_frequency,
        "by_mean": int(fill is None),
    }
    numbers = np.empty((len(rows), 2), np.int64)
    numbers[:, 0] = spans.ctypes.data + spans.strides[0] * rows
    numbers[:, 1] = int(np.float32(fill or 0.0).view(np.int32))
    of_all = tuple(fields[name] for name in FIELDS)
    return RowStep(machine, rows, numbers, of_all, keeps=spans, of="features")


def of_features(features: torch.Tensor, frames: np.ndarray, steps: Sequence[RowStep]) -> Rows:
    """Return an augmentation's features (batch, ..., bins, frames) as rows, each bin a channel.

    Args:
        features: `readable`.
        frames: int64 (batch,), those of each clip itself.
        steps: What is done with them.
    """
    return Rows(features.reshape(len(frames), -1, features.shape[-1]), frames, steps, padded=False)
