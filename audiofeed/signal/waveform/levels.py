"""A waveform brought to a level, in float64: by its peak, or by its root mean square (RMS)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def at_peak(waveform: npt.ArrayLike, *, level_db: float = 0.0, floor: float = 1e-8) -> np.ndarray:
    """Return a waveform whose largest sample has a level, in float64, by one gain.

    Args:
        waveform: all samples of it count together.
        level_db: the level of the largest magnitude in dB; 0 dB is 1.0.
        floor: the smallest peak that is divided by, > 0, so that silence stays silence.

    >>> at_peak([0.1, -0.5], level_db=0.0).tolist()
    [0.2, -1.0]
    """
    samples = np.asarray(waveform, dtype=np.float64)
    return samples * (10.0 ** (level_db / 20.0) / max(float(np.abs(samples).max()), floor))


def at_rms(
    waveform: npt.ArrayLike,
    *,
    level_db: float = -20.0,
    floor: float = 1e-8,
    eps: float = 0.0,
    most: float | None = None,
) -> np.ndarray:
    """Return a waveform whose root mean square (RMS) has a level, in float64, by one gain.

    Args:
        waveform: all samples of it count together.
        level_db: the level of the root mean square in dB; 0 dB is 1.0.
        floor: the smallest root mean square that is divided by, > 0, so that silence stays silence.
        eps: added to what is divided by, >= 0.
        most: where the largest magnitude exceeds this, the waveform is divided by that magnitude over it; None: no
            limit.

    >>> at_rms([0.5, -0.5], level_db=0.0).tolist()
    [1.0, -1.0]
    """
    samples = np.asarray(waveform, dtype=np.float64)
    found = samples * (10.0 ** (level_db / 20.0) / (max(float(np.sqrt(np.mean(samples**2))), floor) + eps))
    largest = float(np.abs(found).max())
    return found if most is None or largest <= most else found * (most / (largest + eps))
