"""transformers' Trainer on one and two processes: datasets of Hugging Face, a stream, and our sampler with a resume."""

import pytest
from parts import BATCH, CLIPS, digest, log_mel, make_collate, open_folder, plain, read

pytest.importorskip("transformers", reason="pip install -e '.[frameworks]'")
pytest.importorskip("accelerate", reason="pip install -e '.[frameworks]'")
pytest.importorskip("datasets", reason="pip install -e '.[frameworks]'")


@pytest.fixture(scope="module", params=[1, 2])
def ranks(request, folder, run, tmp_path_factory):
    """The number of processes, and where they wrote what they saw."""
    output = tmp_path_factory.mktemp(f"trainer{request.param}")
    launch = [] if request.param == 1 else ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    run(*launch, "with_trainer.py", folder, output)
    return request.param, output


@pytest.mark.parametrize("kind", ["map", "stream"])
def test_a_dataset_of_hugging_face(folder, ranks, kind):
    world_size, output = ranks
    found = [read(output, kind, rank) for rank in range(world_size)]
    assert len({entry["weights"] for entry in found}) == 1
    seen = [batch for entry in found for batch in entry["seen"]]
    # no axis for the one channel of Audio's (1, time)
    assert {tuple(shape) for _, _, shape in seen} == {(BATCH, 8, 63)}
    if kind == "stream":
        whole = open_folder(folder).files if hasattr(open_folder(folder), "files") else None
        assert whole is None or len(whole) == CLIPS
        assert sum(len(labels) for _, labels, _ in seen) == 3 * BATCH * world_size
    else:
        assert sorted(label for _, labels, _ in seen for label in labels) == [0] * 12 + [1] * 12


def test_the_same_features_as_the_collate_gives(folder, ranks):
    import soundfile
    import torch

    world_size, output = ranks
    paths = sorted(folder.rglob("*.wav"), key=lambda path: path.stem)
    items = [(torch.from_numpy(soundfile.read(path, dtype="float32")[0]), 8000, n % 2) for n, path in enumerate(paths)]
    # a stream is dealt in its order
    found = [read(output, "stream", rank)["seen"] for rank in range(world_size)]
    dealt = [batch for step in zip(*found, strict=True) for batch in step]
    for number, (features, labels, _) in enumerate(dealt):
        batch = make_collate(log_mel(), pad_to=0.5)(items[BATCH * number : BATCH * number + BATCH])
        assert (digest(batch.features), batch.targets.tolist()) == (features, labels)


def test_our_sampler_and_a_resume_within_an_epoch(folder, ranks):
    world_size, output = ranks
    for rank in range(world_size):
        (whole, weights, _), (rest, again, stop) = read(output, "ours", rank)
        expected = [entry[1] for epoch in (0, 1) for entry in plain(folder, epoch, rank, world_size)]
        assert [entry[0] for entry in whole] == expected
        assert [entry[0] for entry in rest] == expected[stop:]
        assert again == weights
