"""Datasets of ours inside of wrappers that ask them by index alone: crops follow from the epoch, and resume."""

import time

import pytest
import torch
from feed_datasets import Bands
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset

import audiofeed as af
from audiofeed.loading.wrapped_datasets import follow_epochs


class Named(Dataset):
    """Wrapper of the usual kind, under any name."""

    def __init__(self, inner, name="ds"):
        self.name = name
        setattr(self, name, inner)

    def __len__(self):
        return len(getattr(self, self.name))

    def __getitem__(self, index):
        example = getattr(self, self.name)[index]
        return {"waveform": example.waveform, "label": example.target, "key": example.key}


class Late(Named):
    """Wrapper that is slow, so that workers are behind the loop."""

    def __getitem__(self, index):
        time.sleep(0.02)
        return super().__getitem__(index)


class InList:
    """Wrapper that is no Dataset, and holds a list of such, and a table that is none."""

    def __init__(self, inner):
        self.parts = [Named(inner)]
        self.names = {number: str(number) for number in range(5000)}

    def __len__(self):
        return len(self.parts[0])

    def __getitem__(self, index):
        return self.parts[0][index]


def wrapped(kind, folder):
    return {
        "ds": lambda: Named(folder),
        "late": lambda: Late(folder),
        "dataset": lambda: Named(folder, "dataset"),
        "list": lambda: InList(folder),
        "subset": lambda: Subset(Named(folder), range(1, 9)),
        "mixture": lambda: af.Mixture({"a": Named(folder), "b": Named(folder.select([0, 3]))}, until="all"),
        "joined": lambda: ConcatDataset([Named(folder.select([4, 1, 6])), Named(folder.select([2, 0, 5]))]),
    }[kind]()


def open_feed(kind, wav_folder, workers, **settings):
    folder = af.AudioFolder(wav_folder, crop=af.RandomCrop(0.05))
    return af.Feed(wrapped(kind, folder), Bands(), batch_size=2, device="cpu", workers=workers, seed=4, **settings)


def rows(batches):
    return [(names, waveforms) for names, waveforms in ((b.names, b.waveforms.clone()) for b in batches)]


def assert_same(found, expected):
    assert [names for names, _ in found] == [names for names, _ in expected]
    assert all(torch.equal(one, other) for (_, one), (_, other) in zip(found, expected, strict=True))


@pytest.mark.filterwarnings("error:example .* is read")
@pytest.mark.parametrize("on_error", ["raise", "skip"])
@pytest.mark.parametrize("kind", ["ds", "dataset", "list", "subset", "mixture", "joined"])
def test_a_pass_is_the_same_wherever_it_is_resumed(kind, wav_folder, on_error):
    with open_feed(kind, wav_folder, 0, on_error=on_error) as feed:
        first = rows(feed)
        batches = iter(feed)
        second = rows(next(batches) for _ in range(2))
        state = feed.state_dict()
        second += rows(batches)
        third = rows(feed)
    crops = {tuple(row.tolist()) for _, waveforms in first + second for row in waveforms}
    assert len(crops) > 1.8 * sum(len(names) for names, _ in first)  # each epoch has crops of its own
    with open_feed(kind, wav_folder, 0, on_error=on_error) as feed:
        feed.load_state_dict(state)
        assert_same(rows(feed), second[2:])
        assert_same(rows(feed), third)
        feed.load_state_dict(state)  # in a process that has drawn before
        assert_same(rows(feed), second[2:])
        feed.set_epoch(1)
        assert_same(rows(feed), second)


@pytest.mark.filterwarnings("error:example .* is read")
def test_what_workers_had_fetched_for_a_loop_that_was_left_counts_for_nothing(wav_folder):
    with open_feed("ds", wav_folder, 0) as feed:
        expected = [rows(feed) for _ in range(4)]
    with open_feed("late", wav_folder, 2, prefetch_factor=3) as feed:
        for epoch in range(3):
            for batch in feed:
                assert_same(rows([batch]), expected[epoch][:1])
                break
        assert_same(rows(feed), expected[3])
    with open_feed("ds", wav_folder, 1) as feed:
        feed.set_epoch(2)
        assert_same(rows(feed), expected[2])


def test_evaluation_through_a_wrapper_has_the_same_crops_in_every_pass(wav_folder):
    with open_feed("ds", wav_folder, 0, evaluation=True) as feed:
        first = rows(feed)
        assert_same(rows(feed), first)


def test_a_sampler_of_somebody_elses_with_an_epoch_is_followed(wav_folder):
    from loading_probes import CountingSampler

    folder = af.AudioFolder(wav_folder, crop=af.RandomCrop(0.05))
    loader = af.DeviceLoader(
        DataLoader(Named(folder), batch_sampler=CountingSampler(12, 4), collate_fn=af.PadCollate()), device="cpu"
    )
    loader.batch_sampler.set_epoch(3)
    one = rows(loader)
    assert folder.epoch == 3
    assert_same(rows(loader), one)


def test_what_takes_keys_keeps_the_epoch_that_its_user_set(wav_folder):
    folder = af.AudioFolder(wav_folder, crop=af.RandomCrop(0.05))
    sampler = af.ClipBatchSampler(folder, batch_size=4)
    sampler.set_epoch(5)
    loader = DataLoader(folder, batch_sampler=sampler)
    follow_epochs(loader)
    next(iter(sampler))
    assert folder.epoch == 0
    sampler = af.ClipBatchSampler(folder, batch_size=4, keys=False)
    sampler.set_epoch(5)
    follow_epochs(DataLoader(folder, batch_sampler=sampler))
    next(iter(sampler))
    assert folder.epoch == 5
