"""Datasets, modules and loops for the tests of loaders, in a module that spawned workers can import by name."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import torch
from feed_datasets import Bands, Pairs

BACKGROUND = "audiofeed-loading"


def background_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(BACKGROUND)]


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def shared_memory() -> set[str]:
    """Files that torch made in /dev/shm in processes that have ended: the number of the process is in the name."""
    names = [path.name for path in Path("/dev/shm").glob("torch_*")]
    return {name for name in names if not Path("/proc", name.split("_")[1]).exists()}


class Noted(Bands):
    """Bands that note the thread that computes them, how many torch may use there, and can be held at a gate."""

    def __init__(self, *, trainable: bool = False) -> None:
        super().__init__(trainable=trainable)
        self.threads: list[str] = []
        self.torch_threads: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def forward(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        assert self.gate.wait(30)
        self.threads.append(threading.current_thread().name)
        self.torch_threads.append(torch.get_num_threads())
        return super().forward(waveform, lengths)


class Drawing(Pairs):
    """Items with noise from torch's global generator, as somebody's dataset may draw it."""

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        waveform, target = super().__getitem__(index)
        return waveform + torch.randn(len(waveform)), target


class DrawingBands(Bands):
    """Bands times a random gain from the global generator."""

    def forward(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        return super().forward(waveform, lengths) * torch.rand(())


class CountingSampler:
    """Batches of keys (epoch, index), with a state that counts what was taken, as a sampler of ours does."""

    def __init__(self, clips: int, size: int, keyed: bool = False) -> None:
        self.clips, self.size, self.keyed = clips, size, keyed
        self.epoch, self.first, self.handed_out = 0, 0, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.clips // self.size)

    def __iter__(self) -> Any:
        first, self.first = self.first, 0
        self.base, self.handed_out = first, 0
        order = torch.randperm(self.clips, generator=torch.Generator().manual_seed(self.epoch)).tolist()
        keys = [(self.epoch, index) if self.keyed else index for index in order]
        for batch in range(first, len(self)):
            self.handed_out += 1
            yield keys[batch * self.size : (batch + 1) * self.size]

    def state_dict(self, taken: int | None = None) -> dict[str, int]:
        return {"epoch": self.epoch, "batch": self.base + (self.handed_out if taken is None else taken)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.first = state["epoch"], state["batch"]
        self.base, self.handed_out = self.first, 0


def trained_weights(loader: Any, bands: Bands, epochs: int = 2) -> list[torch.Tensor]:
    """Train a head with dropout, and the bands if they are trained, and return all weights."""
    torch.manual_seed(0)
    head = torch.nn.Sequential(torch.nn.Dropout(0.3), torch.nn.Linear(2, 40))
    parameters = [p for p in [*head.parameters(), *bands.parameters()] if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=1e-4)
    for _ in range(epochs):
        for batch in loader:
            features = batch["features"]
            logits = head(features.sum(-1) / features.shape[-1])
            loss = torch.nn.functional.cross_entropy(logits, batch["targets"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return [p.detach().clone() for p in parameters]
