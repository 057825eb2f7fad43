"""Train with Accelerate: `accelerate launch --num_processes N with_accelerate.py RECORDINGS OUTPUT`."""

import sys

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.state import AcceleratorState, GradientState, PartialState
from parts import (
    BATCH,
    CLIPS,
    Model,
    digest,
    leave_group,
    log_mel,
    make_collate,
    make_sampler,
    open_folder,
    seen,
    weights,
    write,
)
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, IterableDataset

torch.set_num_threads(1)
root, output = sys.argv[1:]


class Stream(IterableDataset):
    """The clips one after the other, as a stream of Hugging Face gives them."""

    def __init__(self):
        self.dataset = open_folder(root)

    def __iter__(self):
        return (self.dataset[index] for index in range(CLIPS))


def own_sampler():
    """Our batch sampler deals to the ranks, so Accelerate must not: the loader is not prepared, the rest is."""
    accelerator = Accelerator(cpu=True)
    dataset = open_folder(root)
    transform = log_mel(trainable=True)
    sampler = make_sampler(dataset)
    loader = DataLoader(dataset, batch_sampler=sampler, collate_fn=make_collate(transform), num_workers=1)
    model = Model(transform=transform)
    model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.05))
    found = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        for batch in loader:
            found.append([epoch, *seen(batch)])
            optimizer.zero_grad()
            accelerator.backward(cross_entropy(model(batch.features), batch.targets))
            optimizer.step()
    return {"seen": found, "weights": weights(model), "processes": accelerator.num_processes}


def prepared(**settings):
    """Accelerate deals the batches of a plain loader; with its seedable sampler and workers."""
    AcceleratorState._reset_state(True)
    GradientState._reset_state()
    PartialState._reset_state()
    configuration = DataLoaderConfiguration(use_seedable_sampler=True, data_seed=3, **settings)
    accelerator = Accelerator(cpu=True, dataloader_config=configuration)
    dataset = open_folder(root)
    loader = DataLoader(dataset, batch_size=BATCH, shuffle=True, collate_fn=make_collate(), num_workers=1)
    loader = accelerator.prepare(loader)
    found = []
    for epoch in range(2):
        loader.set_epoch(epoch)
        dataset.set_epoch(epoch)
        found += [[epoch, *seen(batch)] for batch in loader]
    return found


def dispatched(output_kind):
    """Process 0 reads, and sends the others their part: tensors alone."""
    accelerator = Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(dispatch_batches=True))
    loader = DataLoader(Stream(), batch_size=BATCH, collate_fn=make_collate(output=output_kind))
    found = []
    for batch in accelerator.prepare(loader):
        features, targets = batch if output_kind == "tuple" else (batch["features"], batch["targets"])
        found.append([digest(features), targets.tolist(), type(batch).__name__])
    return found


if __name__ == "__main__":
    write(output, "own", own_sampler())
    write(output, "prepared", prepared())
    for kind in ("tensors", "tuple"):
        write(output, f"dispatched {kind}", dispatched(kind))
    leave_group()
