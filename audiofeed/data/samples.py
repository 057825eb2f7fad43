"""Samples as numbers: 16-bit integers to floats, and the ones that are not finite."""

from __future__ import annotations

import numpy as np
import torch

from audiofeed.signal.samples import INT16_SCALE


def to_float(waveform: torch.Tensor) -> torch.Tensor:
    """Scale int16 samples read from a file to float32 with full scale at 1; return a float32 waveform as it is.

    Args:
        waveform: int16 or float32, of any shape.

    Returns:
        float32 of the same shape.

    >>> to_float(torch.tensor([-32768, 16384], dtype=torch.int16))
    tensor([-1.0000,  0.5000])
    """
    return waveform.float().mul_(INT16_SCALE) if waveform.dtype == torch.int16 else waveform


def bad_samples(waveform: np.ndarray) -> tuple[int, int]:
    """Count the samples of a waveform from a file that are NaN or infinite and find the first.

    Args:
        waveform: (time,) or (channel, time), floating point.

    Returns:
        Their number, and the earliest frame with one; (0, -1) if all are finite.

    >>> bad_samples(np.array([[0.0, 1.0, np.nan], [0.0, np.inf, np.nan]]))
    (3, 1)
    """
    bad = ~np.isfinite(waveform)
    frames = np.flatnonzero(bad.reshape(-1, bad.shape[-1]).any(0))
    return int(bad.sum()), int(frames[0]) if frames.size else -1
