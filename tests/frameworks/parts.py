"""What the scripts in tests/frameworks/ train: 24 short recordings, random crops of them, and a small model.

Every script is given a folder, writes what it saw as JSON, one file a rank, and is compared with `plain`: the same by
torch's own DataLoader in one process.
"""

from __future__ import annotations

import hashlib
import json
import os
import wave
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

import audiofeed as af

RATE, CLIPS, BATCH = 8000, 24, 4


def make_folder(root: Path) -> Path:
    """Write the recordings, of 0.2 to 0.4 s, in two folders that are their classes."""
    noise = np.random.default_rng(0)
    for index in range(CLIPS):
        folder = root / ("high" if index % 2 else "low")
        folder.mkdir(parents=True, exist_ok=True)
        with wave.open(str(folder / f"{index:02}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(noise.integers(-9000, 9000, 1600 + 71 * index, dtype=np.int16).tobytes())
    return root


def open_folder(root: str | Path) -> Any:
    return af.AudioFolder(root, crop=af.RandomCrop(seconds=0.1))


def log_mel(**settings: Any) -> nn.Module:
    return af.LogMelSpectrogram(sample_rate=RATE, n_fft=128, hop_length=64, n_mels=8, **settings)


def make_collate(transform: nn.Module | None = None, **settings: Any) -> af.GPUSpecCollate:
    return af.GPUSpecCollate(log_mel() if transform is None else transform, device="cpu", **settings)


def make_sampler(dataset: Any, **settings: Any) -> Any:
    return af.ClipBatchSampler(dataset, batch_size=BATCH, seed=1, **settings)


class Model(nn.Module):
    """A linear classifier of a clip's mean features, whatever their precision; with a transform, of its waveform."""

    def __init__(self, **registered: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.line = nn.Linear(8, 2)
        self.parts = nn.ModuleDict(registered)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.line(features.mean(-1))
        return logits


def digest(values: torch.Tensor) -> str:
    return hashlib.sha1(values.detach().contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()[:12]


def seen(batch: Any) -> list[Any]:
    """What is compared of a batch: its clips, and its features bit by bit."""
    return [[Path(name).stem for name in batch.names], digest(batch.features)]


def plain(root: str | Path, epoch: int, rank: int = 0, world_size: int = 1, **transform: Any) -> list[Any]:
    """What a rank sees of an epoch, by a plain DataLoader in this process."""
    dataset = open_folder(root)
    sampler = make_sampler(dataset, rank=rank, world_size=world_size)
    sampler.set_epoch(epoch)
    return [
        seen(batch)
        for batch in DataLoader(dataset, batch_sampler=sampler, collate_fn=make_collate(log_mel(**transform)))
    ]


def weights(module: nn.Module) -> str:
    return digest(torch.cat([parameter.detach().flatten().double() for parameter in module.parameters()]))


def write(folder: str | Path, name: str, found: Any) -> None:
    rank = int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")))
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        rank = torch.distributed.get_rank()
    Path(folder, f"{name}.{rank}.json").write_text(json.dumps(found))


def read(folder: str | Path, name: str, rank: int = 0) -> Any:
    return json.loads(Path(folder, f"{name}.{rank}.json").read_text())


def leave_group() -> None:
    """End the group of ranks: a process whose group still has threads may abort while it ends."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
