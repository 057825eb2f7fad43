"""What one of several ranks does with every augmentation, in a module that spawned processes import by name."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

import audiofeed as af
from tests.augment.contract.test_contract import Noises
from tests.augment.contract.test_workers import Each

FIELDS = ("features", "feature_lengths", "waveforms", "lengths", "targets")
EPOCHS = 2


def rank_batches(sampler: af.EpochSampler, batch_size: int) -> list[dict[str, dict[str, object]]]:
    """The batches of some epochs, of every augmentation: their keys, and the fields of each."""
    found = []
    collate = Each()
    for _ in range(EPOCHS):
        keys = list(sampler)
        for start in range(0, len(keys), batch_size):
            own = keys[start : start + batch_size]
            found.append(one_batch(collate, own))
    return found


def one_batch(collate: Each, keys: list[tuple[int, ...]]) -> dict[str, dict[str, object]]:
    dataset = Noises()
    batches = collate([dataset[key] for key in keys])
    made = {name: {field: getattr(batch, field) for field in FIELDS} for name, batch in batches.items()}
    return {"keys": [tuple(key)[:2] for key in keys], "names": made}


def run_rank(rank: int, world_size: int, folder: str) -> None:
    """Go through the epochs in step with the other ranks, and write what was seen."""
    torch.set_num_threads(1)
    here = Path(folder)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{here / 'rendezvous'}",
        rank=rank,
        world_size=world_size,
        timeout=timedelta(seconds=60),
    )
    # which rank this is, and of how many, the sampler learns from torch.distributed
    found = rank_batches(af.EpochSampler(Noises(), seed=3), batch_size=3)
    count = torch.tensor(len(found))
    dist.all_reduce(count)
    assert count == world_size * len(found)
    torch.save(found, here / f"rank{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()
