"""The loop of the demo: what a user would write."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, RandomSampler

from audiofeed.data import AudioFolder
from audiofeed.feed import AudioBatch, GPUSpecCollate
from audiofeed.loading import DeviceLoader
from audiofeed.parallel.interrupts import forgive_hangups, held_interrupts

_LEARNING_RATE = 4e-3
_WEIGHT_DECAY = 0.05
_LABEL_SMOOTHING = 0.1


class Watcher(Protocol):
    """Protocol of an observer of the demo's training, told of its epochs and batches."""

    def epoch(self, number: int, batches: int) -> None:
        """Take note that an epoch of the demo's training begins, counted from 1."""

    def batch(self, loss: float, accuracy: float) -> None:
        """Take note that a batch of the demo's training is done; loss and accuracy are the epoch's means so far."""


@dataclass
class Progress:
    """Progress of the demo's training: clips and samples seen, the first batch, loss and accuracy.

    Args:
        clips: Clips that went through the model.
        samples: Their samples.
        shown: The first batch, as the model saw it.
        loss: The last epoch's mean training loss.
        accuracy: The share of the last epoch's training clips that were right, 0 to 1.
        seconds: How long it took.
    """

    clips: int = 0
    samples: int = 0
    shown: AudioBatch | None = None
    loss: float = 0.0
    accuracy: float = 0.0
    seconds: float = 0.0


def make_loader(
    dataset: AudioFolder, collate: GPUSpecCollate, *, batch_size: int, workers: int, seed: int | None, pin_memory: bool
) -> DataLoader[Any]:
    """Return a plain DataLoader of the clips for the demo's training or test loop.

    Args:
        dataset: The clips.
        collate: Makes the batches.
        batch_size: Clips in a batch.
        workers: Reading processes.
        seed: Shuffles; None keeps the order.
        pin_memory: Whether batches pass through page-locked memory.
    """
    sampler = None
    if seed is not None:
        # its own generator: a DataLoader draws from its own too, how often depends on the number of workers
        sampler = RandomSampler(dataset, generator=torch.Generator().manual_seed(seed))
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
        collate_fn=collate,
        worker_init_fn=forgive_hangups,
        generator=torch.Generator().manual_seed(0),
        # one clip alone has no batch statistics worth the name
        drop_last=seed is not None and len(dataset) >= batch_size,
    )


def train(model: nn.Module, loader: DeviceLoader, dataset: AudioFolder, *, epochs: int, watcher: Watcher) -> Progress:
    """Train the demo's classifier in a loop, with AdamW on a one-cycle schedule.

    Args:
        model: From (features, feature_lengths) to logits, on its device.
        loader: Of the training clips; its statistics tell where the time went.
        dataset: What the loader reads.
        epochs: 1 or more.
        watcher: Told after every batch.

    Raises:
        AudioReadError: A file cannot be read.
    """
    with held_interrupts():
        # the first optimizer imports torch's compiler
        optimizer = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=_LEARNING_RATE, total_steps=epochs * len(loader), pct_start=0.25
    )
    progress = Progress()
    model.train()
    start = time.perf_counter()
    for epoch in range(epochs):
        dataset.set_epoch(epoch)
        watcher.epoch(epoch + 1, len(loader))
        loss_sum = right = seen = 0.0
        for batch in batches_of(loader):
            targets = batch.targets
            logits = model(batch.features, batch.feature_lengths)
            loss = functional.cross_entropy(logits, targets, label_smoothing=_LABEL_SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            loss_sum += float(loss.detach()) * len(batch)
            right += float((logits.argmax(1) == targets).sum())
            seen += len(batch)
            progress.samples += int(batch.lengths.sum())
            if progress.shown is None:
                progress.shown = batch
            watcher.batch(loss_sum / seen, right / seen)
        progress.clips += int(seen)
        progress.loss, progress.accuracy = loss_sum / seen, right / seen
    progress.seconds = time.perf_counter() - start
    return progress


@torch.no_grad()
def count_right(model: nn.Module, loader: DataLoader[Any]) -> int:
    """Return the number of a loader's clips that the demo's model gets right after training.

    Args:
        model: From (features, feature_lengths) to logits.
        loader: Of clips with targets.

    Raises:
        AudioReadError: A file cannot be read.
    """
    model.eval()
    right = 0
    for batch in batches_of(loader):
        logits = model(batch.features, batch.feature_lengths)
        right += int((logits.argmax(1) == batch.targets).sum())
    return right


def batches_of(loader: DataLoader[Any] | DeviceLoader) -> Iterator[AudioBatch]:
    """Yield a loader's batches to the demo's training loop, from workers that never see Ctrl-C."""
    with held_interrupts():
        batches = iter(loader)
    yield from batches
