"""Samplers in loaders: real workers and files, crops bit-equal after a resume, and the protocol of stateful loaders."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader

import audiofeed as af

RATE = 8000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write 24 WAVs of noise, 0.1 to 0.4 s, in two classes, each no other's part."""
    import soundfile

    root = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for number in range(24):
        path = root / ("no", "yes")[number % 2] / f"{number}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, rng.integers(-9000, 9000, 800 + 100 * number, dtype=np.int16), RATE)
    return root


def loader_of(dataset, sampler, workers=0):
    settings = {"num_workers": workers, "multiprocessing_context": "fork", "prefetch_factor": 2} if workers else {}
    return DataLoader(dataset, batch_sampler=sampler, collate_fn=list, timeout=60 if workers else 0, **settings)


def crops(batch):
    return [(example.key, example.seed, example.start, example.waveform.numpy().tobytes()) for example in batch]


def make(folder, **settings):
    dataset = af.AudioFolder(folder, crop=af.RandomCrop(0.08), progress=False)
    sampler = af.ClipBatchSampler(dataset, batch_size=2, seed=3, **settings)
    return dataset, sampler


@pytest.mark.parametrize("workers", [0, 2, 4])
def test_the_rest_of_an_epoch_has_the_same_crops_whatever_was_fetched_ahead(folder, workers):
    dataset, sampler = make(folder)
    sampler.set_epoch(2)
    whole = [crops(batch) for batch in loader_of(dataset, sampler)]
    assert len(whole) == 12
    dataset, sampler = make(folder)
    sampler.set_epoch(2)
    iterator = iter(loader_of(dataset, sampler, workers))
    assert [crops(next(iterator)) for _ in range(5)] == whole[:5]
    if workers:
        assert sampler.state_dict()["taken"] != [[1, 5]]  # more were handed out than the loop took
    state = json.loads(json.dumps(sampler.state_dict(taken=5)))
    del iterator
    for after in {0, 2, workers}:
        dataset, sampler = make(folder)
        sampler.load_state_dict(state)
        assert [crops(batch) for batch in loader_of(dataset, sampler, after)] == whole[5:]
        following = [crops(batch) for batch in loader_of(dataset, sampler)]
        assert sorted(each[0] for batch in following for each in batch) == sorted(dataset.paths)
        assert not {each[1] for batch in following for each in batch} & {each[1] for batch in whole for each in batch}
    # and on two ranks
    found = []
    for rank in range(2):
        dataset, sampler = make(folder, rank=rank, world_size=2)
        sampler.load_state_dict(state)
        found += [each for batch in loader_of(dataset, sampler) for each in crops(batch)]
    assert sorted(found) == sorted(each for batch in whole[5:] for each in batch)


class KeepsState:
    """A loader with torchdata's protocol: it keeps the states of the sampler and of its iterator, and gives both back.

    See `StatefulDataLoader` there. `ahead` batches are fetched before the loop takes the first, and a state is that of
    the batch which the loop took last.
    """

    def __init__(self, sampler, ahead=0):
        self.sampler, self.ahead = sampler, ahead
        self.kept = self.loaded = None

    def state_dict(self):
        return self.kept

    def load_state_dict(self, state):
        self.loaded = state

    def __iter__(self):
        iterator = iter(self.sampler)
        if self.loaded is not None:
            self.sampler.load_state_dict(self.loaded["_index_sampler_state"])
            iterator = iter(self.sampler)
            iterator.load_state_dict(self.loaded["_sampler_iter_state"])
            self.loaded = None
        waiting = []
        for item in itertools.chain(iterator, [None] * self.ahead):
            state = {
                "_index_sampler_state": self.sampler.state_dict(),
                "_sampler_iter_state": iterator.state_dict(),
            }
            waiting.append((item, json.dumps(state)))
            if len(waiting) > self.ahead:
                item, text = waiting.pop(0)
                self.kept = json.loads(text)
                yield item


@pytest.mark.parametrize("ahead", [0, 3])
def test_a_stateful_loader_resumes_by_the_states_of_sampler_and_iterator(ahead):
    def sampler():
        return af.DurationBatchSampler(np.linspace(1, 9, 50), max_seconds=30)

    straight = KeepsState(sampler(), ahead)
    epochs = [list(straight) for _ in range(3)]
    assert [{key.epoch for batch in epoch for key in batch} for epoch in epochs] == [{0}, {1}, {2}]
    for cut in range(1, len(epochs[0])):
        stopped = KeepsState(sampler(), ahead)
        list(stopped)
        list(itertools.islice(stopped, cut))
        resumed = KeepsState(sampler(), ahead)
        resumed.load_state_dict(stopped.state_dict())
        assert list(resumed) == epochs[1][cut:]
        assert list(resumed) == epochs[2]


def test_a_sampler_has_what_such_a_loader_looks_for():
    """torchdata takes for stateful what has both methods, callable without more; the iterator as well."""
    sampler = af.EpochSampler(9)
    for each in (sampler, iter(sampler), iter(af.EvaluationSampler(9))):
        assert each.load_state_dict(each.state_dict()) is None
        assert iter(each) is not None


def test_single_keys_go_through_torchs_batch_sampler(folder):
    dataset = af.AudioFolder(folder, crop=af.RandomCrop(0.08), progress=False)
    sampler = af.EpochSampler(dataset, seed=1)
    loader = DataLoader(dataset, batch_size=5, sampler=sampler, collate_fn=list)
    assert len(loader) == 5
    seeds = [[example.seed for batch in loader for example in batch] for _ in range(2)]
    assert len({*seeds[0], *seeds[1]}) == 48
    state = sampler.state_dict(taken=10)
    resumed = af.EpochSampler(dataset, seed=1)
    resumed.load_state_dict(state)
    rest = [example.seed for batch in DataLoader(dataset, 5, sampler=resumed, collate_fn=list) for example in batch]
    assert rest == seeds[1][10:]
    assert [len(batch) for batch in BatchSampler(resumed, 5, True)] == [5, 5, 5, 5]


def test_targets_and_lengths_of_a_folder_reach_the_samplers(folder):
    dataset = af.AudioFolder(folder, progress=False)
    part = torch.utils.data.Subset(dataset, range(0, 24, 2))
    balanced = af.ClipBatchSampler(dataset, batch_size=4, weights="balanced")
    assert sum(int(dataset.targets[key.example]) for batch in balanced for key in batch) == 12
    seconds = dataset.durations[part.indices]
    order = [key.example for key in af.EvaluationSampler(part)]
    assert seconds[order].tolist() == sorted(seconds, reverse=True)
    loader = DataLoader(part, batch_sampler=af.DurationBatchSampler(part, max_seconds=1.0), collate_fn=af.PadCollate())
    batches = list(loader)
    assert sum(len(batch) for batch in batches) == 12
    assert all(batch.waveforms.numel() <= RATE for batch in batches)


def test_a_mixture_of_folders_names_its_sources(folder):
    mixture = af.Mixture(
        {each: af.AudioFolder(folder / each, target=lambda path: 0, progress=False) for each in ("no", "yes")}
    )
    sampler = af.ClipBatchSampler(mixture, batch_size=8)
    for workers in (0, 2):
        loader = DataLoader(
            mixture,
            batch_sampler=sampler,
            collate_fn=af.PadCollate(),
            num_workers=workers,
            timeout=60 if workers else 0,
        )
        for batch in loader:
            assert batch.fields["source"] == [name.split("/")[-2] for name in batch.names]
