"""What a demo run is asked to do, and the error for what it cannot."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

# past this many threads a model of this size gains nothing
_MOST_THREADS = 4


class DemoError(Exception):
    """Error for settings of the demo that cannot be met; the message is one line with the change to make."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a demo run: the arguments of the command `audiofeed demo`.

    Args:
        data: A folder of audio files; None writes and uses a set of synthetic sounds below `out`.
        target_pattern: Takes file names apart, as in `AudioFolder(target=...)`; None takes labels from folders.
        test: The test split, "FIELD=VALUES"; None holds a fifth of each class out, by hash.
        out: The folder for results.
        device: Where to compute, "cpu" or "cuda" for example; None is the accelerator, else the CPU.
        workers: Processes that read files, 0 or more; 0 reads in the training process.
        epochs: Passes over the training clips, 1 or more; None chooses by the number of clips.
        batch_size: Clips in a batch, 1 or more.
        seconds: The longest part of a clip that is used, above 0.
        seed: Decides the split, the initial weights and every random draw.
        open: Whether a browser may show the report at the end, where there is one and somebody to see it.
    """

    data: Path | None = None
    target_pattern: str | None = None
    test: str | None = None
    out: Path = Path("demo-out")
    device: str | None = None
    workers: int = 2
    epochs: int | None = None
    batch_size: int = 32
    seconds: float = 3.0
    seed: int = 0
    open: bool = True


def cpu_count() -> int:
    """Return the number of CPUs that this process may use, for the demo's settings."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_count() -> int:
    """Return the number of threads for torch to compute with, one of the demo's own settings.

    Half of the CPUs: workers read with the rest, and threads that wait for one another on a core that is taken lose far
    more than they gain (2 threads on 2 busy cores were six times slower than 1). It does not depend on the number of
    workers, because sums, and so accuracies, depend on it.
    """
    return max(1, min(_MOST_THREADS, cpu_count() // 2))


def find_device(name: str | None) -> torch.device:
    """Return the device to compute on from the demo's settings, after checking that it is there.

    Args:
        name: As torch names devices; None is the current accelerator, else the CPU.

    Raises:
        DemoError: There is no such device here.

    >>> find_device("cpu")
    device(type='cpu')
    """
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if name is None:
        return accelerator or torch.device("cpu")
    known = ["cpu"] if accelerator is None else ["cpu", accelerator.type]
    remedy = f"use {' or '.join(f'--device {kind}' for kind in known)}, or leave it out"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DemoError(f"--device {name!r} is no device that torch knows; {remedy}") from error
    if device.type not in known:
        raise DemoError(f"--device {name!r} is not available on this machine; {remedy}")
    if device.type != "cpu" and device.index is not None and device.index >= torch.accelerator.device_count():
        count = torch.accelerator.device_count()
        raise DemoError(f"--device {name!r} does not exist, there are {count}, counted from 0; {remedy}")
    return device
