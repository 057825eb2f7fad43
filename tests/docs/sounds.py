"""The recordings that pages read: short clips of tones in noise, as WAV and FLAC, made anew for each page."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000


def write_clip(path: str | Path, seconds: float, rate: int = RATE, seed: int = 0) -> None:
    """Write a tone in noise, 16-bit, in the format of the path's ending.

    Args:
        path: Where; folders are made.
        seconds: Its length.
        rate: Its sample rate in Hz.
        seed: Decides tone and noise.
    """
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    clip = 0.2 * np.sin(2 * np.pi * (200 + 150 * (seed % 7)) * time) + 0.02 * random.standard_normal(len(time))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, clip, rate, subtype="PCM_16")


def write_classes(
    root: str | Path = "recordings", labels: tuple[str, ...] = ("cat", "dog"), takes: int = 6, rate: int = RATE
) -> None:
    """Write a folder for each label with WAV and FLAC files of 0.8 s and more in it, in place of what is there."""
    shutil.rmtree(root, ignore_errors=True)
    for number, label in enumerate(labels):
        for take in range(takes):
            ending = "flac" if take % 3 == 2 else "wav"
            write_clip(Path(root, label, f"{take}.{ending}"), 0.8 + 0.35 * take, rate, seed=number + 2 * take)


def write_flat(root: str | Path = "recordings", names: str = "abc", seconds: float = 1.0) -> None:
    """Write WAV files that lie in the folder itself, in place of what is there."""
    shutil.rmtree(root, ignore_errors=True)
    for number, name in enumerate(names):
        write_clip(Path(root, f"{name}.wav"), seconds, seed=number)
