"""`plot_batch`: the features of a batch's first clips as a picture in a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from audiofeed.feed import AudioBatch


def plot_batch(
    batch: AudioBatch,
    path: str | os.PathLike[str],
    transform: torch.nn.Module,
    *,
    classes: Sequence[str] | None = None,
    clips: int = 8,
    unit: str | None = None,
) -> None:
    """Plot the features of a batch's first clips, side by side on one scale, with their padding hatched.

    As `batch.plot(path)`, which finds the transform itself and draws waveforms too.

    Args:
        batch: A batch with features (batch, bins, frames), in either `layout`; of several channels the first is drawn.
        path: The picture's file; its extension selects the format: .png, .pdf, .svg.
        transform: The transform of the features: its `times(n_frames)` (seconds) and `frequencies` (Hz) label the axes;
            if it has none, or was made without a sample rate, frames and bins are counted.
        classes: Names of integer targets, or of the columns of multi-hot ones.
        clips: Largest number of clips to draw, 1 or more.
        unit: Label of the color bar; None takes the unit of the transform's `log`, if it has one.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        ValueError: The batch has no features of that shape, or `clips` is less than 1.

    >>> import tempfile
    >>> import audiofeed as af
    >>> transform = af.LogMelSpectrogram(sample_rate=16000, n_mels=40)
    >>> batch = af.GPUSpecCollate(transform, device="cpu")([torch.zeros(16000), torch.ones(8000)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plot_batch(batch, f"{folder}/batch.png", transform)
    """
    if batch.features is None:
        raise ValueError(
            "batch.features is NoneType; plot_batch draws features of (batch, bins, frames): use batch.plot(path), "
            "which draws waveforms too"
        )
    batch.plot(path, transform=transform, classes=classes, clips=clips, unit=unit)
