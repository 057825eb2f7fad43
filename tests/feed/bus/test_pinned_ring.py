"""The ring of page-locked buffers, on a card whose copies end when the test says so."""

from __future__ import annotations

import contextlib
import gc
import random
import threading
from types import SimpleNamespace

import pytest
import torch
from slow_card import SlowCard

from audiofeed.feed.states import pinned_ring
from audiofeed.feed.states.pinned_ring import DeviceMemory, PinnedRing
from audiofeed.feed.states.tensor_trees import tensors_in

CARD = torch.device("cuda", 1)
KIB = 1024


def samples(number: int, size: int = 1000) -> torch.Tensor:
    return torch.full((size,), number, dtype=torch.int16)


def send(ring: PinnedRing, card: SlowCard, tree):
    """Copy a tree through the ring; return what arrives."""
    load = ring.load(tree)
    there = card.copy(load.values)
    load.copied(CARD)
    return there


def test_what_is_in_a_tree_arrives():
    card = SlowCard()
    ring = PinnedRing(card)
    shared = torch.arange(7, dtype=torch.float64)
    tree = {
        "waveforms": torch.randint(-9, 9, (3, 2, 101), dtype=torch.int16),
        "of one byte": torch.tensor([True, False, True]),
        "complex": torch.randn(2, 3, dtype=torch.complex64),
        "bfloat16": torch.randn(5, dtype=torch.bfloat16),
        "number": torch.tensor(3),
        "twice": [shared, (shared, "text", None)],
        "empty": torch.empty(0, 4),
    }
    load = ring.load(tree)
    assert len(card.buffers) == 1
    for found, given, shape in zip(*map(list, map(tensors_in, (load.values, tree, load.shapes))), strict=True):
        assert torch.equal(found, given)
        assert (shape.shape, shape.dtype) == (given.shape, given.dtype)
        assert found.data_ptr() % 64 == 0
        if given.numel():
            assert card.is_pinned(found)
            assert shape.device.type == "meta"
    assert load.values["twice"][0] is load.values["twice"][1][0]
    assert load.values["twice"][1][1:] == ("text", None)
    # tensors in one buffer are strangers to autograd: a target that is changed is no change of the lengths
    version = load.values["twice"][0]._version
    load.values["number"].add_(1)
    assert load.values["twice"][0]._version == version


def test_what_has_no_plain_rows_of_numbers_is_pinned_by_torch(monkeypatch):
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor)
    ring = PinnedRing(SlowCard())
    with_gaps, with_graph = torch.zeros(4, 6)[:, ::2], torch.zeros(3, requires_grad=True)
    sparse, own = torch.eye(3).to_sparse(), torch.nn.Buffer(torch.zeros(2))
    own = own.as_subclass(type("Own", (torch.Tensor,), {}))
    tree = [with_gaps, with_graph, sparse, own, torch.ones(3)]
    load = ring.load(tree)
    assert [tensor is given for tensor, given in zip(pinned, tree[:4], strict=True)] == [True] * 4
    assert [found is given for found, given in zip(load.values, tree, strict=True)] == [True] * 4 + [False]
    assert [shape.device.type for shape in load.shapes] == ["cpu"] * 4 + ["meta"]
    assert ring.apart == 0


def test_memory_that_is_pinned_already_is_not_pinned_again(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pytest.fail("pinned twice"))
    card = SlowCard()
    there = card.empty(64)
    load = PinnedRing(card).load([there])
    assert load.values[0] is there
    load.copied(CARD)
    assert len(card.buffers) == 1
    assert not card.events


def test_a_buffer_is_not_used_again_before_its_copy_is_done():
    card = SlowCard()
    ring = PinnedRing(card)
    first = send(ring, card, samples(1))
    second = send(ring, card, samples(2))
    assert len(card.buffers) == 2
    card.land()
    third = send(ring, card, samples(3))
    assert len(card.buffers) == 2
    assert (ring.pins, ring.reuses) == (2, 1)
    while card.events:
        card.land()
    assert card.overwritten == 0
    assert [int(there[0]) for there in (first, second, third)] == [1, 2, 3]
    assert card.devices == [CARD] * 3


@pytest.mark.parametrize("guarded", [True, False], ids=["", "without the guard"])
@pytest.mark.parametrize("ahead", [0, 1, 5])
def test_a_hundred_batches_take_few_buffers_and_none_is_overwritten(monkeypatch, ahead, guarded):
    if not guarded:
        monkeypatch.setattr(PinnedRing, "_is_free", lambda ring, slot: not slot.is_held)
    card = SlowCard(ahead)
    ring = PinnedRing(card)
    for number in range(100):
        tree = [samples(number, 40_000 + 100 * number), torch.tensor([number])]
        there = send(ring, card, tree)
        assert all(torch.equal(found, given) for found, given in zip(there, tree, strict=True))
    while card.events:
        card.land()
    if not guarded:
        assert (card.overwritten > 0) == (ahead > 0)
        return
    assert card.overwritten == 0
    assert ring.pins == len(card.buffers) == ahead + 1
    assert (ring.pins + ring.reuses, ring.apart) == (100, 0)


def test_a_batch_that_is_held_keeps_its_buffer_until_it_is_copied_or_dropped():
    card = SlowCard()
    ring = PinnedRing(card)
    held = ring.load(samples(1))
    other = ring.load(samples(2))
    assert len(card.buffers) == 2
    del other
    gc.collect()
    third = ring.load(samples(3))
    assert len(card.buffers) == 2
    assert int(held.values[0]) == 1
    assert int(third.values[0]) == 3


def test_a_copy_that_failed_may_be_tried_again_and_keeps_its_buffer():
    card = SlowCard()
    ring = PinnedRing(card)
    load = ring.load(samples(1))
    load.touched(CARD)  # some of it was copied, and then there was no memory
    assert int(ring.load(samples(2)).values[0]) == 2
    assert int(load.values[0]) == 1
    load.copied(CARD)
    card.land()
    again = [ring.load(samples(3)) for _ in range(2)]  # the second's buffer waits for both events of the first
    assert len(card.buffers) == 3
    del again


def test_values_that_were_copied_are_not_read_from_a_buffer_of_others():
    card = SlowCard()
    load = PinnedRing(card).load(samples(1))
    load.copied(CARD)
    assert load.is_gone
    assert load.shapes.shape == (1000,)
    with pytest.raises(AssertionError, match="are on the device"):
        _ = load.values


def test_buffers_grow_and_free_ones_make_room():
    card = SlowCard(0)
    ring = PinnedRing(card, most_bytes=1024 * KIB, most_buffers=3)
    for size in (10, 64 * KIB, 65 * KIB, 300 * KIB, 100 * KIB):
        send(ring, card, torch.zeros(size, dtype=torch.uint8))
    assert ring.sizes == [64 * KIB, 128 * KIB, 512 * KIB]
    send(ring, card, torch.zeros(600 * KIB, dtype=torch.uint8))
    assert ring.sizes == [1024 * KIB]  # the others made room
    assert (ring.pins, ring.apart) == (4, 0)
    ring.clear()
    assert ring.sizes == []
    send(ring, card, samples(1))
    assert ring.sizes == [64 * KIB]


def test_a_batch_beyond_the_limits_is_pinned_apart_and_counted(monkeypatch):
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor)
    card = SlowCard()
    ring = PinnedRing(card, most_bytes=256 * KIB, most_buffers=2)
    assert send(ring, card, torch.zeros(257 * KIB, dtype=torch.uint8)).numel() == 257 * KIB
    assert (len(pinned), ring.apart, ring.sizes) == (1, 1, [])
    held = [ring.load(samples(number)) for number in range(3)]
    assert (len(pinned), ring.apart, ring.sizes) == (2, 2, [64 * KIB] * 2)
    # what is in use makes no room: neither of the two goes
    assert send(ring, card, torch.zeros(250 * KIB, dtype=torch.uint8)).numel() == 250 * KIB
    assert (ring.apart, ring.sizes) == (3, [64 * KIB] * 2)
    assert [int(load.values[0]) for load in held] == [0, 1, 2]


def test_no_memory_left_is_the_batchs_error_and_takes_no_place():
    class Full(SlowCard):
        def empty(self, size):
            raise RuntimeError("no page-locked memory left")

    ring = PinnedRing(Full())
    for _ in range(2):
        with pytest.raises(RuntimeError, match="page-locked"):
            ring.load(samples(1))
    assert (ring.sizes, ring.pins) == ([], 0)


def test_a_buffer_whose_copy_left_no_event_is_no_more_in_the_ring():
    class Lost(SlowCard):
        def mark(self, device):
            raise RuntimeError("the device is lost")

    ring = PinnedRing(Lost())
    load = ring.load(samples(1))
    with pytest.raises(RuntimeError, match="lost"):
        load.copied(CARD)
    assert ring.sizes == []


def test_threads_share_a_ring(monkeypatch):
    """Collates of several loaders, each pinned in a thread of its own, and a card that is late by chance."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", torch.Tensor.clone)
    card, chance = SlowCard(), random.Random(0)
    ring = PinnedRing(card, most_buffers=6)
    turn, wrong = threading.Lock(), []

    def run(first: int) -> None:
        for number in range(first, first + 200):
            load = ring.load([samples(number, 100 + number % 7), torch.tensor(number)])
            with turn:  # the copies of one stream are in order
                if [int(load.values[0][-1]), int(load.values[1])] != [number, number]:
                    wrong.append(number)
                card.copy(load.values)
                load.copied(CARD)
                while len(card.events) > chance.randrange(4):
                    card.land()

    threads = [threading.Thread(target=run, args=(1000 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []
    assert card.overwritten == 0
    assert ring.pins <= 6
    assert ring.pins + ring.reuses + ring.apart == 800


class Stream:
    def __init__(self, device):
        self.device = device

    def record_event(self):
        return SimpleNamespace(stream=self, query=lambda: True)


@pytest.fixture
def cuda(monkeypatch):
    """Stand for torch.cuda where there is none; returns the device whose current stream is being captured, if any."""
    state = SimpleNamespace(current=torch.device("cuda", 0), captured=None)

    @contextlib.contextmanager
    def on(device):
        before, state.current = state.current, device
        yield
        state.current = before

    monkeypatch.setattr(torch.cuda, "device", on)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: state.current == state.captured)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: Stream(device or state.current))
    return state


def test_the_event_is_of_the_device_that_was_copied_to(cuda):
    event = DeviceMemory().mark(torch.device("cuda", 1))
    assert event.stream.device == torch.device("cuda", 1)
    assert cuda.current == torch.device("cuda", 0)


def test_a_buffer_that_a_captured_graph_reads_is_never_free(cuda, monkeypatch):
    memory = DeviceMemory()
    monkeypatch.setattr(memory, "empty", lambda size: torch.zeros(size, dtype=torch.uint8))
    monkeypatch.setattr(memory, "is_pinned", lambda tensor: False)
    ring = PinnedRing(memory)
    for captured, buffers in ((None, 1), (CARD, 1), (None, 2), (None, 2)):
        cuda.captured = captured
        ring.load(samples(1)).copied(CARD)
        assert len(ring.sizes) == buffers


def test_events_are_asked_for_beside_a_capture_of_another_thread(monkeypatch):
    modes = []

    def exchange(mode):
        modes.append(mode._obj.value)
        mode._obj.value = 0  # the thread's own, CU_STREAM_CAPTURE_MODE_GLOBAL

    monkeypatch.setattr(pinned_ring, "_exchange_capture_mode", lambda: exchange)
    assert DeviceMemory().is_done(SimpleNamespace(query=lambda: modes == [2]))
    assert modes == [2, 0]
    with pytest.raises(RuntimeError, match="of the card"):
        DeviceMemory().is_done(SimpleNamespace(query=lambda: (_ for _ in ()).throw(RuntimeError("of the card"))))
    assert modes == [2, 0, 2, 0]
