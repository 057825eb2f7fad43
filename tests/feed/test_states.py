"""The states of a batch: which leads to which, what each of them keeps, and what a pickle of each carries."""

import copy
import pickle

import pytest
import torch
from feed_datasets import Bands, Pairs
from torch import nn

from audiofeed.feed import AudioBatch, GPUSpecCollate, PadCollate
from audiofeed.feed.padding import Padded
from audiofeed.feed.states.batch_fields import FEATURE_FIELDS, FIELDS
from audiofeed.feed.states.side_streams import Ahead
from audiofeed.feed.states.states import KeptError, Moved, Ready, Waiting

ITEMS = [Pairs()[index] for index in range(3)]
SAMPLES = [torch.arange(100 + 50 * index, dtype=torch.int16) * 40 for index in range(3)]


class Streams:
    """Side streams that compute at once."""

    def __init__(self):
        self.waits = 0

    def supports(self, device):
        return True

    def new_stream(self, device):
        return "side"

    def current_stream(self, device):
        return "main"

    def on(self, stream):
        return torch.no_grad()

    def record(self, stream):
        return "event"

    def wait(self, stream, event):
        self.waits += 1

    def keep(self, tensor, stream):
        pass


class TakesInt16(Bands):
    takes_int16 = True

    def forward(self, waveform, lengths=None):
        self.seen = waveform.dtype
        return super().forward(waveform.float() / 32768 if waveform.dtype == torch.int16 else waveform, lengths)


class Gain(nn.Module):
    def __init__(self, *, trainable=True):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(2.0), requires_grad=trainable)
        self.calls = 0

    def forward(self, waveforms, lengths, seeds):
        self.calls += 1
        return waveforms * self.gain


def make(transform=None, items=ITEMS, **settings):
    return GPUSpecCollate(transform or Bands(), device="cpu", **settings)(items)


def kinds(batch, *names):
    """The kind of the state after each read."""
    found = [type(batch._progress.state).__name__]
    for name in names:
        _ = getattr(batch, name)
        found.append(type(batch._progress.state).__name__)
    return found


@pytest.fixture
def accelerated(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(Padded, "pin_memory", lambda padded: copy.copy(padded))


def start(transform, **settings):
    """A batch that was pinned, and its streams."""
    collate = GPUSpecCollate(transform, device="cpu", **settings)
    streams = Streams()
    collate._runtime.ahead = Ahead(2, streams)
    return collate(ITEMS).pin_memory(), streams


def test_a_read_takes_the_steps_that_its_field_needs_and_no_more():
    assert kinds(make(), "names", "sample_rate") == ["Waiting"] * 3
    assert kinds(make(), "lengths", "targets", "waveforms") == ["Waiting", "Moved", "Moved", "Moved"]
    for name in FEATURE_FIELDS:
        assert kinds(make(), name, "waveforms", "lengths") == ["Waiting", "Ready", "Ready", "Ready"]
    assert kinds(PadCollate()(ITEMS), *FIELDS) == ["Waiting"] * 11
    assert kinds(AudioBatch({"features": torch.ones(1, 2)}), *FIELDS) == ["Ready"] * 11


def test_each_state_leads_to_one_next():
    batch = make()
    waiting = batch._progress.state
    moved = waiting.advance("features")
    ready = moved.advance("features")
    assert (type(waiting), type(moved), type(ready)) == (Waiting, Moved, Ready)
    assert moved.advance("lengths") is ready.advance("lengths") is ready.advance("features") is None
    assert torch.equal(ready.read("features"), batch.features)
    assert ready.moved is moved
    # a state is a value: the steps have changed neither
    assert waiting.is_untouched
    assert moved.waveforms is None
    with pytest.raises(AttributeError):
        waiting.padded = None


def test_16_bit_samples_reach_a_transform_that_takes_them_and_become_waveforms_when_read():
    transform = TakesInt16()
    batch = make(transform, SAMPLES)
    _ = batch.features
    assert transform.seen == torch.int16
    assert batch._progress.state.moved.waveforms is None
    assert batch.waveforms.dtype == torch.float32
    assert batch.waveforms is batch.waveforms
    assert torch.equal(batch.waveforms[0, :100], SAMPLES[0] / 32768)
    assert kinds(batch) == ["Ready"]
    other = make(transform, SAMPLES)
    _ = other.waveforms, other.features
    assert transform.seen == torch.float32  # read already, so they are not scaled twice
    assert torch.equal(other.features, batch.features)
    _ = make(transform, SAMPLES, augment=Gain(trainable=False)).features
    assert transform.seen == torch.float32
    assert make(Bands(), SAMPLES).features.dtype == torch.float32


def test_the_gradient_is_a_part_of_the_state():
    transform = Bands(trainable=True)
    batch = make(transform)
    with torch.no_grad():
        _ = batch.features
    assert not batch._progress.state.has_gradient
    assert batch.features.requires_grad
    assert batch._progress.state.has_gradient
    assert transform.calls == 2
    with torch.no_grad():
        assert batch.features.requires_grad  # a state with a gradient is never left
    assert transform.calls == 2
    fixed = make(Bands())
    _ = fixed.features
    assert not fixed._progress.state.has_gradient


def test_a_trained_augmentation_runs_again_for_its_gradient_whichever_field_asks():
    for field in ("waveforms", "features"):
        gain = Gain()
        batch = make(augment=gain)
        with torch.no_grad():
            _ = batch.features, batch.waveforms
        assert gain.calls == 1
        assert batch[field].requires_grad
        assert batch.waveforms.requires_grad
        assert batch.features.requires_grad
        assert gain.calls == 2


def test_an_augmentation_that_is_not_trained_runs_once():
    for augment in (lambda waveforms, lengths, seeds: waveforms * 3, Gain(trainable=False)):
        batch = make(Bands(trainable=True), augment=augment)
        with torch.no_grad():
            before, features = batch.waveforms, batch.features
        assert torch.equal(batch.features, features)
        assert batch.features.requires_grad
        assert batch.waveforms is before
    assert augment.calls == 1


def test_an_error_is_kept_by_the_state_that_waits(monkeypatch, accelerated):
    def refuse(padded):
        raise MemoryError("no pages to lock")

    monkeypatch.setattr(Padded, "pin_memory", refuse)
    batch, _ = start(Bands())
    state = batch._progress.state
    assert isinstance(state.error, KeptError)
    assert state.started is None
    assert "features:        MemoryError, raised at the first read" in repr(batch)
    for name in ("features", "lengths", "waveforms", "targets"):
        with pytest.raises(MemoryError, match="no pages to lock"):
            _ = batch[name]
    assert batch.sample_rate == 16000
    assert batch.names is None
    assert batch._progress.state is state
    batch.pin_memory()
    assert batch._progress.state is state
    pads = PadCollate()(ITEMS).pin_memory()
    assert repr(pads).count("None") == 4
    with pytest.raises(MemoryError, match="no pages to lock"):
        _ = pads.waveforms


def test_an_error_while_computing_is_not_kept():
    class FailsOnce(Bands):
        def forward(self, waveform, lengths=None):
            if self.calls == 0:
                self.calls = 1
                raise ZeroDivisionError("once")
            return super().forward(waveform, lengths)

    batch = make(FailsOnce())
    with pytest.raises(ZeroDivisionError, match="once"):
        _ = batch.features
    assert kinds(batch, "features") == ["Moved", "Ready"]


def test_work_started_ahead_leads_from_waiting_to_ready(accelerated):
    batch, streams = start(Bands())
    assert batch._progress.state.started is not None
    assert kinds(batch, "lengths") == ["Waiting", "Ready"]
    assert batch._progress.state.moved.completion is not None
    _ = batch.features
    assert streams.waits == 1


@pytest.mark.parametrize("gradient", [False, True])
def test_every_stream_waits_for_work_started_ahead(accelerated, gradient):
    """Also after a read with a gradient, whose features come from tensors that the side stream made."""
    transform = Bands()
    batch, streams = start(transform)
    transform.weight.requires_grad_(gradient)
    assert batch.features.requires_grad == gradient
    streams.current_stream = lambda device: "another"
    _ = batch.lengths
    assert streams.waits == 2
    _ = batch.features
    assert streams.waits == 2


def test_a_stream_waits_too_where_computing_again_has_failed(accelerated):
    class FailsWithGradient(Bands):
        def forward(self, waveform, lengths=None):
            if waveform.requires_grad:
                raise ZeroDivisionError("with a gradient")
            return super().forward(waveform, lengths)

    gain = Gain(trainable=False)
    batch, streams = start(FailsWithGradient(), augment=gain)
    _ = batch.features
    gain.gain.requires_grad_(True)
    with pytest.raises(ZeroDivisionError, match="with a gradient"):
        _ = batch.features
    assert type(batch._progress.state) is Moved
    streams.current_stream = lambda device: "another"
    _ = batch.lengths
    assert streams.waits == 2


STATES = {
    "waiting": lambda: make(),
    "moved": lambda: (batch := make(), batch.lengths)[0],
    "with waveforms": lambda: (batch := make(), batch.waveforms)[0],
    "ready": lambda: (batch := make(), batch.features)[0],
    "ready, waveforms not read": lambda: (batch := make(TakesInt16(), SAMPLES), batch.features)[0],
    "trained": lambda: make(Bands(trainable=True)),
    "augmented": lambda: make(augment=Gain()),
    "on a device": lambda: make().to("cpu"),
    "given": lambda: AudioBatch(dict(make())),
    "padded": lambda: PadCollate()(SAMPLES),
    "padded on a device": lambda: PadCollate()(SAMPLES).to("cpu"),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("copier", [copy.deepcopy, lambda batch: pickle.loads(pickle.dumps(batch))])
def test_a_copy_in_each_state(state, copier):
    batch = STATES[state]()
    twin = copier(batch)
    assert type(twin) is AudioBatch
    assert len(twin) == 3
    for name in FIELDS:
        value, other = getattr(batch, name), getattr(twin, name)
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, other), name
            assert value.data_ptr() != other.data_ptr(), name
        else:
            assert value == other, name


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda batch: pickle.loads(pickle.dumps(batch))])
def test_a_copy_of_work_started_ahead(accelerated, copier):
    batch, _ = start(Bands())
    assert torch.equal(copier(batch).features, make().features)
    assert batch._progress.state.moved is not None


def test_the_pickle_of_a_batch_in_a_worker_is_its_samples_and_little_more(monkeypatch):
    collate = GPUSpecCollate(TakesInt16(), device="cpu")
    batch = collate(SAMPLES)
    monkeypatch.setattr(collate._runtime, "is_here", lambda: False)
    data = pickle.dumps(batch)
    monkeypatch.undo()
    # 3 rows of 200 samples of 2 bytes, 3 lengths; torch's own pickles of two tensors are most of the rest
    tensors = len(pickle.dumps(batch._progress.state.padded.waveforms)) + len(pickle.dumps(batch.lengths))
    assert len(data) - tensors < 1000
    assert b"TakesInt16" in data
    assert b"weight" not in data
    assert kinds(pickle.loads(data)) == ["Waiting"]
    assert torch.equal(pickle.loads(data).features, batch.features)
    assert kinds(pickle.loads(pickle.dumps(batch))) == ["Ready"]


def test_a_worker_computes_nothing_from_a_batch_that_was_moved_before_it_was_forked(monkeypatch):
    collate = GPUSpecCollate(TakesInt16(), device="cpu")
    unread, moved, ready = (collate(SAMPLES) for _ in range(3))
    _ = moved.lengths, ready.features
    monkeypatch.setattr(collate._runtime, "is_here", lambda: False)
    for batch in (unread, moved):
        assert batch.lengths.tolist() == [100, 150, 200]
        with pytest.raises(RuntimeError, match=r"batch\.features was read in process"):
            _ = batch.features
    with pytest.raises(RuntimeError, match=r"batch\.waveforms was read in process"):
        _ = moved.waveforms
    assert ready.features.shape[0] == 3  # computed before


def test_copies_and_other_devices_share_the_work():
    transform = Bands()
    batch = make(transform)
    shallow, elsewhere = copy.copy(batch), batch.to("meta")
    assert elsewhere.features.device.type == "meta"
    assert elsewhere.features is elsewhere.features
    assert shallow.features is batch.features is batch.to("cpu").features
    assert transform.calls == 1
    assert copy.copy(elsewhere).features.device.type == "meta"
    assert elsewhere.to("cpu").features is batch.features


def test_a_moved_copy_follows_the_gradient():
    transform = Bands(trainable=True)
    elsewhere = make(transform).to(torch.device("cpu"))
    with torch.no_grad():
        assert not elsewhere.features.requires_grad
    assert elsewhere.features.requires_grad


def test_padded_16_bit_samples_are_moved_as_such():
    moved = PadCollate()(SAMPLES).to("meta")
    assert moved._progress.state.padded.waveforms.dtype == torch.int16
    assert moved._progress.state.padded.waveforms.device.type == "meta"
    assert "read on" not in repr(moved)


def test_what_was_pinned_is_pinned_once(accelerated):
    pinned = Bands()
    batch, _ = start(pinned)
    state = batch._progress.state
    batch.pin_memory()
    assert batch._progress.state is state
    _ = batch.features
    state = batch._progress.state
    batch.pin_memory()
    assert batch._progress.state is state
    assert pinned.calls == 1


def test_a_described_field_is_not_computed():
    transform = Bands()
    batch = make(transform)
    _ = batch.lengths
    assert batch.describe("features") == "computed at the first read, by Bands"
    assert batch.to("meta").describe("features") == "computed at the first read, by Bands, to be read on meta"
    assert transform.calls == 0
    assert batch.describe("waveforms") == "float32 (3, 974) on cpu"
