"""Contests of the feature catalogue: one file for each family, found by `benchmarks/catalogue_cpu.py`.

A file has `contests()`, which yields one `Contest` after another; what it prepares before a `yield` is not timed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import librosa
import numpy as np

# the version whose values are compared: the one that is here
COMPAT = "librosa-0.11" if librosa.__version__.startswith("0.") else "librosa-1.0"


@dataclass(frozen=True, kw_only=True)
class Contest:
    """One transform against the peers that have it.

    Args:
        transform: our class.
        setting: rate, frames and amount of audio, in words.
        calls: name -> a call without arguments that computes the feature; "audiofeed" is ours, every other a peer.
        expected: the float64 values that the results are held against; a peer with another definition has its own in
            `definitions`, or None there if nobody has them in float64.
        baselines: names of calls that no library offers: the definition written out in PyTorch. They are shown, and not
            held against the promise: where that is one convolution, ours is the same one.
        note: what is to be said about a definition or a peer.
    """

    transform: str
    setting: str
    calls: dict[str, Callable[[], Any]]
    expected: np.ndarray
    definitions: dict[str, np.ndarray | None] = field(default_factory=dict)
    baselines: tuple[str, ...] = ()
    note: str = ""


def glides(n: int, rate: int) -> np.ndarray:
    """Clips of 10 s: a gliding tone with overtones, in noise.  Shape: (n, 10 * rate)."""
    random = np.random.default_rng(0)
    phase = np.cumsum(2 * np.pi * random.uniform(100, 400, (n, 1)) * np.linspace(1, 1.5, 10 * rate) / rate, axis=1)
    return (sum(np.cos(k * phase) / k for k in range(1, 6)) * 0.1 + random.standard_normal(phase.shape) * 0.01).astype(
        np.float32
    )
