"""Lightning: one process with all precisions, mid-epoch resume, and two ranks by ddp and ddp_spawn."""

import pytest
from parts import CLIPS, plain, read

lightning = pytest.importorskip("lightning", reason="pip install -e '.[frameworks]'")
pytest.importorskip("torchdata", reason="pip install -e '.[frameworks]'")


@pytest.fixture(scope="module")
def one(folder, run, tmp_path_factory):
    """What a single process saw, in all of its cases."""
    output = tmp_path_factory.mktemp("one")
    run("with_lightning.py", "one", folder, output)
    return output


def test_epochs_are_those_of_the_plain_loader(folder, one):
    seen = read(one, "epochs")
    for epoch in (0, 1):
        assert [entry[1:] for entry in seen if entry[0] == epoch] == plain(folder, epoch)
    # not the crops of the epoch before
    assert not {entry[-1] for entry in seen if entry[0] == 0} & {entry[-1] for entry in seen if entry[0] == 1}


@pytest.mark.parametrize("kind", ["batch", "tuple"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-true", "64-true", "bf16-mixed"])
def test_precisions(folder, one, kind, precision):
    seen = read(one, f"{kind} {precision}")
    assert len(seen) == 2
    expected = [entry[-1] for entry in plain(folder, 0)[:2]]
    if precision == "bf16-true":
        assert {entry[1] for entry in seen} == {"torch.bfloat16"}
        assert [entry[-1] for entry in seen] != expected
        assert seen == read(one, "batch bf16-true")
    else:
        # float64 in 64-true, of the features as the plain loader has them
        assert precision != "64-true" or {entry[1] for entry in seen} == {"torch.float64"}
        assert [entry[-1] for entry in seen] == expected


def test_a_resume_within_an_epoch_has_the_same_clips_crops_and_weights(one):
    whole, first, second, weights, again = read(one, "resume")
    assert len(whole) == 2 * CLIPS // 4
    assert len(first) == 8
    assert first + second == whole
    assert again == weights


@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn"])
def test_two_ranks(folder, run, tmp_path, strategy):
    run("with_lightning.py", strategy, folder, tmp_path)
    ranks = [read(tmp_path, "seen", rank) for rank in (0, 1)]
    assert ranks[0]["type"] == "DDPStrategy"
    assert ranks[0]["weights"] == ranks[1]["weights"]  # the trained transform's among them
    for epoch in (0, 1):
        names = [name for rank in ranks for entry in rank["seen"] if entry[0] == epoch for name in entry[1]]
        assert len(names) == len(set(names)) == CLIPS
        for number, rank in enumerate(ranks):
            expected = [entry[0] for entry in plain(folder, epoch, number, 2)]
            assert [entry[1] for entry in rank["seen"] if entry[0] == epoch] == expected
    first = plain(folder, 0, 1, 2, trainable=True)[0]
    assert ranks[1]["seen"][0][1:] == first  # before anything was trained
