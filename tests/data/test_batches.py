"""A batch at once: compressed files in threads, the same examples all the same."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Subset

from audiofeed.data import AudioFolder, AudioReadError, RandomCrop
from audiofeed.data.clips import example_loader as module

soundfile = pytest.importorskip("soundfile")


@pytest.fixture
def flacs(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(9):
        samples = rng.integers(-9000, 9000, 8000 + 500 * i, dtype=np.int16)
        soundfile.write(tmp_path / f"{i}.flac", samples, 8000)
    return tmp_path


@pytest.fixture
def seen(monkeypatch):
    """The threads that read."""
    names = set()
    real = module.read

    def read(*arguments, **settings):
        names.add(threading.current_thread().name)
        time.sleep(0.02)  # so long that another thread comes before all is read
        return real(*arguments, **settings)

    monkeypatch.setattr(module, "read", read)
    return names


def same(batch, singles):
    assert [one.key for one in batch] == [one.key for one in singles]
    assert all(torch.equal(one.waveform, other.waveform) for one, other in zip(batch, singles, strict=True))


def test_flac_is_decoded_in_threads_and_in_order(flacs, seen):
    dataset = AudioFolder(flacs, crop=RandomCrop(0.5))
    keys = [(3, 7), (3, 0), (3, 5), (3, 5), (4, 1)]
    singles = [dataset[key] for key in keys]
    assert seen == {"MainThread"}
    seen.clear()
    same(dataset.__getitems__(keys), singles)
    assert seen == {"MainThread", "audiofeed-compute"}


def test_one_thread_where_torch_has_one_and_for_plain_wav(flacs, seen, tmp_path_factory):
    dataset = AudioFolder(flacs)
    torch.set_num_threads(1)
    dataset.__getitems__([0, 1, 2])
    torch.set_num_threads(2)
    wavs = tmp_path_factory.mktemp("wavs")
    for i in range(3):
        soundfile.write(wavs / f"{i}.wav", np.zeros(100, dtype=np.int16), 8000)
    AudioFolder(wavs).__getitems__([0, 1, 2])
    assert seen == {"MainThread"}


def test_a_loader_and_a_subset_ask_for_batches(flacs, seen):
    dataset = AudioFolder(flacs)
    batches = list(DataLoader(Subset(dataset, [8, 2, 4]), batch_size=3, collate_fn=list))
    same(batches[0], [dataset[i] for i in (8, 2, 4)])
    assert seen == {"MainThread", "audiofeed-compute"}


def test_of_several_bad_files_the_first_in_order_is_named(flacs):
    dataset = AudioFolder(flacs)
    for name in ("2.flac", "4.flac"):
        body = (flacs / name).read_bytes()
        (flacs / name).write_bytes(body[: len(body) // 2])
    for _ in range(5):
        with pytest.raises(AudioReadError, match=r"4\.flac"):
            dataset.__getitems__([0, 4, 2, 1])


def test_a_bad_file_in_a_batch_is_named(flacs):
    dataset = AudioFolder(flacs)
    body = (flacs / "4.flac").read_bytes()
    (flacs / "4.flac").write_bytes(body[: len(body) // 2])
    with pytest.raises(AudioReadError, match=r"4\.flac"):
        dataset.__getitems__([0, 4, 1])
    skipping = AudioFolder(flacs, on_error="skip")
    batch = skipping.__getitems__([(0, 0), (0, 4), (0, 1)])
    assert len(batch) == 3
    assert [bool(one.faults) for one in batch] == [False, True, False]
    same(batch, [skipping[0, i] for i in (0, 4, 1)])
