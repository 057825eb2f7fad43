"""Work ahead of its use: how many, in which order, what is released when. The streams are fakes that keep a log."""

import gc
import inspect
import threading
import traceback
from contextlib import contextmanager

import pytest
import torch
from feed_datasets import Bands, Pairs
from torch import nn
from torch.utils.data import DataLoader, dataloader

from audiofeed.feed import GPUSpecCollate, PadCollate
from audiofeed.feed.padding import Padded
from audiofeed.feed.states.side_streams import Ahead, DeviceStreams

CPU = torch.device("cpu")
ITEMS = [Pairs()[index] for index in range(3)]


class FakeStreams:
    """Streams that are names, on a device that computes at once."""

    def __init__(self):
        self.log = []
        self.streams = 0
        self.reader = "main"

    def supports(self, device):
        return True

    def new_stream(self, device):
        self.streams += 1
        return f"side {self.streams}"

    def current_stream(self, device):
        return self.reader

    @contextmanager
    def on(self, stream):
        self.log.append(("enter", stream))
        yield
        self.log.append(("leave", stream))

    def record(self, stream):
        self.log.append(("record", stream))
        return f"event of {stream}"

    def wait(self, stream, event):
        self.log.append(("wait", stream, event))

    def keep(self, tensor, stream):
        self.log.append(("keep", stream, tensor.data_ptr()))


class Owner:
    pass


@pytest.fixture
def accelerated(monkeypatch):
    """Pretend that there is an accelerator to pin memory for; returns the padded batches that were pinned."""
    pinned = []
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(Padded, "pin_memory", lambda padded: pinned.append(padded) or padded)
    return pinned


def make(transform, *, max_ahead=2, **settings):
    streams = FakeStreams()
    collate = GPUSpecCollate(transform, device="cpu", max_ahead=max_ahead, **settings)
    collate._runtime.ahead = Ahead(max_ahead, streams)
    return collate, streams


def test_only_so_many_are_in_flight():
    ahead = Ahead(2, FakeStreams())
    owners = [Owner() for _ in range(3)]
    started = [ahead.start(owner, CPU, lambda: 1) for owner in owners]
    assert [result is None for result in started] == [False, False, True]
    assert ahead.in_flight == 2
    assert started[0].join(lambda result: []) == 1
    assert ahead.in_flight == 1
    assert ahead.start(owners[2], CPU, lambda: 1) is not None
    assert ahead.in_flight == 2


def test_none_ahead():
    assert Ahead(0, FakeStreams()).start(Owner(), CPU, lambda: 1) is None


def test_an_unread_result_gives_its_place_back_when_its_owner_goes():
    ahead = Ahead(1, FakeStreams())
    owner = Owner()
    assert ahead.start(owner, CPU, lambda: 1) is not None
    del owner
    assert ahead.in_flight == 0


def test_a_read_result_gives_its_place_back_once():
    ahead = Ahead(2, FakeStreams())
    first, second = Owner(), Owner()
    started = ahead.start(first, CPU, lambda: 1)
    assert ahead.start(second, CPU, lambda: 1) is not None
    started.join(lambda result: [])
    started.join(lambda result: [])
    del first
    assert ahead.in_flight == 1


def test_failed_work_gives_its_place_back():
    ahead = Ahead(1, FakeStreams())
    with pytest.raises(ZeroDivisionError):
        ahead.start(Owner(), CPU, lambda: 1 / 0)
    assert ahead.in_flight == 0


def test_one_stream_per_device():
    streams = FakeStreams()
    ahead = Ahead(9, streams)
    owners = [Owner() for _ in range(4)]
    for owner, device in zip(owners, ["cpu", "cpu", "meta", "cpu"], strict=True):
        assert ahead.start(owner, torch.device(device), lambda: 1) is not None
    assert streams.streams == 2


def test_the_order_of_the_streams():
    streams = FakeStreams()
    ahead = Ahead(2, streams)
    owner = Owner()
    tensor, other = torch.ones(1), torch.ones(2)
    started = ahead.start(owner, CPU, lambda: streams.log.append("work") or [tensor, other])
    assert streams.log == [("enter", "side 1"), "work", ("record", "side 1"), ("leave", "side 1")]
    streams.log.clear()
    assert started.join(list) == [tensor, other]
    kept = [("keep", "main", tensor.data_ptr()), ("keep", "main", other.data_ptr())]
    assert streams.log == [("wait", "main", "event of side 1"), *kept]
    started.join(list)
    assert len(streams.log) == 3
    streams.reader = "another"
    started.join(list)
    assert streams.log[3] == ("wait", "another", "event of side 1")
    assert len(streams.log) == 6


def test_which_devices_have_streams():
    assert [DeviceStreams().supports(torch.device(name)) for name in ("cpu", "mps", "cuda", "xpu")] == [
        False,
        False,
        True,
        True,
    ]


def test_a_pinned_batch_starts_and_waits_before_it_is_read(accelerated):
    transform = Bands()
    collate, streams = make(transform)
    batch = collate(ITEMS)
    assert batch.pin_memory() is batch
    assert len(accelerated) == 1
    assert transform.calls == 1
    assert "features:        started, by Bands" in repr(batch)
    assert [entry[0] for entry in streams.log] == ["enter", "record", "leave"]
    lengths = batch.lengths
    assert streams.log[3] == ("wait", "main", "event of side 1")
    kept = {entry[2] for entry in streams.log if entry[0] == "keep"}
    reachable = [lengths, batch.targets, batch.waveforms, batch.features, batch.feature_lengths, batch.feature_mask]
    assert {tensor.data_ptr() for tensor in reachable} <= kept
    assert transform.calls == 1
    assert collate._runtime.ahead.in_flight == 0
    assert torch.equal(batch.features, GPUSpecCollate(Bands(), device="cpu")(ITEMS).features)
    batch.pin_memory()
    assert len(accelerated) == 1


def test_batches_beyond_the_limit_are_computed_when_read(accelerated):
    transform = Bands()
    collate, _ = make(transform, max_ahead=2)
    batches = [collate(ITEMS).pin_memory() for _ in range(4)]
    assert transform.calls == 2
    assert len(accelerated) == 4
    assert all(torch.equal(batch.features, batches[0].features) for batch in batches)
    assert transform.calls == 4
    del batches
    gc.collect()
    assert collate(ITEMS).pin_memory() is not None
    assert transform.calls == 5


def test_dropped_batches_give_their_places_back(accelerated):
    collate, _ = make(Bands(), max_ahead=1)
    for _ in range(3):
        batch = collate(ITEMS).pin_memory()
        assert collate._runtime.ahead.in_flight == 1
        del batch
        assert collate._runtime.ahead.in_flight == 0
    pair = GPUSpecCollate(Bands(), device="cpu", output="tuple")(ITEMS)
    assert pair.pin_memory() is pair


@pytest.mark.parametrize("which", ["transform", "augment", "off"])
def test_what_is_not_started_ahead(accelerated, which):
    class Gain(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(()))

        def forward(self, waveforms, lengths, seeds):
            return waveforms * self.gain

    transform = Bands(trainable=which == "transform")
    augment = Gain() if which == "augment" else None
    collate, streams = make(transform, augment=augment, max_ahead=0 if which == "off" else 2)
    batch = collate(ITEMS).pin_memory()
    assert len(accelerated) == 1
    assert transform.calls == 0
    assert streams.log == []
    assert batch.features.requires_grad == (which != "off")


def test_features_started_without_a_gradient_are_not_used_where_one_is_asked(accelerated):
    transform = Bands()
    collate, _ = make(transform)
    batch = collate(ITEMS).pin_memory()
    transform.weight.requires_grad_(True)
    assert batch.features.requires_grad
    assert transform.calls == 2


class Fails(nn.Module):
    def forward(self, waveform):
        return self.inner(waveform)

    def inner(self, waveform):
        raise MultipleArgumentsError("a", 3)


class MultipleArgumentsError(Exception):
    """An error that cannot be rebuilt from one string, as DataLoader would try."""

    def __init__(self, name, number):
        super().__init__(f"{name} {number}")
        self.number = number


def test_an_error_ahead_is_kept_for_the_first_read(accelerated):
    collate, _ = make(Fails())
    batch = collate(ITEMS).pin_memory()
    assert collate._runtime.ahead.in_flight == 0
    assert "MultipleArgumentsError, raised at the first read" in repr(batch)
    assert len(batch) == 3
    depths = []
    for _ in range(2):
        with pytest.raises(MultipleArgumentsError, match="a 3") as caught:
            _ = batch.features
        frames = [frame.name for frame in traceback.extract_tb(caught.tb)]
        assert "inner" in frames
        assert "_start" in frames
        depths.append(len(frames))
    assert depths[0] == depths[1]


def test_an_error_of_pinning_is_kept_too(accelerated, monkeypatch):
    def fail(padded):
        raise RuntimeError("no page-locked memory left")

    monkeypatch.setattr(Padded, "pin_memory", fail)
    batch = make(Bands())[0](ITEMS).pin_memory()
    with pytest.raises(RuntimeError, match="page-locked"):
        _ = batch.features


def test_pinning_does_nothing_without_an_accelerator(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    transform = Bands()
    batch = GPUSpecCollate(transform, device="cpu")(ITEMS).pin_memory(torch.device("cpu"))
    assert transform.calls == 0
    assert batch.features is not None
    assert PadCollate()(ITEMS).pin_memory().waveforms.shape[0] == 3


def test_a_batch_of_another_process_is_pinned_and_not_computed(accelerated):
    collate, streams = make(Bands())
    batch = collate(ITEMS)
    collate._runtime.is_here = lambda: False
    batch.pin_memory()
    assert len(accelerated) == 1
    assert streams.log == []


@pytest.mark.skipif(
    "torch.accelerator" not in inspect.getsource(dataloader),
    reason="this torch's DataLoader asks torch.cuda itself, which cannot be pretended",
)
@pytest.mark.parametrize("output", ["batch", "tuple"])
def test_the_pin_thread_of_a_data_loader(accelerated, monkeypatch, output):
    """DataLoader's own thread calls pin_memory, with its own notion of the device and one thread to compute with."""
    monkeypatch.setattr(torch.accelerator, "set_device_index", lambda index: None)
    monkeypatch.setattr(torch.accelerator, "current_device_index", lambda: 0)
    transform = Bands()
    threads = set()
    transform.register_forward_hook(lambda *_: threads.add(threading.current_thread() is threading.main_thread()))
    collate, streams = make(transform, output=output, max_ahead=1)
    loader = DataLoader(Pairs(), batch_size=2, num_workers=1, pin_memory=True, collate_fn=collate)
    plain_loader = DataLoader(Pairs(), batch_size=2, collate_fn=GPUSpecCollate(Bands(), device="cpu"))
    plain = [batch.features for batch in plain_loader]
    for _ in range(2):
        for expected, made in zip(plain, loader, strict=True):
            features = made.features if output == "batch" else made[0]
            assert torch.equal(features, expected)
    assert False in threads
    assert len(accelerated) == 10
    assert ("enter", "side 1") in streams.log
    assert streams.streams == 1
    # an epoch left early
    for _ in loader:
        break
    del _
    gc.collect()
    assert collate._runtime.ahead.in_flight == 0


def test_a_batch_that_found_no_place_starts_when_one_is_given_back(accelerated):
    """Pinned faster than read, as a loader with workers does: every batch but those of the first rush starts ahead."""
    collate, streams = make(Bands(), max_ahead=2)
    batches = [collate(ITEMS).pin_memory() for _ in range(6)]
    expected = collate(ITEMS).features
    for read, batch in enumerate(batches):
        started = ["started, by" in repr(other) for other in batches[read:]]
        assert started == [place < 2 for place in range(len(started))]  # the next two in line, never more
        assert torch.equal(batch.features, expected)
    assert collate._runtime.ahead.in_flight == 0
    assert streams.streams == 1


def test_a_waiting_batch_that_was_dropped_or_read_keeps_no_place(accelerated):
    collate, _ = make(Bands(), max_ahead=1)
    first, dropped, read, last = (collate(ITEMS).pin_memory() for _ in range(4))
    del dropped
    gc.collect()
    assert read.features is not None  # out of turn, computed at once
    assert first.features is not None
    assert "started, by" in repr(last)
    assert last.features is not None
    assert collate._runtime.ahead.in_flight == 0
    assert collate._runtime.ahead.next_waiting() is None


def test_a_waiting_batch_that_fails_keeps_its_error_for_its_own_reader(accelerated):
    class FailsOnce(Bands):
        calls = 0

        def forward(self, waveform, lengths=None):
            type(self).calls += 1
            if type(self).calls == 2:
                raise ZeroDivisionError("the second batch")
            return super().forward(waveform, lengths)

    collate, _ = make(FailsOnce(), max_ahead=1)
    first, second = (collate(ITEMS).pin_memory() for _ in range(2))
    assert first.features is not None
    with pytest.raises(ZeroDivisionError, match="the second batch"):
        _ = second.features


def test_a_batch_that_is_being_read_is_not_started_late(accelerated):
    collate, _ = make(Bands(), max_ahead=1)
    first, second = (collate(ITEMS).pin_memory() for _ in range(2))
    progress = second._progress
    held, done = threading.Event(), threading.Event()

    def reader():
        with progress._lock:
            held.set()
            done.wait(10)

    thread = threading.Thread(target=reader)
    thread.start()
    held.wait(10)
    assert first.features is not None  # returns although the second's lock is held
    assert progress.state.started is None
    done.set()
    thread.join()
    assert second.features is not None
