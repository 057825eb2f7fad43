"""Ranks: those of torch.distributed when they are needed, checked to hold the same, and dealt to once."""

from __future__ import annotations

import multiprocessing
import queue
import tempfile
from pathlib import Path

import pytest
import torch.distributed as dist
from torch.utils.data import BatchSampler

import audiofeed as af

SECONDS = [float(1 + clip % 7) for clip in range(40)]


def of_rank(rank, world_size, store, answers):
    """Make samplers before and after the process group runs, and report what they give and find."""
    early = af.DurationBatchSampler(SECONDS, max_seconds=20)
    alone = len(early)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world_size)
    found = {"alone": alone, "batches": [list(map(tuple, batch)) for batch in early], "state": early.state_dict()}
    early.check_ranks()
    for name, sampler in {
        "files": af.DurationBatchSampler(SECONDS[: 40 - (rank == 1)], max_seconds=20),
        "settings": af.EpochSampler(40, seed=int(rank == 1)),
    }.items():
        try:
            sampler.check_ranks()
        except ValueError as error:
            found[name] = str(error)
    answers.put((rank, found))
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks():
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            context.Process(target=of_rank, args=(rank, 2, Path(folder) / "store", answers), daemon=True)
            for rank in range(2)
        ]
        for process in processes:
            process.start()
        try:
            found = dict(answers.get(timeout=120) for _ in processes)
            for process in processes:
                process.join(60)
                assert process.exitcode == 0
        except queue.Empty:
            pytest.fail("no answer from the ranks within 120 s")
        finally:
            for process in processes:
                if process.is_alive():
                    process.kill()
    return found


def test_ranks_are_those_of_torch_distributed_though_it_began_later(ranks):
    assert ranks[0]["alone"] == ranks[1]["alone"] == len(af.DurationBatchSampler(SECONDS, max_seconds=20))
    for rank in range(2):
        given = af.DurationBatchSampler(SECONDS, max_seconds=20, rank=rank, world_size=2)
        assert ranks[rank]["batches"] == [list(map(tuple, batch)) for batch in given]
        assert ranks[rank]["state"] == given.state_dict()


def test_ranks_that_hold_something_else_are_named_on_every_rank(ranks):
    for rank in range(2):
        assert "other clips on rank 1" in ranks[rank]["files"]
        assert "other durations on rank 1" in ranks[rank]["files"]
        assert "max_seconds" not in ranks[rank]["files"]
        assert "other seed on rank 1 (here: " in ranks[rank]["settings"]


def test_one_process_has_nothing_to_check():
    af.EpochSampler(3).check_ranks()


class BatchSamplerShard:
    """What Accelerate's `prepare` puts around a batch sampler: every process takes its share of the batches."""

    def __init__(self, batch_sampler, num_processes):
        self.batch_sampler = batch_sampler
        self.num_processes = num_processes

    def __iter__(self):
        for number, batch in enumerate(self.batch_sampler):
            if number % self.num_processes == 0:
                yield batch


@pytest.mark.parametrize(
    "make",
    [
        lambda **ranks: af.DurationBatchSampler(SECONDS, max_seconds=20, **ranks),
        lambda **ranks: BatchSampler(af.EpochSampler(40, **ranks), 4, False),
    ],
)
def test_batches_that_are_dealt_twice_are_refused(make):
    with pytest.raises(ValueError, match=r"BatchSamplerShard deals this \w+ to 2 processes.*rank=0, world_size=1"):
        list(BatchSamplerShard(make(rank=0, world_size=2), 2))
    assert list(BatchSamplerShard(make(rank=0, world_size=1), 2))
    assert list(BatchSamplerShard(make(rank=0, world_size=2), 1))


def test_single_key_samplers_are_taken_for_distributed_ones():
    """Lightning and Ray put a sampler of their own in the place of any that is none."""
    from torch.utils.data.distributed import DistributedSampler

    assert isinstance(af.EpochSampler(3), DistributedSampler)
    assert isinstance(af.EvaluationSampler(3), DistributedSampler)
