"""Datasets, modules and probes for the feed's tests, in a module that spawned workers can import by name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset, get_worker_info


class Bands(nn.Module):
    """Two bands of windowed energy: a transform of our contract, with parameters to train."""

    sample_rate = 16000

    def __init__(self, *, trainable: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(0.1, 1.0, 64).repeat(2, 1), requires_grad=trainable)
        self.calls = 0

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        return (lengths - 64).clamp_min(0) // 32 + 1

    def forward(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        self.calls += 1
        frames = nn.functional.pad(waveform, (0, 64)).unfold(-1, 64, 32)
        bands = (frames @ self.weight.T).square().transpose(-1, -2)
        if lengths is None:
            return bands
        own = torch.arange(bands.shape[-1], device=bands.device) < self.frame_lengths(lengths)[:, None]
        return bands * own.reshape(own.shape[0], *[1] * (bands.dim() - 2), own.shape[1])


class Foreign(nn.Module):
    """A transform of somebody else's: one argument, no frame counts."""

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        return waveform.unfold(-1, 64, 32).mean(-1, keepdim=True).transpose(-1, -2)


class Pairs(Dataset[Any]):
    """(waveform, index) with float32 waveforms of unequal length."""

    def __init__(self, clips: int = 10) -> None:
        self.clips = clips

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        noise = torch.Generator().manual_seed(index)
        return torch.randn(700 + 137 * index, generator=noise), index


class Broken(Pairs):
    """Fails at its sixth item."""

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if index == 5:
            raise ValueError("item 5 is broken on purpose")
        return super().__getitem__(index)


class Named(Dataset[Any]):
    """Yields what it was given, by a picklable list."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


class Either(Dataset[Any]):
    """Several datasets under keys (name, key), so that one set of workers serves them all."""

    def __init__(self, datasets: dict[str, Dataset[Any]]) -> None:
        self.datasets = datasets

    def __getitem__(self, key: tuple[str, Any]) -> Any:
        return self.datasets[key[0]][key[1]]


class Batches:
    """A batch sampler: for each dataset by name, its batches in an order drawn from the epoch, which counts iterations.

    Args:
        clips: Number of clips by dataset name.
        keyed: Names of the datasets that take (epoch, index).
    """

    def __init__(self, clips: dict[str, int], keyed: tuple[str, ...], *, named: bool) -> None:
        self.clips = clips
        self.keyed = keyed
        self.named = named
        self.epoch = -1

    def __iter__(self) -> Iterator[list[Any]]:
        self.epoch += 1
        for name, clips in self.clips.items():
            order = torch.randperm(clips, generator=torch.Generator().manual_seed(self.epoch)).tolist()
            keys = [(self.epoch, index) if name in self.keyed else index for index in order]
            keys = [(name, key) for key in keys] if self.named else keys
            yield from (keys[first : first + 4] for first in range(0, clips, 4))

    def __len__(self) -> int:
        return sum(-(-clips // 4) for clips in self.clips.values())


class EachOutput:
    """A collate that gives every collate the same items."""

    def __init__(self, collates: dict[str, Any]) -> None:
        self.collates = collates

    def __call__(self, items: list[Any]) -> dict[str, Any]:
        return {name: collate(items) for name, collate in self.collates.items()}


class ReadInWorker:
    """A collate that reads fields of the batch where it is made, and puts what happened into the targets."""

    def __init__(self, collate: Any) -> None:
        self.collate = collate

    def __call__(self, items: list[Any]) -> dict[str, Any]:
        batch = self.collate(items)
        try:
            message = str(batch.features.shape)
        except RuntimeError as error:
            message = str(error)
        return {
            "message": message,
            "pid": os.getpid(),
            "in_worker": get_worker_info() is not None,
            "cuda": torch.cuda.is_initialized(),
            "shared": batch._progress.state.padded.waveforms.is_shared(),
            "repr": repr(batch),
            "names": list(batch),
            "waveforms": batch.waveforms,
            "lengths": batch.lengths,
        }


def sum_targets(targets: list[Any]) -> Any:
    """A target_collate that pickles."""
    return {"sum": torch.tensor(sum(targets)), "raw": list(targets)}
