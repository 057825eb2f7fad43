"""Recordings as long as MusicNet's, synthesized: to time a transform nobody needs the 11 GB of the data set."""

from __future__ import annotations

import numpy as np

RATE = 44100
COUNT = 330
HOURS = 34.0
# Classical movements: log-normal about 5.4 minutes, none under one minute or over eighteen
MEDIAN, SPREAD = 325.0, 0.55
SHORTEST, LONGEST = 55.0, 1070.0
SEED = 0


def durations() -> np.ndarray:
    """Seconds of the 330 recordings, sorted: log-normal, within limits, and 34 hours in all."""
    drawn = np.random.default_rng(SEED).lognormal(np.log(MEDIAN), SPREAD, COUNT)
    drawn = np.clip(drawn, SHORTEST, LONGEST)
    return np.sort(drawn * (HOURS * 3600 / drawn.sum()))


def chosen(scale: float) -> np.ndarray:
    """Seconds of the recordings that hold the share `scale` of the sound: at even steps through the sorted lengths.

    Where that is less than the one of median length, it is cut.
    """
    n = max(1, round(scale * COUNT))
    lengths = durations()[((np.arange(n) + 0.5) * COUNT / n).astype(int)]
    return np.minimum(lengths, scale * HOURS * 3600) if n == 1 else lengths


def synthesize(seconds: float, seed: int) -> np.ndarray:
    """A recording in float32: notes of decaying harmonics over a little noise.  Shape: (samples,)."""
    random = np.random.default_rng(seed)
    samples = int(seconds * RATE)
    out = random.standard_normal(samples, dtype=np.float32) * np.float32(3e-3)
    at = 0
    while at < samples:
        length = min(int(random.uniform(0.3, 1.5) * RATE), samples - at)
        t = np.arange(length, dtype=np.float32) / RATE
        pitch = 440 * 2 ** ((random.integers(36, 85) - 69) / 12)
        for harmonic in range(1, 7):
            if harmonic * pitch < RATE / 2:
                out[at : at + length] += np.sin(2 * np.pi * harmonic * pitch * t) * np.exp(-3 * t) * 0.15 / harmonic
        at += int(0.4 * length) + 1
    return out
