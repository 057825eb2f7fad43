"""Feed: the same values as the plain loader, epochs, state, evaluation, workers by measurement, wrong arguments."""

import copy
import inspect
import json
import logging
import pickle

import pytest
import torch
from feed_datasets import Bands, Pairs
from loading_probes import background_threads
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
)

import audiofeed as af
from audiofeed.loading import worker_choice
from audiofeed.loading.worker_choice import choose_workers

FIELDS = ("features", "feature_lengths", "feature_mask", "waveforms", "lengths", "targets")


@pytest.fixture(scope="module")
def transform():
    return af.LogMelSpectrogram(sample_rate=16000, n_fft=400, hop_length=160, n_mels=80)


@pytest.fixture
def folder(wav_folder):
    return af.AudioFolder(wav_folder, crop=af.RandomCrop(0.2))


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert not background_threads()


def values(batch):
    return {**{name: batch[name] for name in FIELDS}, "names": batch.names}


def assert_same(one, other):
    assert one["names"] == other["names"]
    for name in FIELDS:
        assert one[name].dtype == other[name].dtype, name
        assert torch.equal(one[name], other[name]), name


@pytest.fixture(scope="module")
def reference(transform, wav_folder):
    """Two epochs of the plainest loader: no workers, nothing ahead."""
    folder = af.AudioFolder(wav_folder, crop=af.RandomCrop(0.2))
    loader = DataLoader(
        folder,
        batch_sampler=af.ClipBatchSampler(folder, batch_size=3, seed=7),
        collate_fn=af.GPUSpecCollate(transform, device="cpu"),
    )
    return [[values(batch) for batch in loader] for _ in range(2)]


@pytest.mark.parametrize("ahead", [0, 1, 3])
@pytest.mark.parametrize("workers", [0, "threads", "auto", 1, 2])
def test_no_bit_differs_from_the_plain_loader(reference, transform, folder, workers, ahead):
    with af.Feed(folder, transform, batch_size=3, seed=7, device="cpu", workers=workers, ahead=ahead) as feed:
        for expected in reference:
            found = [values(batch) for batch in feed]
            assert len(found) == len(expected) == len(feed)
            for one, other in zip(found, expected, strict=True):
                assert_same(one, other)
    assert not torch.equal(reference[0][0]["features"], reference[1][0]["features"])


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_no_bit_differs_with_started_workers(reference, transform, folder, method):
    with af.Feed(folder, transform, batch_size=3, seed=7, device="cpu", workers=1) as feed:
        feed.loader.multiprocessing_context = method
        for expected in reference:
            for one, other in zip(feed, expected, strict=True):
                assert_same(values(one), other)


def test_a_tuple_and_a_dataset_of_somebody_elses(transform):
    reference = DataLoader(Pairs(10), batch_size=4, collate_fn=af.GPUSpecCollate(transform, device="cpu"))
    for workers in (0, "threads", 1):
        settings = {"batch_size": 4, "shuffle": False, "device": "cpu", "workers": workers, "output": "tuple"}
        with af.Feed(Pairs(10), transform, **settings) as feed:
            for (features, targets), expected in zip(feed, reference, strict=True):
                assert torch.equal(features, expected.features)
                assert torch.equal(targets, expected.targets)


def test_settings_of_the_collate_arrive(folder):
    with af.Feed(
        folder,
        Bands(),
        batch_size=4,
        device="cpu",
        workers=0,
        pad_to=8000,
        rename={"features": "input_features"},
        layout="frames_bins",
        augment=lambda waveforms, lengths, seeds: -waveforms,
        padding="waveform",
    ) as feed:
        batch = next(iter(feed))
    assert list(batch) == ["input_features"]
    assert batch.waveforms.shape == (4, 8000)
    assert batch.features.shape[-1] == 2
    assert batch.feature_lengths.tolist() == Bands().frame_lengths(batch.lengths).tolist()
    assert batch.features.shape[1] > 249 > batch.feature_lengths.max()
    assert batch.waveforms[0, :9].ne(0).any()
    with af.Feed(folder, batch_size=4, device="cpu", workers=0, mono=True) as feed:
        batch = next(iter(feed))
        assert batch.features is None
        assert batch.waveforms.shape == (4, 3200)


def test_batches_by_seconds_and_a_sampler_of_ones_own(folder):
    with af.Feed(folder, Bands(), batch_seconds=0.65, device="cpu", workers=0) as feed:
        assert isinstance(feed.sampler, af.DurationBatchSampler)
        assert all(len(batch) * batch.waveforms.shape[1] <= 0.65 * 16000 for batch in feed)
    with af.Feed(folder, Bands(), sampler=[[0, 1], [5]], device="cpu", workers=0) as feed:
        assert [len(batch) for batch in feed] == [2, 1]


def test_evaluation_has_every_clip_once_over_the_ranks_with_the_same_crops(folder):
    def names(**settings):
        found = []
        for rank in (0, 1, 2):
            with af.Feed(
                folder, Bands(), batch_size=2, device="cpu", workers=0, rank=rank, world_size=3, **settings
            ) as feed:
                for batch in feed:
                    found += zip(batch.names, batch.waveforms.sum(1).tolist(), strict=True)
                again = [total for batch in feed for total in batch.waveforms.sum(1).tolist()]
                assert again == [total for _, total in found[-len(again) :]]
        return found

    for settings in ({"evaluation": True}, {"shuffle": False}):
        assert sorted(name for name, _ in names(**settings)) == sorted(folder.paths)


def test_epochs_move_on_and_can_be_set(folder):
    with af.Feed(folder, Bands(), batch_size=12, device="cpu", workers=1) as feed:
        names = [next(iter(feed)).names for _ in range(3)]
        feed.set_epoch(1)
        assert folder.epoch == 1
        (batch,) = list(feed)
        assert batch.names == names[1]
        assert feed.epoch == 1
    assert names[0] != names[1] != names[2]


# state


@pytest.mark.parametrize("workers", [0, 2])
def test_resume_is_exact_after_every_batch_and_elastic(folder, workers):
    def make(rank=0, world_size=1, workers=workers):
        return af.Feed(
            folder,
            Bands(),
            batch_size=2,
            seed=3,
            device="cpu",
            workers=workers,
            ahead=3,
            rank=rank,
            world_size=world_size,
        )

    def clips(batches):
        return [
            (name, round(row.sum().item(), 6)) for b in batches for name, row in zip(b.names, b.waveforms, strict=True)
        ]

    with make() as feed:
        whole, after = clips(feed), clips(feed)
    assert len(whole) == 12
    for cut in range(7):
        with make() as feed:
            batches = iter(feed)
            had = clips(next(batches) for _ in range(cut))
            state = json.loads(json.dumps(feed.state_dict()))
            batches.close()
        with make(workers=0) as feed:
            feed.load_state_dict(state)
            # an epoch that is over is the beginning of the next
            assert cut == 6 or feed.state_dict() == state
            rest = clips(feed) if cut < 6 else []
            assert had + rest == whole
            assert clips(feed) == after
        rest = []
        for rank in (0, 1):
            with make(rank=rank, world_size=2, workers=0) as feed:
                feed.load_state_dict(state)
                rest += clips(feed) if cut < 6 else []
        assert sorted(had + rest) == sorted(whole)


def test_a_state_of_other_settings_is_refused(folder):
    with af.Feed(folder, Bands(), batch_size=2, device="cpu") as feed:
        state = feed.state_dict()
    with (
        af.Feed(folder, Bands(), batch_size=3, device="cpu") as feed,
        pytest.raises(ValueError, match="batch_size was 2 and is 3"),
    ):
        feed.load_state_dict(state)


def test_state_at_the_edges_of_epochs(folder):
    """Before the first batch though workers are ahead, between epochs, after set_epoch, and after a new iteration."""
    with af.Feed(folder, Bands(), batch_size=4, device="cpu", workers=1) as feed:
        start = feed.state_dict()
        batches = iter(feed)
        assert feed.state_dict() == start
        first = [batch.names for batch in batches]
        between = feed.state_dict()
        assert between["sampler"]["taken"] == [[1, 3]]
        second = [batch.names for batch in feed]
        feed.set_epoch(0)
        assert feed.state_dict() == start
        feed.load_state_dict(between)
        assert [batch.names for batch in feed] == second
        feed.load_state_dict(start)
        assert [batch.names for batch in feed] == first


# workers by measurement


def test_the_choice_of_workers():
    hides = choose_workers(load=0.08, work=0.08, step=0.1, cores=8, threads=True)
    assert (hides.workers, hides.threads) == (0, True)
    assert "hides behind it" in hides.reason
    assert choose_workers(load=0.2, work=0.35, step=0.1, cores=8, threads=True).workers == 4
    assert choose_workers(load=9.0, work=9.0, step=0.0, cores=8, threads=True).workers == 7
    assert choose_workers(load=9.0, work=9.0, step=0.01, cores=64, threads=True).workers == 16
    few = choose_workers(load=9.0, work=9.0, step=0.1, cores=2, threads=True)
    assert few.workers == 0
    assert "would take from the step the cores" in few.reason
    assert choose_workers(load=0.004, work=0.004, step=0.1, cores=8, threads=False).workers == 0
    assert choose_workers(load=0.05, work=0.05, step=0.1, cores=8, threads=False).workers == 1


@pytest.mark.parametrize("dataset", ["ours", "somebody's"])
def test_auto_takes_workers_in_the_course_of_an_epoch_without_changing_anything(folder, monkeypatch, caplog, dataset):
    """As on a machine of four cores where loading takes all the time."""
    chosen = worker_choice.WorkerChoice(1, False, "workers='auto' takes 1 because the test says so")
    asked = []
    monkeypatch.setattr("audiofeed.loading.feed.choose_workers", lambda **figures: asked.append(figures) or chosen)
    monkeypatch.setattr("audiofeed.loading.feed.MEASURED", 3)
    data = folder if dataset == "ours" else Pairs(12)

    def epochs(workers):
        torch.manual_seed(5)
        with af.Feed(data, Bands(), batch_size=2, seed=1, device="cpu", workers=workers) as feed:
            found = [[(batch.features, batch.targets, torch.rand(1)) for batch in feed] for _ in range(2)]
            return found, feed.loader.num_workers, feed.stats(), repr(feed)

    with caplog.at_level(logging.INFO, "audiofeed"):
        found, workers, stats, text = epochs("auto")
    expected, _, _, _ = epochs(0)
    assert workers == 1
    assert [record.message for record in caplog.records] == [chosen.reason]
    assert chosen.reason in str(stats)
    assert "workers=auto: 1" in text
    assert asked[0]["load"] > 0
    assert asked[0]["step"] > 0
    assert asked[0]["threads"] == (dataset == "ours")
    for one, other in zip(found, expected, strict=True):
        assert len(one) == len(other) == 6
        for parts in zip(one, other, strict=True):
            assert all(map(torch.equal, *parts))


# parts and ends


def test_the_parts_can_be_taken_apart(folder, transform):
    with af.Feed(folder, transform, batch_size=4, device="cpu", workers=1) as feed:
        loader = DataLoader(feed.dataset, batch_sampler=feed.sampler, collate_fn=feed.collate)
        feed.set_epoch(0)
        one = [values(batch) for batch in loader]
        feed.set_epoch(0)
        for batch, expected in zip(feed, one, strict=True):
            assert_same(values(batch), expected)
        assert feed.device_loader.loader is feed.loader
        workers = feed.loader._iterator._workers
        assert all(worker.is_alive() for worker in workers)
    assert not any(worker.is_alive() for worker in workers)
    assert len(list(feed)) == 3
    feed.close()


def test_workers_persist_over_epochs_and_a_break(folder):
    with af.Feed(folder, Bands(), batch_size=4, device="cpu", workers=1) as feed:
        pids = set()
        for _ in range(3):
            for _batch in feed:
                pids |= {worker.pid for worker in feed.loader._iterator._workers}
                break
        assert len(list(feed)) == 3
    assert len(pids) == 1


def test_subsets_and_concatenations_draw_by_epoch(folder, wav_folder):
    dataset = ConcatDataset([Subset(folder, range(6)), af.AudioFolder(wav_folder, crop=af.RandomCrop(0.2), seed=9)])
    with af.Feed(dataset, Bands(), batch_size=18, device="cpu", workers=0) as feed:
        (first,), (second,) = list(feed), list(feed)
    rows = dict(zip(first.names[:6], first.waveforms, strict=False))
    again = dict(zip(second.names, second.waveforms, strict=True))
    assert any(not torch.equal(row, again[name]) for name, row in rows.items())


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({}, ValueError, "give one of batch_size"),
        ({"batch_size": 2, "batch_seconds": 1.0}, ValueError, "batch_size=2 and batch_seconds=1.0 is given"),
        ({"batch_size": 0}, ValueError, "batch_size=0 must be"),
        ({"batch_seconds": -1}, ValueError, "must be a number of padded seconds"),
        ({"sampler": 3}, TypeError, "sampler=int must yield lists"),
        ({"batch_size": 2, "workers": "many"}, ValueError, "workers='many' must be an integer of at least 0"),
        ({"batch_size": 2, "workers": True}, ValueError, "workers=True must be"),
        ({"batch_size": 2, "ahead": -1}, ValueError, "^ahead=-1 must be an integer of at least 0"),
        ({"batch_size": 2, "prefetch_factor": 0}, ValueError, "prefetch_factor=0 must be a number of batches"),
        ({"batch_size": 2, "timeout": 0}, ValueError, "timeout=0 must be seconds"),
        ({"batch_size": 2, "on_error": "ignore"}, ValueError, "on_error='ignore'"),
        ({"batch_size": 2, "max_fault_ratio": 1.5}, ValueError, "max_fault_ratio=1.5 must lie between 0 and 1"),
        ({"batch_size": 2, "evaluation": True, "drop_last": True}, ValueError, "evaluation takes each once"),
        ({"batch_size": 2, "rank": 1}, ValueError, "given together"),
        ({"batch_size": 2, "nonsense": 1}, TypeError, "nonsense"),
        ({"batch_size": 2, "max_fault_ratio": "a"}, ValueError, "max_fault_ratio='a' must lie between 0 and 1"),
        ({"batch_size": 2, "shuffle": "False"}, ValueError, "shuffle='False' must be True or False"),
        ({"batch_size": 2, "evaluation": "no"}, ValueError, "evaluation='no' must be True or False"),
        ({"batch_size": 2, "drop_last": 1}, ValueError, "drop_last=1 must be True or False"),
        ({"sampler": [[0]], "shuffle": False}, ValueError, "shuffle=False has no effect on sampler=list"),
        ({"sampler": [[0]], "evaluation": True}, ValueError, "evaluation=True has no effect on sampler=list"),
        ({"sampler": [[0]], "drop_last": True}, ValueError, "drop_last=True has no effect"),
        ({"sampler": [[0]], "seed": 7}, ValueError, "seed=7 has no effect"),
        ({"sampler": [[0]], "rank": 0, "world_size": 1}, ValueError, "rank=0, world_size=1 has no effect"),
        ({"sampler": af.EpochSampler(12)}, TypeError, "sampler=EpochSampler yields single clips"),
        ({"sampler": af.EvaluationSampler(12)}, TypeError, "sampler=EvaluationSampler yields single clips"),
        ({"sampler": list(af.EpochSampler(12))}, TypeError, "sampler=list yields single clips"),
        ({"sampler": [0, 1]}, TypeError, "sampler=list yields single clips"),
        ({"sampler": SequentialSampler(range(12))}, TypeError, "sampler=SequentialSampler yields single clips"),
        ({"sampler": af.ClipBatchSampler(10, batch_size=2)}, ValueError, "was made for 10 clips.* dataset has 12"),
        ({"sampler": BatchSampler(RandomSampler(range(9)), 2, False)}, ValueError, "made for 9 clips"),
    ],
)
def test_wrong_arguments_say_what_to_do(folder, settings, error, message):
    with pytest.raises(error, match=message):
        af.Feed(folder, Bands(), **settings)


def test_samplers_of_ones_own_that_fit_are_taken(folder):
    samplers = [
        af.ClipBatchSampler(12, batch_size=5, draws=15, weights=[1] * 12),
        af.EvaluationSampler(12, batch_size=4),
        BatchSampler(RandomSampler(range(12)), 5, False),
        BatchSampler(SubsetRandomSampler([0, 3, 5, 6, 8]), 2, False),
    ]
    for sampler in samplers:
        with af.Feed(folder, Bands(), sampler=sampler, device="cpu", workers=0) as feed:
            assert len(list(feed)) == 3
    # what takes the place of items that fail is drawn with the feed's seed
    with af.Feed(folder, Bands(), sampler=samplers[0], seed=3, on_error="skip", device="cpu", workers=0) as feed:
        assert len(list(feed)) == 3


def test_what_is_no_state_or_epoch_is_named(folder):
    with af.Feed(folder, Bands(), batch_size=2, device="cpu", workers=0) as feed:
        for state in (None, 3, [("version", 1)]):
            with pytest.raises(TypeError, match=r"must be the dict that state_dict\(\) of a feed gave"):
                feed.load_state_dict(state)
        for epoch in (2**70, 2**63, -1):
            with pytest.raises(ValueError, match=f"epoch={epoch} must be 0 or more, and below"):
                feed.set_epoch(epoch)
        with pytest.raises(TypeError, match="epoch='1' must be an integer"):
            feed.set_epoch("1")
        assert feed.epoch == folder.epoch == 0
        feed.set_epoch(2**63 - 1)
        assert feed.epoch == folder.epoch == 2**63 - 1


def test_a_copy_says_what_to_do_instead(folder):
    with af.Feed(folder, Bands(), batch_size=2, device="cpu", workers=0) as feed:
        for make_copy in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match=r"neither pickled nor copied.*make it anew"):
                make_copy(feed)


def test_streams_and_settings_without_effect_are_refused(folder):
    class Stream(IterableDataset):
        def __iter__(self):
            return iter([])

    with pytest.raises(TypeError, match="for a stream, give DeviceLoader"):
        af.Feed(Stream(), Bands(), batch_size=2)
    with pytest.raises(ValueError, match="output='tuple' has no effect without a transform"):
        af.Feed(folder, batch_size=2, output="tuple")


def test_every_argument_is_documented():
    for name in inspect.signature(af.Feed).parameters:
        assert f"    {name}: " in af.Feed.__doc__, name


def test_a_path_is_no_dataset():
    with pytest.raises(TypeError, match=r"dataset='recordings' is a path.*AudioFolder\('recordings'"):
        af.Feed("recordings", Bands(), batch_size=2)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", 1.5])
def test_a_device_is_one_of_torch(device):
    for make in (
        lambda: af.Feed(Pairs(4), Bands(), batch_size=2, device=device),
        lambda: af.GPUSpecCollate(Bands(), device=device),
        lambda: af.DeviceLoader([], device=device),
    ):
        with pytest.raises(ValueError, match=r"device=.* must be a device of torch, such as 'cpu', 'cuda'"):
            make()
