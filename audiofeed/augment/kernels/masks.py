"""Features of an augmentation masked by a kernel: copied once, and filled where a mask lies."""

from __future__ import annotations

import functools

import numpy as np
import torch

from audiofeed.augment.kernels.masks_code import FIELDS, write_masks
from audiofeed.augment.kernels.rows import RowStep, done
from audiofeed.methods.short_time.kernel import jit


@functools.lru_cache(maxsize=4)
def _kernel(lanes: int) -> jit.Machine | None:
    return jit.compiled(write_masks(lanes))


def masked(
    features: torch.Tensor,
    frames: np.ndarray,
    rows: np.ndarray,
    time: tuple[np.ndarray, np.ndarray],
    frequency: tuple[np.ndarray, np.ndarray],
    fill: float | None,
) -> torch.Tensor | None:
    """Return an augmentation's features with masks; None where there is no kernel.

    Args:
        features: (batch, ..., bins, frames) float32, `readable`.
        frames: (batch,), those of each clip itself.
        rows: The clips to mask.
        time: int64 (batch, masks), begin and end of each span of frames, within the clip's own.
        frequency: int64 (batch, masks), of bins.
        fill: What stands in a mask; None: the mean of the clip's own frames in all bins.
    """
    machine = _kernel(jit.lanes())
    if machine is None or not features.numel():
        return None
    batch, bins, size = len(features), features.shape[-2], features.shape[-1]
    x = features.reshape(batch, -1, size)
    n_time, n_frequency = time[0].shape[1], frequency[0].shape[1]
    spans = np.empty((batch, n_time + n_frequency, 2), np.int64)
    for part in (0, 1):
        spans[:, :n_time, part], spans[:, n_time:, part] = time[part], frequency[part]
    fields = {
        "bins": bins,
        "groups": x.shape[1] // max(bins, 1),
        "n_time": n_time,
        "n_frequency": n_frequency,
        "by_mean": int(fill is None),
    }
    numbers = np.empty((len(rows), 2), np.int64)
    numbers[:, 0] = spans.ctypes.data + spans.strides[0] * rows
    numbers[:, 1] = int(np.float32(fill or 0.0).view(np.int32))
    step = RowStep(machine, rows, numbers, tuple(fields[name] for name in FIELDS), keeps=spans)
    return done(x, frames, [step], padded=False).view(features.shape)
