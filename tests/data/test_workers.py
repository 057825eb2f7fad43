"""Datasets in DataLoader workers: the same bits whoever reads, and an epoch that persistent workers see."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch.utils.data import DataLoader

from audiofeed.data import AudioExample, AudioFolder, AudioReadError, RandomCrop


def keep(batch: list[AudioExample]) -> list[AudioExample]:
    return batch


class Pairs(torch.utils.data.Sampler):
    """(epoch, index) pairs, as a sampler of ours gives them."""

    def __init__(self, epoch: int, size: int) -> None:
        self.epoch, self.size = epoch, size

    def __iter__(self):
        return iter([(self.epoch, index) for index in range(self.size)])

    def __len__(self) -> int:
        return self.size


@pytest.fixture
def dataset(write_pcm, tmp_path):
    for i in range(10):
        write_pcm(f"set/{i}.wav", 2000 + i)
    return AudioFolder(tmp_path / "set", crop=RandomCrop(0.05), seed=3)


def read_all(loader) -> list[tuple]:
    return [(e.key, e.seed, e.target, e.waveform.numpy().tobytes()) for batch in loader for e in batch]


def test_any_number_of_workers_reads_the_same(dataset):
    runs = []
    for n, context in ((0, None), (1, "fork"), (2, "fork")):
        dataset.set_epoch(0)
        loader = DataLoader(dataset, batch_size=3, num_workers=n, collate_fn=keep, multiprocessing_context=context)
        runs.append(read_all(loader))
    assert runs[0] == runs[1] == runs[2]
    assert len(runs[0]) == 10


def test_pairs_from_a_sampler(dataset):
    loaders = [DataLoader(dataset, batch_size=4, sampler=Pairs(5, 10), num_workers=n, collate_fn=keep) for n in (0, 2)]
    runs = [read_all(loader) for loader in loaders]
    dataset.set_epoch(5)
    assert runs[0] == runs[1] == read_all(DataLoader(dataset, batch_size=4, collate_fn=keep))


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
def test_persistent_workers_see_the_epoch(dataset, context):
    loader = DataLoader(
        dataset, batch_size=5, num_workers=2, persistent_workers=True, collate_fn=keep, multiprocessing_context=context
    )
    seen = []
    for epoch in (0, 1, 4):
        dataset.set_epoch(epoch)
        run = read_all(loader)
        assert run == read_all([[dataset[epoch, i] for i in range(10)]])
        seen.append(run)
    assert seen[0] != seen[1] != seen[2]


def test_a_selection_in_workers(dataset):
    part = dataset.select([7, 1])
    loader = DataLoader(part, num_workers=1, collate_fn=keep, persistent_workers=True)
    for epoch in (0, 2):
        part.set_epoch(epoch)
        assert read_all(loader) == read_all([[part[epoch, i]] for i in range(2)])


def test_an_error_in_a_worker_names_the_file(dataset):
    bad = dataset.paths[6]
    os.truncate(bad, 50)
    with pytest.raises(AudioReadError) as caught:
        read_all(DataLoader(dataset, num_workers=2, collate_fn=keep))
    assert caught.value.path == bad
    assert "changed" in caught.value.cause


def test_no_file_stays_open(dataset):
    dataset[0]
    before = len(os.listdir("/proc/self/fd"))
    for i in range(10):
        dataset[i]
    assert len(os.listdir("/proc/self/fd")) == before


def test_importing_loads_nothing_that_is_not_needed():
    code = (
        "import sys, torch, numpy; before = set(sys.modules); import audiofeed.data; "
        "names = {m.split('.')[0] for m in set(sys.modules) - before}; "
        "print(sorted(names & {'soundfile', 'soxr', 'rich', 'scipy', 'pyarrow', 'pandas'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stderr
