"""A trained transform on two ranks: the documented ways keep it one transform, and any other way is an error."""

import multiprocessing

import pytest
import torch
from feed_datasets import Bands, Foreign
from torch import nn
from torch.nn.parallel import DataParallel
from trained_ranks import RANKS, rank_of_two

from audiofeed.feed import GPUSpecCollate
from audiofeed.feed.states.ranks import trained_apart
from audiofeed.feed.transform_contract import frame_lengths_of, sample_rate_of, takes_int16, times_of, unwrapped
from audiofeed.transforms import LogMelSpectrogram


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What each rank has of each way: the weights after training, or the error."""
    file = tmp_path_factory.mktemp("group") / "store"
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(RANKS)]
    processes = [
        context.Process(target=rank_of_two, args=(rank, file, there), daemon=True)
        for rank, (_, there) in enumerate(pipes)
    ]
    for process in processes:
        process.start()
    try:
        assert all(here.poll(120) for here, _ in pipes), "a rank gave no answer"
        return [here.recv() for here, _ in pipes]
    finally:
        for process in processes:
            process.join(5)
            process.kill()


@pytest.mark.parametrize("name", ["registered", "wrapped", "within"])
def test_the_documented_ways_train_one_transform(trained, name):
    assert isinstance(trained[0][name], list), trained[0][name]
    assert trained[0][name] == trained[1][name]
    assert trained[0][name] != Bands().weight.tolist()


def test_the_three_ways_are_the_same(trained):
    for name in ("wrapped", "within"):
        torch.testing.assert_close(torch.tensor(trained[0][name]), torch.tensor(trained[0]["registered"]))


@pytest.mark.parametrize(("name", "what"), [("alone", "transform Filtered"), ("augmented", "Trained.weight")])
def test_what_nothing_holds_together_is_refused(trained, name, what):
    for rank in trained:
        assert what in rank[name]
        assert "nothing averages its gradients" in rank[name]
        assert "unsynchronized='allow'" in rank[name]


def test_ranks_may_train_apart_where_that_is_said(trained):
    assert trained[0]["allowed"] != trained[1]["allowed"]


def test_one_process_is_not_asked():
    assert trained_apart([Bands(trainable=True)]) == []
    with pytest.raises(ValueError, match="unsynchronized='warn'"):
        GPUSpecCollate(Bands(), unsynchronized="warn")


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.parametrize(
    "wrap", [DataParallel, torch.compile, torch.optim.swa_utils.AveragedModel, lambda m: torch.compile(DataParallel(m))]
)
def test_what_the_contract_asks_is_asked_through_wrappers(wrap):
    transform = LogMelSpectrogram(sample_rate=16000, n_fft=400, hop_length=160, n_mels=8)
    outside = wrap(transform)
    # an averaged model has a copy
    assert isinstance(unwrapped(outside), LogMelSpectrogram)
    assert frame_lengths_of(outside)(torch.tensor([1600])).tolist() == [11]
    assert (sample_rate_of(outside), takes_int16(outside)) == (16000, takes_int16(transform))
    assert times_of(outside, 3).tolist() == times_of(transform, 3).tolist()
    assert frame_lengths_of(DataParallel(Foreign())) is None
    assert repr(GPUSpecCollate(outside)) == repr(GPUSpecCollate(transform))


def test_a_child_named_module_is_no_wrapper():
    class Denoised(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = Bands()

        def forward(self, waveform):
            return self.module(waveform)

    assert frame_lengths_of(Denoised()) is None
    assert GPUSpecCollate(Denoised(), device="cpu")([torch.ones(99)]).features.shape == (1, 2, 4)
