"""Samples as numbers: integers of 8 to 32 bits to floats, and the ones that are not finite."""

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
    if waveform.dtype != torch.int16:
        return waveform
    if waveform.device.type == "cpu":
        return waveform.float().mul_(INT16_SCALE)
    # One launch reads the integers and writes the products, whatever the default dtype; the scale is a power of two.
    return waveform * torch.tensor(INT16_SCALE, dtype=torch.float32, device="cpu")


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


def scaled(raw: np.ndarray, subtype: str) -> np.ndarray:
    """Scale the bytes of PCM samples of 8, 24 or 32 bits, or of float64 ones, to float32 with full scale at 1.

    Args:
        raw: uint8, the bytes as they stand in a file, the least significant first.
        subtype: "PCM_U8", "PCM_24", "PCM_32" or "DOUBLE".

    Returns:
        float32, one for each sample.

    >>> scaled(np.array([0, 0, 64], np.uint8), "PCM_24").tolist()
    [0.5]
    """
    if subtype == "PCM_U8":
        return (raw.astype(np.float32) - 128.0) * np.float32(2.0**-7)
    if subtype == "PCM_24":
        # as the upper three bytes of 32 bits the sign comes by itself; 24 significant bits are exact in float32
        wide = np.zeros((raw.size // 3, 4), dtype=np.uint8)
        wide[:, 1:] = raw.reshape(-1, 3)
        raw, subtype = wide.reshape(-1), "PCM_32"
    if subtype == "PCM_32":
        return raw.view("<i4").astype(np.float32) * np.float32(2.0**-31)
    with np.errstate(over="ignore"):  # beyond float32 is infinite, and reported as such
        return raw.view("<f8").astype(np.float32)
