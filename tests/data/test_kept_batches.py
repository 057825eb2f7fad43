"""Batches of clips that are kept in memory: read side by side into the batch, with the same bits and nobody's harm."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, replace
from dataclasses import fields as dataclass_fields

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader, Subset

from audiofeed.data import AudioFolder, RandomCrop
from audiofeed.data.clips import kept_clips
from audiofeed.data.example import AudioExample
from audiofeed.data.samples import to_float
from audiofeed.data.shared import batch_rows
from audiofeed.feed.collate import PadCollate
from audiofeed.parallel import thread_pool

N = 12


@pytest.fixture(params=[1, 2], ids=["mono", "stereo"])
def folder(request, tmp_path):
    for i in range(N):
        noise = np.random.default_rng(i).standard_normal((6000 + 700 * i, request.param)) * 0.3
        soundfile.write(tmp_path / f"{i:02}.flac", noise, 8000)
    return tmp_path, request.param == 1


def dataset(folder, **settings):
    path, mono = folder
    return AudioFolder(path, mono=mono, **settings)


def batches(data, keys, workers=0, **settings):
    loader = DataLoader(data, batch_sampler=keys, collate_fn=PadCollate(**settings), num_workers=workers)
    return [(batch.waveforms, batch.lengths) for batch in loader]


def same(one, other):
    assert len(one) == len(other)
    for (waveforms, lengths), (others, their) in zip(one, other, strict=True):
        assert torch.equal(waveforms, others)
        assert torch.equal(lengths, their)


def keys(epochs=3):
    rng = np.random.default_rng(0)
    return [[(epoch, int(i)) for i in rng.permutation(N)[:5]] for epoch in range(epochs) for _ in range(4)]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("crop", [None, RandomCrop(0.3), RandomCrop(1.0, pad=True)])
@pytest.mark.parametrize("settings", [{}, {"pad_to": 20000, "longer": "crop"}, {"pad_to_multiple_of": 1000}])
def test_the_same_bits_as_from_the_files(folder, workers, crop, settings):
    kept = dataset(folder, crop=crop, keep="memory")
    expected = batches(dataset(folder, crop=crop), keys(), **settings)
    same(batches(kept, keys(), workers, **settings), expected)
    # all are in memory now
    same(batches(kept, keys(), workers, **settings), expected)


def filled(folder):
    kept = dataset(folder, keep="memory")
    for index in range(N):
        kept[index]
    return kept


def lies_in(batch, items):
    return batch._progress.state.padded.waveforms.data_ptr() == items[0].waveform.data_ptr()


def test_a_batch_is_made_where_its_clips_lie_once(folder):
    items = filled(folder).__getitems__([(0, i) for i in (3, 5, 1)])
    before = [item.waveform.clone() for item in items]
    first, second = PadCollate()(items), PadCollate()(items)
    assert lies_in(first, items)
    assert not lies_in(second, items)
    assert torch.equal(first.waveforms, second.waveforms)
    assert all(torch.equal(item.waveform, own) for item, own in zip(items, before, strict=True))


@pytest.mark.parametrize("change", [lambda i: i[::-1], lambda i: i[:2], lambda i: [*i, i[0]], lambda i: i[1:]])
def test_examples_in_another_order_are_an_ordinary_batch(folder, change):
    kept = filled(folder)
    items = change(kept.__getitems__([(0, i) for i in (3, 5, 1)]))
    others = change([kept[0, i] for i in (3, 5, 1)])
    batch = PadCollate()(items)
    assert not lies_in(batch, items)
    assert torch.equal(batch.waveforms, PadCollate()(others).waveforms)


def test_who_writes_to_a_clip_changes_no_other_batch(folder):
    kept = filled(folder)
    (item, _) = kept.__getitems__([(0, 1), (0, 2)])
    item.waveform.zero_()
    assert kept[0, 1].waveform.count_nonzero() > 1000
    assert kept.__getitems__([(0, 1), (0, 2)])[0].waveform.count_nonzero() > 1000


def test_a_clip_that_is_held_keeps_its_samples(folder):
    kept = filled(folder)
    held = [kept.__getitems__([(0, i), (0, i + 1)])[1].waveform for i in range(N - 1)]
    assert all(torch.equal(waveform, kept[0, i + 1].waveform) for i, waveform in enumerate(held))


def test_nothing_is_known_of_clips_that_are_gone(folder):
    kept = filled(folder)
    PadCollate()(kept.__getitems__([(0, 1), (0, 2)]))
    assert not batch_rows._known


def test_a_subset_and_an_index_from_the_end_are_batches_too(folder):
    kept, plain = filled(folder), dataset(folder)
    chosen = [[0, 2], [1, 3]]
    same(
        batches(Subset(kept, [4, 7, 1, 9]), chosen),
        batches(Subset(plain, [4, 7, 1, 9]), chosen),
    )
    same(batches(kept, [[(0, -1), (0, -3)]]), batches(plain, [[(0, N - 1), (0, N - 3)]]))
    with pytest.raises(IndexError, match="index 12 is out of range for 12 examples"):
        kept.__getitems__([(0, 0), (0, N)])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_large_batch_is_copied_in_several_threads_with_the_same_bits(folder, threads, workers, monkeypatch):
    kept, plain, before = filled(folder), dataset(folder), torch.get_num_threads()
    monkeypatch.setattr(kept_clips, "_FEW_BYTES", 0)
    monkeypatch.setattr(batch_rows, "kept_empty", lambda shape, dtype: torch.full(shape, 7, dtype=dtype))
    dealt = []
    monkeypatch.setattr(kept_clips, "deal", lambda work, n: dealt.append(n) or thread_pool.deal(work, n))
    torch.set_num_threads(threads)
    try:
        found = batches(kept, keys(1), workers)
    finally:
        torch.set_num_threads(before)
    same(found, batches(plain, keys(1)))
    # four batches of five clips, of which four end before the longest; in a worker torch has one thread
    n_copied = 9 if folder[1] else 5 * 2 + 4
    assert dealt == ([n_copied] * 4 if threads > 1 and not workers else [])


def test_a_clip_that_was_shortened_is_cleared_from_its_new_end_on(folder):
    """The dataset has cleared what lay past its own end only."""
    items = filled(folder).__getitems__([(0, i) for i in (3, 5, 1)])
    shorter = [replace(item, waveform=item.waveform[..., :5000]) for item in items]
    shorter[1] = items[1]
    batch = PadCollate()(shorter)
    assert lies_in(batch, items)
    assert batch.lengths.tolist() == [5000, 6000 + 5 * 700, 5000]
    for values, item in zip(batch.waveforms, shorter, strict=True):
        n = item.waveform.shape[-1]
        assert torch.equal(values[..., :n], to_float(item.waveform))
        assert not values[..., n:].any()


def test_an_example_of_a_dataset_is_one_as_any_other(folder):
    """It is made without the checks, with the same values under the same names."""
    made = filled(folder)[0, 3]
    again = AudioExample(**{each.name: getattr(made, each.name) for each in dataclass_fields(made)})
    assert repr(made) == repr(again)
    assert made.duration == pytest.approx((6000 + 3 * 700) / 8000)
    with pytest.raises(FrozenInstanceError):
        made.key = "other"
    copied = pickle.loads(pickle.dumps(made))
    assert (copied.key, copied.seed, copied.start) == (made.key, made.seed, 0.0)
