"""Batches on their way through the ring: what they hold then, what arrives, and what is counted."""

from __future__ import annotations

import copy
import gc
import os
import pickle

import pytest
import torch
from feed_datasets import Bands, Named, Pairs
from slow_card import SlowCard, Streams
from torch.utils.data import DataLoader

from audiofeed.feed import AudioBatch, GPUSpecCollate, PadCollate
from audiofeed.feed.batch_page import batch_repr
from audiofeed.feed.padding import Padded
from audiofeed.feed.states import bus
from audiofeed.feed.states.bus import Bus, BusStats, traffic
from audiofeed.feed.states.pinned_ring import PinnedRing
from audiofeed.feed.states.side_streams import Ahead
from audiofeed.loading import DeviceLoader, Feed, batch_work

CPU = torch.device("cpu")
CARD = torch.device("cuda", 1)


def noise(number: int, samples: int, *shape: int) -> torch.Tensor:
    return torch.randint(-9999, 9999, (*shape, samples), dtype=torch.int16,
                         generator=torch.Generator().manual_seed(number))  # fmt: skip


def batch_of(number: int, clips: int = 3) -> list[tuple[torch.Tensor, int]]:
    return [(noise(number * clips + clip, 400 + 90 * clip + 7 * (number % 5)), number) for clip in range(clips)]


@pytest.fixture
def card(monkeypatch):
    """A card that is slow, in the place of the accelerator; its copies are begun by `Padded.to`.

    Features are computed on the CPU, and bytes are counted as to the card.
    """
    found = SlowCard()
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pytest.fail("a fresh pin beside the ring"))
    monkeypatch.setattr(Padded, "to", lambda padded, device, **options: found.move(padded, device, **options))
    for module in (bus, batch_work):
        monkeypatch.setattr(module, "traffic", lambda padded, device: traffic(padded, CARD))
    return found


def make(card, transform=None, *, max_ahead=2, **settings):
    collate = GPUSpecCollate(transform or Bands(), device="cpu", max_ahead=max_ahead, **settings)
    collate._runtime.ahead = Ahead(max_ahead, Streams())
    collate._runtime.bus = Bus(card)
    return collate


def same(batch, items):
    """Whether a batch has the values of its items."""
    expected = GPUSpecCollate(Bands(), device="cpu")(items)
    names = ("features", "waveforms", "lengths", "targets", "feature_lengths", "feature_mask")
    return all(torch.equal(getattr(batch, name), getattr(expected, name)) for name in names)


@pytest.mark.parametrize("guarded", [True, False], ids=["", "without the guard"])
@pytest.mark.parametrize("max_ahead", [0, 2])
def test_a_hundred_batches_of_a_plain_loader(card, monkeypatch, max_ahead, guarded):
    if not guarded:
        monkeypatch.setattr(PinnedRing, "_is_free", lambda ring, slot: not slot.is_held)
    card.ahead = 3
    collate = make(card, max_ahead=max_ahead)
    everything = [batch_of(number) for number in range(100 if guarded else 10)]
    loader = DataLoader(Named(everything), batch_size=None, collate_fn=collate, pin_memory=True)
    kept = []
    for number, batch in enumerate(loader):
        assert same(batch, everything[number])
        kept.append((batch, batch.targets))
    while card.events:
        card.land()
    if not guarded:
        assert card.overwritten > 0
        return
    assert card.overwritten == 0
    stats = collate.stats()
    # three copies may run while the fourth is prepared
    assert stats.pins == len(card.buffers) == stats.buffers == 4
    assert (stats.batches, stats.reuses, stats.apart) == (100, 96, 0)
    # batches that are kept have their own values, though their buffers had many others since
    assert all(same(batch, items) for (batch, _), items in list(zip(kept, everything, strict=True))[::10])
    assert [int(targets[0]) for _, targets in kept] == list(range(100))


def test_batches_that_wait_in_line_hold_a_buffer_each(card):
    """Pinned faster than read, as a loader's prefetched batches are."""
    collate = make(card, max_ahead=1)
    everything = [batch_of(number) for number in range(5)]
    batches = [collate(items).pin_memory() for items in everything]
    assert len(card.buffers) == 5
    assert [batch.pin_memory() is batch for batch in batches] == [True] * 5  # again, before most have begun
    for batch, items in zip(batches, everything, strict=True):
        while card.events:
            card.land()
        batch.pin_memory()  # as a device loader does to one that the pin thread has pinned
        assert same(batch, items)
    assert card.overwritten == 0
    assert len(card.buffers) == collate.stats().pins == 5


def test_a_batch_shows_and_counts_itself_wherever_it_is(card):
    collate = make(card)
    items = batch_of(1)
    waiting = make(card, max_ahead=0)(items).pin_memory()
    assert "waveforms:       int16 (3, 587) on cpu" in repr(waiting)
    started = collate(items).pin_memory()
    text = repr(started)
    assert "waveforms:       float32 (3, 587) on cpu" in text  # as they are on the device, which is the CPU here
    assert "meta" not in text
    for _ in range(3):
        collate(batch_of(2)).pin_memory()
    for batch in (waiting, started):
        assert len(batch) == 3
        assert batch._progress.state.padded.lengths.tolist() == [407, 497, 587]
        assert traffic(batch._progress.state.padded, CARD) == (3 * 587 * 2 + 2 * 3 * 8, 2 * (180 + 90))
        assert "clips of 407 to 587" in str(batch_repr(batch)) or "s of audio" in str(batch_repr(batch))
    assert same(started, items)


def test_a_batch_that_waits_in_a_buffer_may_be_copied_and_dropped(card):
    collate = make(card, max_ahead=0)
    items = batch_of(1)
    batch = collate(items).pin_memory()
    twin = copy.deepcopy(batch)
    del batch
    gc.collect()
    other = collate(batch_of(2)).pin_memory()
    assert len(card.buffers) == 1
    assert same(twin, items)
    assert same(other, batch_of(2))


def test_a_batch_in_a_buffer_is_pickled_with_its_values(card):
    collate = make(card, max_ahead=0)
    items = batch_of(1)
    batch = collate(items).pin_memory()
    collate._runtime.is_here = lambda: False  # another process, that may not compute it
    other = pickle.loads(pickle.dumps(batch))
    assert torch.equal(other._progress.state.padded.waveforms, PadCollate()(items)._progress.state.padded.waveforms)
    assert torch.equal(batch.waveforms, PadCollate()(items).waveforms)
    assert torch.equal(batch.targets, torch.ones(3, dtype=torch.int64))


def test_a_copy_that_fails_is_tried_again_with_the_same_values(card, monkeypatch):
    collate = make(card, max_ahead=0)
    items = batch_of(1)
    batch = collate(items).pin_memory()
    whole = Padded.to

    def fail(padded, device, **options):
        raise torch.OutOfMemoryError("no memory on the card")

    monkeypatch.setattr(Padded, "to", fail)
    with pytest.raises(torch.OutOfMemoryError):
        _ = batch.features
    monkeypatch.setattr(Padded, "to", whole)
    assert same(collate(batch_of(2)).pin_memory(), batch_of(2))
    assert same(batch, items)
    assert collate.stats().batches == 2


def test_a_trained_transform_has_the_ring_too(card):
    collate = make(card, Bands(trainable=True))
    card.ahead = 0
    for number in range(10):
        batch = collate(batch_of(number)).pin_memory()
        batch.features.sum().backward()
        assert same(batch, batch_of(number))
    assert collate.stats().pins == 1


def test_batches_without_features_are_the_users_own_memory(card, monkeypatch):
    """Nobody can tell when the user's own copy of it is done; torch's cache of pinned memory can."""
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor.clone())
    batch = PadCollate()(batch_of(1)).pin_memory()
    assert len(pinned) == 3
    assert same(GPUSpecCollate(Bands(), device="cpu")(batch_of(1)), batch_of(1))
    assert batch.waveforms.shape == (3, 587)
    given = AudioBatch({"features": torch.ones(2, 3)}).pin_memory()
    assert torch.equal(given.features, torch.ones(2, 3))
    assert len(pinned) == 4


def test_features_on_a_cpu_need_no_pinned_memory_though_there_is_a_card(card):
    collate = GPUSpecCollate(Bands(), device="cpu")
    batch = collate(batch_of(1)).pin_memory()
    assert card.buffers == []
    assert collate.stats() == BusStats()
    assert batch.features is not None
    assert str(BusStats()) == "nothing was copied to a device"


@pytest.mark.parametrize(
    ("items", "samples"),
    [
        pytest.param([(noise(0, 500), 0), (noise(1, 300), 1)], (2 * 500 * 2, 200 * 2), id="16 bits"),
        pytest.param([(noise(0, 500, 2), 0), (noise(1, 300, 2), 1)], (2 * 2 * 500 * 2, 2 * 200 * 2), id="stereo"),
        pytest.param([(noise(0, 500).float(), 0), (noise(1, 300).float(), 1)], (2 * 500 * 4, 200 * 4), id="float"),
        pytest.param([(noise(0, 500), 0), (noise(1, 300) / 32768, 1)], (2 * 500 * 4, 200 * 4), id="mixed"),
        pytest.param([(noise(0, 500).int() << 8, 0), (noise(1, 500).int() << 8, 1)], (2 * 500 * 4, 0), id="24 bits"),
    ],
)
def test_bytes_by_kind_of_samples(items, samples):
    padded = PadCollate()(items)._progress.state.padded
    lengths_and_targets = 2 * 8 + 2 * 8
    assert traffic(padded, CARD) == (samples[0] + lengths_and_targets, samples[1])
    assert traffic(padded, CPU) == (0, 0)


def test_what_an_augmentation_reads_counts_and_goes_along(card):
    def gain(waveforms, lengths, seeds):
        return waveforms * 2

    collate = make(card, augment=gain, max_ahead=0)
    batch = collate(batch_of(1)).pin_memory()
    assert torch.equal(batch.waveforms, 2 * PadCollate()(batch_of(1)).waveforms)
    assert collate.stats().moved_bytes == 3 * 587 * 2 + 2 * 3 * 8
    assert len(card.buffers) == 1


def test_stats_say_bytes_per_clip_and_what_had_no_buffer(card, monkeypatch):
    collate = make(card)
    collate._runtime.bus.ring._most_bytes = 0
    monkeypatch.setattr(torch.Tensor, "pin_memory", torch.Tensor.clone)
    _ = collate(batch_of(1)).pin_memory().features
    stats = collate.stats()
    assert (stats.apart, stats.pins, stats.batches) == (1, 0, 1)
    told = BusStats(batches=1, clips=4, moved_bytes=8192, padding_bytes=1024, apart=2)
    assert str(told).startswith("2048 bytes a clip to the device, 12.5 % of them padding; 2 batches had no buffer")
    assert (told.bytes_per_clip, told.padding_per_clip) == (2048.0, 256.0)
    assert (BusStats().bytes_per_clip, BusStats().padding_per_clip) == (0.0, 0.0)


def test_a_forked_process_has_a_ring_of_its_own_and_leaves_the_inherited_one_alone(card):
    collate = make(card)
    runtime = collate._runtime
    before = runtime.bus
    _ = collate(batch_of(1)).pin_memory().features
    runtime._pid = os.getpid() + 1  # as in a child
    assert runtime.is_here()
    assert runtime.bus is not before
    assert before.ring.sizes != []
    assert runtime.bus.ring.sizes == []


def test_a_pickled_collate_has_a_ring_of_its_own(card):
    collate = make(card)
    _ = collate(batch_of(1)).pin_memory().features
    data = pickle.dumps(collate)
    del collate
    gc.collect()
    assert pickle.loads(data).stats() == BusStats()


# loaders


def plain(items):
    return {"audio": torch.stack([noise(item, 600) for item in items]), "label": torch.tensor(items), "text": "a"}


@pytest.mark.parametrize("transform", [None, Bands()], ids=["", "transform"])
def test_batches_of_somebody_elses_collate_go_through_a_ring(card, monkeypatch, transform):
    monkeypatch.setattr(batch_work, "_moved", lambda made, device: card.copy(made))
    card.ahead = 2
    loader = DeviceLoader(
        DataLoader(Named(list(range(60))), batch_size=2, collate_fn=plain), transform=transform, device="cpu"
    )
    work = loader._work
    work._ahead._backend = Streams()
    if transform is None:
        work._own_bus = Bus(card)
    else:
        work._collate._runtime.bus = Bus(card)
    for number, batch in enumerate(loader):
        assert torch.equal(batch["audio"], plain([2 * number, 2 * number + 1])["audio"])
        assert batch["label"].tolist() == [2 * number, 2 * number + 1]
        assert ("features" in batch) == (transform is not None)
    while card.events:
        card.land()
    assert card.overwritten == 0
    stats = loader.stats().bus
    assert stats.pins == len(card.buffers) <= 5
    assert stats.pins + stats.reuses == 30


def test_a_feed_says_what_it_copies_and_gives_its_buffers_back(card):
    card.ahead = 1
    items = [(noise(index, 500 + 100 * (index % 2)), index) for index in range(12)]
    feed = Feed(items, Bands(), batch_size=2, shuffle=False, device="cpu", workers=0)
    feed.collate._runtime.bus = Bus(card)
    feed.collate._runtime.ahead = Ahead(2, Streams())
    with feed:
        for number, batch in enumerate(feed):
            assert same(batch, items[2 * number : 2 * number + 2])
        stats = feed.stats()
        per_batch = 2 * 600 * 2 + 2 * 8 + 2 * 8
        assert (stats.bus.batches, stats.bus.clips) == (6, 12)
        assert stats.bus.moved_bytes == 6 * per_batch
        assert stats.bus.padding_bytes == 6 * 100 * 2
        assert stats.bus.bytes_per_clip == per_batch / 2
        assert f"{per_batch / 2:.0f} bytes a clip to the device, 8.2 % of them padding; " in str(stats)
        collated = feed.collate.stats()
        assert (collated.clips, collated.moved_bytes) == (12, 6 * per_batch)
        assert stats.bus.buffers == len(card.buffers) == collated.pins <= 4
        feed.reset_stats()
        assert feed.stats().bus.moved_bytes == 0
    assert feed.stats().bus.buffers == 0
    while card.events:
        card.land()
    assert card.overwritten == 0


def test_a_feed_on_a_cpu_says_nothing_of_a_bus():
    feed = Feed(Pairs(4), Bands(), batch_size=2, device="cpu", workers=0)
    assert len(list(feed)) == 2
    assert feed.stats().bus == BusStats()
    assert "to the device" not in str(feed.stats())
