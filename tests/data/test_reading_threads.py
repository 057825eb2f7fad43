"""How many threads decode a batch: torch's number in the training process, idle cores of its share in a worker."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader

import audiofeed as af
from audiofeed.data.clips import reading_threads
from audiofeed.data.clips.reading_threads import MOST, threads_here


@pytest.fixture
def worker(monkeypatch):
    """Sets what a worker sees: how many workers there are, cores, and idle ones."""

    def see(workers, cores, idle, method="multiprocessing"):
        info = SimpleNamespace(num_workers=workers, worker_method=method)
        monkeypatch.setattr(reading_threads, "get_worker_info", lambda: info if workers else None)
        monkeypatch.setattr(reading_threads, "_cores", lambda: cores)
        monkeypatch.setattr(reading_threads, "idle_cores", lambda: idle)

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield see
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("workers", "cores", "idle", "threads"),
    [
        (1, 2, 1, 2),
        (1, 2, 0, 1),  # somebody else computes
        (2, 2, 2, 1),  # the other worker has its own
        (3, 2, 2, 1),
        (2, 8, 5, 4),
        (2, 6, 1, 2),
        (1, 64, 60, MOST),
        (0, 8, 7, 1),  # no worker: as many as torch computes with
    ],
)
def test_a_worker_takes_idle_cores_of_its_share(worker, workers, cores, idle, threads):
    worker(workers, cores, idle)
    assert threads_here(16) == threads
    assert threads_here(1) == 1


def test_workers_that_are_threads_have_torchs_number(worker):
    worker(1, 8, 7, method="thread")
    assert threads_here(16) == 1


def test_threads_that_a_worker_was_given_stay(worker):
    worker(4, 4, 0)
    torch.set_num_threads(3)
    assert threads_here(16) == 3


def test_a_workers_threads_decode_the_same(tmp_path, worker, monkeypatch):
    rng = np.random.default_rng(0)
    for number in range(8):
        soundfile.write(tmp_path / f"{number}.flac", rng.uniform(-0.5, 0.5, 4000 + 100 * number), 8000)
    dataset = af.AudioFolder(tmp_path, target=None)
    monkeypatch.setattr(reading_threads, "_cores", lambda: 4)
    monkeypatch.setattr(reading_threads, "idle_cores", lambda: 3)

    def collate(items):
        return [item.waveform for item in items], [thread.name for thread in threading.enumerate()]

    settings = {"batch_size": 8, "collate_fn": collate}
    ((found, names),) = DataLoader(dataset, num_workers=1, multiprocessing_context="fork", **settings)
    ((expected, _),) = DataLoader(dataset, **settings)
    assert names.count("audiofeed-compute") == 3
    assert all(map(torch.equal, found, expected))
