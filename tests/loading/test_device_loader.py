"""DeviceLoader: the next batches in work, the same bits, and what must stay in the loop stays there."""

import inspect
import multiprocessing
import threading
import time
import traceback

import pytest
import torch
from feed_datasets import Bands, Broken, Pairs
from loading_probes import (
    CountingSampler,
    Drawing,
    DrawingBands,
    Noted,
    background_threads,
    trained_weights,
)
from torch.utils.data import ConcatDataset, DataLoader, RandomSampler, Subset

import audiofeed as af
from audiofeed.loading import pipeline as pipelines
from audiofeed.loading.pipeline import Safety


@pytest.fixture(autouse=True)
def cores_to_spare(monkeypatch):
    """Two cores at least, so that the background thread computes on any machine that runs the tests."""
    monkeypatch.setattr("audiofeed.loading.device_loader.spare_cores", lambda: 1)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert not background_threads()


def plain(collate, clips=20, **settings):
    return DataLoader(Pairs(clips), batch_size=4, collate_fn=collate, **settings)


def padded_tuple(items):
    waveforms = torch.nn.utils.rnn.pad_sequence([waveform for waveform, _ in items], batch_first=True)
    return waveforms, torch.tensor([target for _, target in items])


def padded_dict(items):
    waveforms, targets = padded_tuple(items)
    lengths = torch.tensor([len(waveform) for waveform, _ in items])
    return {"waveforms": waveforms, "lengths": lengths, "targets": targets, "names": ["x"] * len(items)}


# ahead of its turn


def test_features_of_the_next_batch_are_computed_while_the_loop_uses_this_one():
    bands = Noted()
    loader = af.DeviceLoader(plain(af.GPUSpecCollate(bands, device="cpu")))
    for number, batch in enumerate(loader):
        if number in (1, 2):
            deadline = time.monotonic() + 30
            # with the loop in its step: the thread computes batches number + 1 and number + 2, whoever asks for none
            while len(bands.threads) < number + 2 and time.monotonic() < deadline:
                time.sleep(0.001)
            assert len(bands.threads) >= number + 2
        assert batch.features.shape[0] == 4
    assert bands.threads[:2] == ["MainThread"] * 2
    assert bands.threads[2:] == ["audiofeed-loading"] * 3


class Awaited(Pairs):
    """Items that the background thread has no sooner than when the loop waits for them."""

    waited = staticmethod(lambda: True)

    def __getitem__(self, index):
        deadline = time.monotonic() + 3
        while threading.current_thread().name == "audiofeed-loading" and not self.waited():
            assert time.monotonic() < deadline
            time.sleep(0.001)
        return super().__getitem__(index)


@pytest.mark.parametrize("waits", [True, False], ids=["the loop waits", "the loop computes"])
def test_torchs_threads_are_the_loops_unless_it_waits_for_the_batch(waits):
    bands, before = Noted(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        dataset = Awaited(20)
        collate = af.GPUSpecCollate(bands, device="cpu")
        loader = af.DeviceLoader(DataLoader(dataset, batch_size=4, collate_fn=collate), ahead=1)
        loader._loads_anywhere = True
        if waits:
            dataset.waited = lambda: loader._running.pipeline._waits
        for number, batch in enumerate(loader):
            assert batch.features.shape[0] == 4
            deadline = time.monotonic() + 10
            while not waits and 0 < number < 4 and len(bands.threads) < number + 2 and time.monotonic() < deadline:
                time.sleep(0.001)
    finally:
        torch.set_num_threads(before)
    assert bands.threads[2:] == ["audiofeed-loading"] * 3
    assert bands.torch_threads[2:] == [2 if waits else 1] * 3


def test_no_more_than_ahead_batches_are_loaded_before_they_are_asked_for(wav_folder):
    folder = af.AudioFolder(wav_folder)
    loaded = []

    def collate(items):
        loaded.append(len(items))
        return [item.waveform.sum() for item in items]

    for ahead in (0, 1, 3):
        loaded.clear()
        loader = af.DeviceLoader(DataLoader(folder, batch_size=1, collate_fn=collate), ahead=ahead, device="cpu")
        for number, _ in enumerate(loader, 1):
            if number > 2:
                deadline = time.monotonic() + 30
                while len(loaded) < min(12, number + ahead) and time.monotonic() < deadline:
                    time.sleep(0.001)
                time.sleep(0.005)  # time to load one too many
                assert len(loaded) == min(12, number + ahead)
        assert len(loaded) == 12


def test_a_trained_transform_is_computed_in_the_loop_with_its_parameters_of_that_time():
    expected = trained_weights(plain(af.GPUSpecCollate(bands := Bands(trainable=True), device="cpu")), bands)
    noted = Noted(trainable=True)
    found = trained_weights(af.DeviceLoader(plain(af.GPUSpecCollate(noted, device="cpu"))), noted)
    assert set(noted.threads) == {"MainThread"}
    assert len(noted.threads) == 10
    for one, other in zip(expected, found, strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(found[-1], Bands().weight)


def test_the_same_with_a_collate_of_somebody_elses_and_transform():
    def weights(made):
        torch.manual_seed(0)
        head = torch.nn.Linear(2, 40)
        optimizer = torch.optim.SGD([*head.parameters(), *bands.parameters()], lr=1e-4)
        for features, targets in made:
            loss = torch.nn.functional.cross_entropy(head(features.sum(-1)), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return bands.weight.detach()

    bands = Bands(trainable=True)
    expected = weights((bands(waveforms), targets) for waveforms, targets in plain(padded_tuple))
    bands = Noted(trainable=True)
    assert torch.equal(weights(af.DeviceLoader(plain(padded_tuple), bands, device="cpu")), expected)
    assert set(bands.threads) == {"MainThread"}


@pytest.mark.parametrize("dataset", [Pairs, Drawing])
@pytest.mark.parametrize("transform", [Bands, DrawingBands])
@pytest.mark.parametrize("workers", [0, 2])
def test_random_numbers_of_the_loop_are_drawn_in_the_loops_order(dataset, transform, workers):
    """A model with dropout beside a dataset and a transform that draw from the same generator."""

    def weights(wrap):
        bands = transform()
        collate = af.GPUSpecCollate(bands, device="cpu")
        loader = DataLoader(dataset(20), batch_size=4, collate_fn=collate, shuffle=True, num_workers=workers)
        return trained_weights(wrap(loader), bands)

    for one, other in zip(weights(lambda loader: loader), weights(af.DeviceLoader), strict=True):
        assert torch.equal(one, other)


def test_a_transform_that_draws_only_while_it_trains_is_watched_in_both_modes():
    class Masking(DrawingBands):
        def forward(self, waveform, lengths=None):
            return super().forward(waveform, lengths) if self.training else Bands.forward(self, waveform, lengths)

    def features(wrap):
        torch.manual_seed(3)
        bands = Masking()
        loader = wrap(plain(af.GPUSpecCollate(bands, device="cpu")))
        found = []
        for training in (False, True):
            bands.train(training)
            found += [(torch.rand(1), batch.features, torch.rand(1)) for batch in loader]
        return found

    for one, other in zip(features(lambda loader: loader), features(af.DeviceLoader), strict=True):
        assert all(map(torch.equal, one, other))


# modes


@pytest.mark.parametrize("mode", ["no_grad", "inference", "autocast"])
def test_the_modes_of_the_loops_thread_change_nothing(mode):
    collate = af.GPUSpecCollate(Bands(), device="cpu")
    expected = [batch.features for batch in plain(collate)]
    context = {
        "no_grad": torch.no_grad,
        "inference": torch.inference_mode,
        "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    }[mode]
    with context():
        found = [batch.features for batch in af.DeviceLoader(plain(collate))]
        others = [made[0] for made in af.DeviceLoader(plain(padded_tuple), Bands(), device="cpu")]
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        assert not one.is_inference()
        assert torch.equal(one, other)
    plain_others = [Bands()(waveforms) for waveforms, _ in plain(padded_tuple)]
    assert all(map(torch.equal, others, plain_others))
    assert not any(made.is_inference() or made.requires_grad for made in others)


def test_the_default_device_of_the_loops_thread_holds_in_the_background():
    class Batches:
        num_workers = 1  # so that they are loaded ahead

        def __iter__(self):
            for _ in range(6):
                made.append((threading.current_thread().name, torch.empty(1).device.type))
                yield torch.zeros(1, device="cpu")

    made = []
    with torch.device("meta"):
        # the look at the random numbers of the loop would read them on that device
        loader = af.DeviceLoader(Batches(), device="cpu")
        loader._safeties[()] = Safety(loading=True, computing=True)
        assert len(list(loader)) == 6
    assert {device for _, device in made} == {"meta"}
    assert "audiofeed-loading" in {thread for thread, _ in made}


# errors and ends


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_an_item_comes_once_after_the_batches_before_it(workers):
    loader = af.DeviceLoader(
        DataLoader(Broken(20), batch_size=2, collate_fn=af.GPUSpecCollate(Bands(), device="cpu"), num_workers=workers)
    )
    batches = iter(loader)
    assert [next(batches).targets.tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(ValueError, match="item 5 is broken on purpose") as caught:
        next(batches)
    assert "__getitem__" in "".join(traceback.format_exception(caught.value))
    assert list(batches) == []
    assert not background_threads()


def test_an_error_of_a_transform_has_its_traceback():
    class Fails(Bands):
        def forward(self, waveform, lengths=None):
            if self.calls == 3:
                raise FloatingPointError("the fourth batch fails")
            return super().forward(waveform, lengths)

    batches = iter(af.DeviceLoader(plain(af.GPUSpecCollate(Fails(), device="cpu"))))
    for _ in range(3):
        assert next(batches).features.shape[0] == 4
    with pytest.raises(FloatingPointError, match="fourth") as caught:
        next(batches)
    assert "in forward" in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("workers", [0, 2])
def test_leaving_in_the_middle_leaves_no_thread_and_no_process(workers):
    before = set(multiprocessing.active_children())  # an error that pytest keeps holds the loader of another test
    loader = af.DeviceLoader(plain(af.GPUSpecCollate(Bands(), device="cpu"), num_workers=workers))
    for _ in range(3):
        for number, _batch in enumerate(loader):
            if number == 2:
                assert background_threads()
                break
        assert not background_threads()
    batches = iter(loader)
    next(batches)
    del batches
    deadline = time.monotonic() + 30
    while set(multiprocessing.active_children()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not set(multiprocessing.active_children()) - before


def test_ctrl_c_while_the_loop_waits_ends_the_thread(wav_folder):
    """The interrupt comes while the next batch is held in the background thread."""
    import _thread

    bands = Noted()
    batches = iter(af.DeviceLoader(plain(af.GPUSpecCollate(bands, device="cpu"), clips=40)))
    next(batches), next(batches)
    bands.gate.clear()
    threading.Timer(0.2, lambda: (_thread.interrupt_main(), bands.gate.set())).start()
    with pytest.raises(KeyboardInterrupt):
        list(batches)
    batches.close()
    assert not background_threads()


def test_a_loader_of_lists_and_one_without_a_length():
    assert [batch.tolist() for batch in af.DeviceLoader([torch.ones(2), torch.zeros(1)], device="cpu")] == [[1, 1], [0]]
    assert list(af.DeviceLoader((str(number) for number in range(4)), device="cpu")) == ["0", "1", "2", "3"]
    with pytest.raises(TypeError, match="len"):
        len(af.DeviceLoader(iter([1])))
    assert list(af.DeviceLoader([])) == []


# somebody else's batches


@pytest.mark.parametrize("ahead", [0, 2])
def test_transform_takes_tensors_tuples_and_dicts(ahead):
    bands = Bands()
    for tensor, waveforms in zip(
        af.DeviceLoader(plain(lambda items: padded_tuple(items)[0]), bands, ahead, device="cpu"),
        plain(lambda items: padded_tuple(items)[0]),
        strict=True,
    ):
        assert torch.equal(tensor, bands(waveforms))
    for (features, targets), (waveforms, expected) in zip(
        af.DeviceLoader(plain(padded_tuple), bands, ahead, device="cpu"), plain(padded_tuple), strict=True
    ):
        assert torch.equal(features, bands(waveforms))
        assert torch.equal(targets, expected)
    for made, expected in zip(
        af.DeviceLoader(plain(padded_dict), bands, ahead, device="cpu"), plain(padded_dict), strict=True
    ):
        assert torch.equal(made["features"], bands(expected["waveforms"], expected["lengths"]))
        assert torch.equal(made["feature_lengths"], bands.frame_lengths(expected["lengths"]))
        assert torch.equal(made["waveforms"], expected["waveforms"])
        assert made["names"] == expected["names"]


def test_transform_takes_the_batches_of_a_pad_collate():
    bands = Bands()
    reference = plain(af.GPUSpecCollate(bands, device="cpu", fields=[]))
    for made, expected in zip(af.DeviceLoader(plain(af.PadCollate()), bands, device="cpu"), reference, strict=True):
        for name in ("features", "feature_lengths", "feature_mask", "waveforms", "lengths", "targets"):
            assert torch.equal(made[name], expected[name]), name


def test_a_transform_that_does_not_fit_the_batches_is_refused():
    with pytest.raises(ValueError, match="have features already"):
        list(af.DeviceLoader(plain(af.GPUSpecCollate(Bands(), device="cpu")), Bands(), device="cpu"))
    with pytest.raises(TypeError, match=r"no waveforms are known.*call it in the loop"):
        list(af.DeviceLoader(plain(lambda items: {"x": 3}), Bands(), device="cpu"))
    with pytest.raises(TypeError, match=r"must be an instance of torch\.nn\.Module"):
        af.DeviceLoader([], lambda waveform: waveform)


def test_wrong_arguments():
    with pytest.raises(TypeError, match="loader=int cannot be iterated; give"):
        af.DeviceLoader(3)
    for ahead in (-1, True, 1.5):
        with pytest.raises(ValueError, match=r"ahead=.* must be an integer of at least 0"):
            af.DeviceLoader([], ahead=ahead)


# what others see of the loader


def test_the_loaders_own_attributes_are_reached():
    inner = plain(None, num_workers=1)
    loader = af.DeviceLoader(inner)
    for name in ("dataset", "batch_sampler", "sampler", "num_workers", "batch_size", "drop_last", "collate_fn"):
        assert getattr(loader, name) is getattr(inner, name), name
    assert len(loader) == 5
    assert loader.loader is inner
    assert "ahead=2" in repr(loader)
    with pytest.raises(AttributeError, match="nonsense"):
        loader.nonsense  # noqa: B018


def test_set_epoch_reaches_sampler_and_dataset_however_wrapped(wav_folder):
    folder, other = af.AudioFolder(wav_folder), af.AudioFolder(wav_folder)
    sampler = CountingSampler(12, 4)
    dataset = ConcatDataset([Subset(folder, range(6)), other])
    af.DeviceLoader(DataLoader(dataset, batch_sampler=sampler)).set_epoch(3)
    assert (folder.epoch, other.epoch, sampler.epoch) == (3, 3, 3)
    with pytest.warns(UserWarning, match=r"set_epoch\(1\) has no effect"):
        af.DeviceLoader(plain(None)).set_epoch(1)


# state


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("ahead", [0, 3])
def test_state_counts_what_the_loop_has_had(workers, ahead):
    def make(sampler):
        collate = af.GPUSpecCollate(Bands(), device="cpu")
        return af.DeviceLoader(
            DataLoader(Pairs(20), batch_sampler=sampler, collate_fn=collate, num_workers=workers), ahead=ahead
        )

    expected = [batch.targets.tolist() for batch in make(CountingSampler(20, 2))]
    for cut in range(1, 11):
        loader = make(CountingSampler(20, 2))
        batches = iter(loader)
        had = [next(batches).targets.tolist() for _ in range(cut)]
        state = loader.state_dict()
        batches.close()
        assert state == {"version": 1, "sampler": {"epoch": 0, "batch": cut}}
        resumed = make(CountingSampler(20, 2))
        resumed.load_state_dict(state)
        rest = iter(resumed)
        then = [next(rest).targets.tolist()] if cut < 10 else []
        # a second cut, in the resumed pass
        if cut < 10:
            assert resumed.state_dict()["sampler"]["batch"] == cut + 1
        then += [batch.targets.tolist() for batch in rest]
        assert had + then == expected


def test_state_of_a_loader_that_counts_by_itself():
    """As torchdata's StatefulDataLoader: its state is that after what it has yielded, ahead or not."""

    class Counting:
        def __init__(self):
            self.yielded = 0

        def __iter__(self):
            while self.yielded < 8:
                self.yielded += 1
                yield torch.full((1,), float(self.yielded))

        def state_dict(self):
            return {"yielded": self.yielded}

        def load_state_dict(self, state):
            self.yielded = state["yielded"]

        num_workers = 1  # so that batches are loaded ahead

    loader = af.DeviceLoader(inner := Counting(), device="cpu", ahead=3)
    batches = iter(loader)
    for _ in range(4):
        had = next(batches)
    deadline = time.monotonic() + 30
    while inner.yielded < 7 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert (had.item(), inner.yielded) == (4, 7)
    state = loader.state_dict()
    assert state["loader"] == {"yielded": 4}
    batches.close()
    resumed = af.DeviceLoader(Counting(), device="cpu")
    resumed.load_state_dict(state)
    assert [batch.item() for batch in resumed] == [5, 6, 7, 8]


def test_a_state_that_does_not_fit_is_refused():
    with pytest.raises(TypeError, match="have no state_dict; give it a sampler"):
        af.DeviceLoader(plain(None)).state_dict()
    loader = af.DeviceLoader(DataLoader(Pairs(), batch_sampler=CountingSampler(10, 2)))
    for state in ({}, {"version": 2, "sampler": {}}, {"version": 1, "loader": {}}, 3):
        with pytest.raises(ValueError, match="as state_dict"):
            loader.load_state_dict(state)


# streams


def test_a_batch_of_somebody_elses_is_copied_and_computed_on_a_side_stream():
    from test_side_streams import FakeStreams

    streams = FakeStreams()
    loader = af.DeviceLoader(plain(padded_tuple, clips=24, num_workers=1), bands := Bands(), device="cpu", ahead=2)
    loader._work._ahead = type(loader._work._ahead)(2, streams)
    found = []
    for features, targets in loader:
        found.append(features)
        assert sum(entry[0] == "wait" for entry in streams.log) == len(found)
        kept = {entry[2] for entry in streams.log if entry[0] == "keep"}
        assert {features.data_ptr(), targets.data_ptr()} <= kept
    assert streams.streams == 1
    assert sum(entry == ("record", "side 1") for entry in streams.log) == 6
    expected = [bands(waveforms) for waveforms, _ in plain(padded_tuple, clips=24)]
    assert all(map(torch.equal, found, expected))


def test_every_argument_is_documented():
    for name in inspect.signature(af.DeviceLoader).parameters:
        assert f"    {name}: " in af.DeviceLoader.__doc__
    assert pipelines.spare_cores() >= 0
    assert RandomSampler  # shuffle=True above draws its seed from the loop's generator
