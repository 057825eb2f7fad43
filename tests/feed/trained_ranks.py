"""What each of two ranks does to train a transform, in a module that processes started by spawn can import by name."""

from __future__ import annotations

import torch
from feed_datasets import Bands
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from audiofeed.feed import GPUSpecCollate, PadCollate

RANKS = 2


class Filtered(Bands):
    """With a fixed filter in the gradient's way, as transforms of ours have: a buffer, which DDP writes every time."""

    def __init__(self):
        super().__init__(trainable=True)
        self.register_buffer("filter", torch.tensor(2.0), persistent=False)

    def forward(self, waveform, lengths=None):
        return super().forward(waveform, lengths) * self.filter


class Head(nn.Module):
    """A model of features, with whatever else is registered in it; given waveforms, it makes the features itself."""

    def __init__(self, **registered):
        super().__init__()
        self.line = nn.Linear(2, 1)
        self.more = nn.ModuleDict(registered)

    def forward(self, features, lengths=None):
        if lengths is not None:
            features = self.more["transform"](features, lengths)
        return self.line(features.mean(-1)).square().mean()


def steps(rank, collate, model, transform, *, inside=False):
    """Train three steps on clips that differ between the ranks; return the weights of the transform."""
    optimizer = torch.optim.SGD(list(dict.fromkeys([*model.parameters(), *transform.parameters()])), lr=1e-6)
    for step in range(3):
        generator = torch.Generator().manual_seed(10 * step + rank)
        batch = collate([torch.randn(200 + 50 * n, generator=generator) for n in range(2)])
        loss = model(batch.waveforms, batch.lengths) if inside else model(batch.features)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return transform.weight.detach().clone()


def alone(rank, wrap):
    transform = Filtered()
    return steps(rank, GPUSpecCollate(transform, device="cpu"), wrap(Head()), transform)


def allowed(rank, wrap):
    transform = Filtered()
    return steps(rank, GPUSpecCollate(transform, device="cpu", unsynchronized="allow"), wrap(Head()), transform)


def registered(rank, wrap):
    transform = Filtered()
    return steps(rank, GPUSpecCollate(transform, device="cpu"), wrap(Head(transform=transform)), transform)


def wrapped(rank, wrap):
    transform = Filtered()
    collate = GPUSpecCollate(wrap(transform), device="cpu", padding="silence")
    assert collate([torch.ones(200), torch.ones(90)]).feature_lengths.tolist() == [5, 1]
    return steps(rank, collate, wrap(Head()), transform)


def within(rank, wrap):
    transform = Filtered()
    return steps(rank, PadCollate(), wrap(Head(transform=transform)), transform, inside=True)


def augmented(rank, wrap):
    class Trained(Bands):
        def forward(self, waveforms, lengths=None, seeds=None):
            return waveforms * self.weight.mean()

    augment = Trained(trainable=True)
    collate = GPUSpecCollate(Bands(), device="cpu", augment=augment)
    with torch.no_grad():
        assert len(collate([torch.ones(90)]).features) == 1  # nothing is trained
    return steps(rank, collate, wrap(Head()), augment)


WAYS = {way.__name__: way for way in (alone, allowed, registered, wrapped, within, augmented)}


def rank_of_two(rank, file, connection):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=RANKS)
    found = {}
    for name, way in WAYS.items():
        torch.manual_seed(0)
        try:
            found[name] = way(rank, DistributedDataParallel).tolist()
        except RuntimeError as error:
            found[name] = str(error)
    torch.distributed.barrier()
    connection.send(found)
    torch.distributed.destroy_process_group()
