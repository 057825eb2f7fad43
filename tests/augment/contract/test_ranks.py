"""Two ranks, as real processes of torch.distributed, augment each clip as one process does."""

from __future__ import annotations

import multiprocessing as mp

import pytest
import torch
import torch.distributed as dist

import audiofeed as af
from tests.augment.cases.every import CASES
from tests.augment.contract.rank_program import EPOCHS, FIELDS, one_batch, rank_batches, run_rank
from tests.augment.contract.test_contract import Noises
from tests.augment.contract.test_workers import Each

pytestmark = pytest.mark.skipif(not dist.is_gloo_available(), reason="torch was built without gloo")
LIMIT = 120  # seconds for ranks that hang
RANKS = 2
IS_ALONE = {name: case.make().alone for name, case in CASES.items()}


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """The batches of each rank."""
    folder = tmp_path_factory.mktemp("ranks")
    context = mp.get_context("spawn")
    processes = [context.Process(target=run_rank, args=(rank, RANKS, str(folder))) for rank in range(RANKS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(LIMIT)
    alive = [process for process in processes if process.is_alive()]
    for process in alive:
        process.kill()
    assert not alive, "a rank waits for ever"
    assert [process.exitcode for process in processes] == [0] * RANKS
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(RANKS)]


@pytest.fixture(scope="module")
def one_rank():
    """The batches of one process alone, which are larger and other ones."""
    return rank_batches(af.EpochSampler(Noises(), seed=3, rank=0, world_size=1), batch_size=5)


def clips_of(batches, name: str) -> dict[tuple[int, int], dict[str, torch.Tensor]]:
    """What each clip of an epoch became, without the padding of its batch, by its key."""
    found = {}
    for batch in batches:
        fields = batch["names"][name]
        for row, key in enumerate(batch["keys"]):
            assert key not in found
            own = {field: fields[field][row] for field in FIELDS}
            own["features"] = own["features"][..., : own["feature_lengths"]]
            own["waveforms"] = own["waveforms"][..., : own["lengths"]]
            found[key] = own
    return found


def assert_same(ours, theirs):
    for field in FIELDS:
        assert torch.equal(ours[field], theirs[field]), field


def differ(ours, theirs) -> bool:
    return any(not torch.equal(ours[field], theirs[field]) for field in FIELDS)


def test_the_ranks_share_the_clips_of_each_epoch(ranks):
    keys = [{key for batch in batches for key in batch["keys"]} for batches in ranks]
    assert not keys[0] & keys[1]
    assert keys[0] | keys[1] == {(epoch, index) for epoch in range(EPOCHS) for index in range(12)}
    assert [len(batches) for batches in ranks] == [2 * EPOCHS] * RANKS


@pytest.mark.parametrize("name", [name for name in CASES if IS_ALONE[name]])
def test_a_clip_has_the_same_bits_on_two_ranks_as_on_one(ranks, one_rank, name):
    expected = clips_of(one_rank, name)
    found = clips_of(ranks[0], name) | clips_of(ranks[1], name)
    assert found.keys() == expected.keys()
    for key in expected:
        assert_same(found[key], expected[key])
    moved = [differ(found[0, index], found[1, index]) for index in range(12)]
    assert sum(moved) >= 3  # in the second epoch by another draw


@pytest.mark.parametrize("name", [name for name in CASES if not IS_ALONE[name]])
def test_a_batch_that_is_mixed_within_itself_has_the_same_bits_on_any_rank_in_any_order(ranks, name):
    """Partners follow from the clips that are together, and not from their rows, the rank, or batches before."""
    collate, changed = Each(name), 0
    for batch in [batch for batches in ranks for batch in batches]:
        keys, found = batch["keys"], clips_of([batch], name)
        turned = clips_of([one_batch(collate, keys[::-1])], name)
        fewer = clips_of([one_batch(collate, keys[:2])], name)
        for key in keys:
            assert_same(found[key], turned[key])
        changed += any(differ(found[key], fewer[key]) for key in keys[:2])
    assert changed >= 4  # of the 8 batches: what becomes of a clip depends on its batch by nature
    alone = one_batch(collate, keys[:1])["names"][name]
    plain = Noises()[keys[0]]
    assert torch.equal(alone["targets"][0], plain.target)
