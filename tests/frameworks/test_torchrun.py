"""torch's DDP under torchrun, on two and four gloo processes, with a transform that is trained."""

import pytest
from parts import CLIPS, log_mel, plain, read, weights


def names(entries, epoch):
    return sorted(name for entry in entries if entry[0] == epoch for name in entry[1])


def launch(run, ranks, *arguments):
    run("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", "with_torchrun.py", *arguments)


def test_two_ranks_and_a_resume_on_four(folder, run, tmp_path):
    first, second = tmp_path / "two", tmp_path / "four"
    first.mkdir()
    second.mkdir()
    launch(run, 2, folder, first)
    ranks = [read(first, "seen", rank) for rank in range(2)]
    assert len({rank["weights"] for rank in ranks}) == 1
    assert len({rank["transform"] for rank in ranks}) == 1
    assert ranks[0]["transform"] != weights(log_mel(trainable=True))
    everything = [str(index).zfill(2) for index in range(CLIPS)]
    for epoch in (0, 1):
        assert sorted(names(ranks[0]["seen"], epoch) + names(ranks[1]["seen"], epoch)) == everything
    # features before the first step, bit by bit; the clips and their order, throughout
    for number, rank in enumerate(ranks):
        assert rank["seen"][0][1:] == plain(folder, 0, number, 2, trainable=True)[0]
        for epoch in (0, 1):
            expected = [entry[0] for entry in plain(folder, epoch, number, 2)]
            assert [entry[1] for entry in rank["seen"] if entry[0] == epoch] == expected

    # the state after one step of the second epoch: 8 clips on 2 ranks, and 16 are left for 4
    launch(run, 4, folder, second, first / "state.0.json")
    again = [read(second, "seen", rank) for rank in range(4)]
    assert len({rank["weights"] for rank in again}) == 1
    taken = [name for rank in ranks for name in next(entry for entry in rank["seen"] if entry[0] == 1)[1]]
    rest = [name for rank in again for name in names(rank["seen"], 1)]
    assert sorted(taken + rest) == everything
    # with the crops that they have in that epoch
    assert all(entry[0] == 1 for rank in again for entry in rank["seen"])
    in_one = {tuple(clips): crops for clips, crops in plain(folder, 1, trainable=True)}
    started = [entry for rank in again for entry in rank["seen"][:1]]
    assert [entry[2] for entry in started] == [in_one.get(tuple(entry[1]), entry[2]) for entry in started]


@pytest.mark.parametrize("ranks", [2, 4])
def test_the_plan_deals_every_clip_once(folder, ranks):
    dealt = [name for rank in range(ranks) for clips, _ in plain(folder, 0, rank, ranks) for name in clips]
    assert len(dealt) == len(set(dealt)) == CLIPS or len(dealt) % ranks == 0
