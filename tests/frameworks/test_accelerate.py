"""Accelerate on one and two processes: our sampler, its own, and dispatching, with a transform that is trained."""

import pytest
import torch
from parts import BATCH, CLIPS, digest, make_collate, open_folder, plain, read
from torch.utils.data import DataLoader

pytest.importorskip("accelerate", reason="pip install -e '.[frameworks]'")


@pytest.fixture(scope="module", params=[1, 2])
def ranks(request, folder, run, tmp_path_factory):
    """The number of processes, and where they wrote what they saw."""
    output = tmp_path_factory.mktemp(f"accelerate{request.param}")
    if request.param == 1:
        run("with_accelerate.py", folder, output)
    else:
        launch = ["torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        run("-m", *launch, "with_accelerate.py", folder, output)
    return request.param, output


def test_our_sampler(folder, ranks):
    world_size, output = ranks
    found = [read(output, "own", rank) for rank in range(world_size)]
    assert {entry["processes"] for entry in found} == {world_size}
    assert len({entry["weights"] for entry in found}) == 1
    for rank, entry in enumerate(found):
        assert entry["seen"][0][1:] == plain(folder, 0, rank, world_size, trainable=True)[0]
        for epoch in (0, 1):
            expected = [clips for clips, _ in plain(folder, epoch, rank, world_size)]
            assert [seen[1] for seen in entry["seen"] if seen[0] == epoch] == expected


def test_its_seedable_sampler(folder, ranks):
    world_size, output = ranks
    found = [entry for rank in range(world_size) for entry in read(output, "prepared", rank)]
    dataset = open_folder(folder)
    for epoch in (0, 1):
        dataset.set_epoch(epoch)
        entries = [entry for entry in found if entry[0] == epoch]
        assert sorted(name for entry in entries for name in entry[1]) == [f"{index:02}" for index in range(CLIPS)]
        for _, names, crops in entries:
            batch = make_collate()([dataset[[*map(str, dataset_names(dataset))].index(name)] for name in names])
            assert digest(batch.features) == crops


def dataset_names(dataset):
    from pathlib import Path

    return [Path(path).stem for path in dataset.paths]


@pytest.mark.parametrize("kind", ["tensors", "tuple"])
def test_dispatching(folder, ranks, kind):
    world_size, output = ranks
    found = [read(output, f"dispatched {kind}", rank) for rank in range(world_size)]
    assert {entry[2] for rank in found for entry in rank} == {
        "AudioBatch" if kind == "tensors" else "FeaturesAndTargets"
    }
    plain_loader = DataLoader(open_folder(folder), batch_size=BATCH, collate_fn=make_collate())
    expected = [[digest(batch.features), batch.targets.tolist()] for batch in plain_loader]
    dealt = [entry[:2] for step in zip(*found, strict=True) for entry in step]
    assert dealt == expected
    assert torch.tensor([len(targets) for _, targets in dealt]).sum() == CLIPS
