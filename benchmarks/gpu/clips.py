"""Synthetic clips and modules for the feeding checks, importable in a spawned worker."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from audiofeed.data.example import AudioExample
from audiofeed.transforms import LogMelSpectrogram

RATE = 16_000
MAGIC_LENGTH = 4321


def log_mel(**options: Any) -> LogMelSpectrogram:
    """The transform of the feeding checks."""
    return LogMelSpectrogram(sample_rate=RATE, n_fft=400, hop_length=160, n_mels=40, **options)


class Clips(Dataset[AudioExample]):
    """Noise, the same for whoever asks; the target tells what its process knows of CUDA.

    Args:
        count: How many clips.
        longest: Samples of the longest clip; clip 0 has one sample.
        kind: "int16", "float32", or "mixed": by turns.
        magic: The index of the one clip of MAGIC_LENGTH samples, longer than `longest`; None: there is none.
    """

    def __init__(self, count: int, *, longest: int = 4000, kind: str = "int16", magic: int | None = None) -> None:
        self.count, self.longest, self.kind, self.magic = count, longest, kind, magic

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> AudioExample:
        random = np.random.default_rng(index)
        length = 1 if index == 0 else int(random.integers(2, self.longest + 1))
        length = MAGIC_LENGTH if index == self.magic else length
        samples = (random.standard_normal(length) * 3000).clip(-32768, 32767).astype(np.int16)
        as_float = self.kind == "float32" or (self.kind == "mixed" and index % 2 == 1)
        waveform = torch.from_numpy(samples.astype(np.float32) / 32768 if as_float else samples)
        target = {"label": index, "cuda": torch.cuda.is_initialized(), "process": os.getpid()}
        return AudioExample(waveform, RATE, target=target, key=f"clip {index}", seed=index)


class Noise(Dataset[AudioExample]):
    """Clips of one length cut from noise made once: a dataset that costs nothing, as raw int16."""

    def __init__(self, count: int, seconds: float) -> None:
        self.count, self.samples = count, int(seconds * RATE)
        random = np.random.default_rng(0)
        self.store = torch.from_numpy((random.standard_normal(self.samples + 9973) * 3000).astype(np.int16))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> AudioExample:
        start = (index * 37) % 9973
        return AudioExample(self.store[start : start + self.samples], RATE, target=index)


def plain_collate(examples: list[AudioExample]) -> tuple[torch.Tensor, torch.Tensor]:
    """What one would write by hand for clips of one length: float32 waveforms and targets."""
    waveforms = torch.stack([example.waveform.float() / 32768 for example in examples])
    return waveforms, torch.tensor([example.target for example in examples])


class Delayed(torch.nn.Module):
    """A transform that keeps its stream busy first, so that whoever reads too early reads wrong numbers."""

    def __init__(self, inner: LogMelSpectrogram, size: int) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("load", torch.eye(size), persistent=False)

    def forward(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """The inner transform's features."""
        load = self.load
        for _ in range(4):
            load = load @ self.load  # type: ignore[operator]
        features: torch.Tensor = self.inner(waveform, lengths)
        return features

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """The inner transform's frames."""
        return self.inner.frame_lengths(lengths)


class Failing(torch.nn.Module):
    """A transform that raises for the batch in which the clip of MAGIC_LENGTH samples is the longest."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = log_mel()

    def forward(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """The inner transform's features, or the error."""
        if waveform.shape[-1] == MAGIC_LENGTH:
            raise ValueError(f"the smoke's own error: no features of {MAGIC_LENGTH} samples")
        features: torch.Tensor = self.inner(waveform, lengths)
        return features

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """The inner transform's frames."""
        return self.inner.frame_lengths(lengths)
