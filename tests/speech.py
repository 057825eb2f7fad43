"""Quiet speech, synthesized: a voice's pulses through three formants, hissed sounds, and pauses of faint noise."""

from __future__ import annotations

import numpy as np

SAMPLE_RATE = 16000
# the first three formants of some vowels, in hertz
VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
WIDTHS = (80.0, 100.0, 140.0)
PEAK = 1e-2
PAUSE = 3e-6  # the noise of a pause, about -110 dB of full scale
PART = 1200  # samples of each sound


def quiet_speech(rows: int, time: int, seed: int) -> np.ndarray:
    """Speech that peaks at -40 dB of full scale.  Shape: -> (rows, time), float64."""
    rng = np.random.default_rng(seed)
    found = np.zeros((rows, time))
    for row in found:
        pitch = rng.uniform(90, 240)
        for begin in range(0, time, PART):
            row[begin : begin + PART] = _sound(rng, pitch, min(PART, time - begin))
        row *= PEAK / max(np.abs(row).max(), 1e-9)
        row += PAUSE * rng.standard_normal(time)
    return found


def _sound(rng: np.random.Generator, pitch: float, n: int) -> np.ndarray:
    """A vowel, a hissed sound or a pause, which rises and falls.  Shape: -> (n,)."""
    kind = rng.choice(["vowel", "vowel", "vowel", "hiss", "pause"])
    rise = np.minimum(1.0, np.minimum(np.arange(n), np.arange(n)[::-1]) / 160)
    if kind == "pause":
        return np.zeros(n)
    if kind == "hiss":
        return 0.05 * rise * np.diff(rng.standard_normal(n + 1))
    phase = np.cumsum(pitch * (1 + 0.02 * np.sin(2 * np.pi * 5 * np.arange(n) / SAMPLE_RATE))) / SAMPLE_RATE
    x = np.diff(np.floor(phase), prepend=0.0) - pitch / SAMPLE_RATE  # one pulse of each period
    for formant, width in zip(VOWELS[rng.integers(len(VOWELS))], WIDTHS, strict=True):
        x = _resonated(x, formant, width)
    return rise * x / max(np.abs(x).max(), 1e-9)


def _resonated(x: np.ndarray, frequency: float, width: float) -> np.ndarray:
    """Filter by a resonance, sample by sample.  Shape: (n,) -> the same."""
    radius = np.exp(-np.pi * width / SAMPLE_RATE)
    a, b = 2 * radius * np.cos(2 * np.pi * frequency / SAMPLE_RATE), -(radius**2)
    found = np.zeros(len(x) + 2)
    for i, value in enumerate(x):
        found[i + 2] = value + a * found[i + 1] + b * found[i]
    return found[2:]
