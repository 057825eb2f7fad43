"""Epochs that move on by themselves: how often an example was asked for decides what it draws."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Subset, WeightedRandomSampler

from audiofeed.data import AudioExample, AudioFolder, AudioManifest, CenterCrop, RandomCrop, Windows
from audiofeed.data.keys import ExampleKey, carry_keys

N = 12


def keep(batch: list[AudioExample]) -> list[AudioExample]:
    return batch


def seeds_of_a_pass(loader) -> list[int]:
    return [example.seed for batch in loader for example in batch]


def loader_of(dataset, workers=0, context=None, **settings):
    return DataLoader(
        dataset, batch_size=3, num_workers=workers, multiprocessing_context=context, collate_fn=keep,
        timeout=300 if workers else 0, **settings,
    )  # fmt: skip


@pytest.fixture
def folder(write_pcm, tmp_path):
    for i in range(N):
        write_pcm(f"set/{i:02}.wav", 2000 + i)
    return tmp_path / "set"


@pytest.fixture
def dataset(folder):
    return AudioFolder(folder, crop=RandomCrop(0.05))


@pytest.mark.parametrize(("workers", "context"), [(0, None), (2, "fork"), (4, "fork"), (1, "spawn"), (1, "forkserver")])
@pytest.mark.parametrize("persistent", [False, True])
def test_a_plain_loop_draws_anew_in_every_pass(dataset, workers, context, persistent):
    if persistent and not workers:
        pytest.skip("no workers")
    if not persistent and context in ("spawn", "forkserver"):
        pytest.skip("persistent ones show it")
    loader = loader_of(dataset, workers, context, persistent_workers=persistent)
    for repeat in range(3):
        assert seeds_of_a_pass(loader) == [dataset[0, i, repeat].seed for i in range(N)]
    assert dataset.epoch == 0


def test_the_same_passes_in_the_threads_of_a_batch(folder, monkeypatch):
    expected = AudioFolder(folder, crop=RandomCrop(0.05))
    dataset = AudioFolder(folder, crop=RandomCrop(0.05))
    dataset._table.some_decoded = True  # as FLAC is: several threads read one batch
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        batch = dataset.__getitems__([3, 3, 5, 3, -9])
    finally:
        torch.set_num_threads(threads)
    assert [one.seed for one in batch] == [
        expected[0, 3].seed, expected[0, 3, 1].seed, expected[0, 5].seed, expected[0, 3, 2].seed,
        expected[0, 3, 3].seed,
    ]  # fmt: skip


def test_crops_move_as_seeds_do(dataset):
    passes = [torch.stack([one.waveform for batch in loader_of(dataset) for one in batch]) for _ in range(2)]
    assert not torch.equal(*passes)
    again = torch.stack([dataset[0, i, 1].waveform for i in range(N)])
    assert torch.equal(passes[1], again)


def test_an_epoch_that_is_set_begins_anew(dataset):
    loader = loader_of(dataset, 2, "fork", persistent_workers=True)
    for epoch in (0, 3, 3, 1):
        dataset.set_epoch(epoch)
        assert seeds_of_a_pass(loader) == [dataset[epoch, i].seed for i in range(N)]


def test_draws_of_a_weighted_sampler_differ(dataset):
    sampler = WeightedRandomSampler([1.0] * 3 + [0.0] * (N - 3), 30, generator=torch.Generator().manual_seed(0))
    drawn = seeds_of_a_pass(loader_of(dataset, 2, "fork", sampler=sampler))
    # which of two draws comes first may depend on the workers, and that each draws anew does not
    assert len(set(drawn)) == 30
    assert set(drawn) == {dataset[0, i, k].seed for i in range(3) for k in range(list(sampler_indices()).count(i))}


def sampler_indices():
    return WeightedRandomSampler([1.0] * 3 + [0.0] * (N - 3), 30, generator=torch.Generator().manual_seed(0))


def test_whole_keys_are_pure(dataset):
    first = [dataset[2, 5].seed, dataset[2, 5, 1].seed, dataset[ExampleKey(2, 5, 7)].seed]
    assert len(set(first)) == 3
    for _ in range(3):
        dataset[5]
    dataset.set_epoch(9)
    assert [dataset[2, 5].seed, dataset[2, 5, 1].seed, dataset[(2, 5, 7)].seed] == first
    assert dataset[5].seed == dataset[9, 5].seed  # reading with them counted nothing


def test_two_processes_that_read_the_same_example_never_draw_alike(dataset, tmp_path):
    """No read is lost from the counts, whoever reads at the same time."""
    seeds = seeds_of_a_pass(DataLoader(dataset, sampler=[4] * 400, batch_size=1, num_workers=4, collate_fn=keep))
    assert set(seeds) == {dataset[0, 4, k].seed for k in range(400)}


# warnings


def test_one_warning_where_an_example_is_read_twice_in_an_epoch_that_was_set(dataset):
    dataset.set_epoch(2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seeds_of_a_pass(loader_of(dataset))
    with pytest.warns(UserWarning, match=r"example 0 is read 2 times in epoch 2.*EpochSampler.*\(2, 0\)") as caught:
        seeds_of_a_pass(loader_of(dataset))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seeds_of_a_pass(loader_of(dataset))
    assert len(caught) == 1


@pytest.mark.parametrize("crop", [None, CenterCrop(0.05), Windows(0.05), RandomCrop(0.05)])
def test_no_warning_where_nothing_is_set_or_nothing_drawn(folder, crop):
    dataset = AudioFolder(folder, crop=crop)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            seeds_of_a_pass(loader_of(dataset))
        if not isinstance(crop, RandomCrop):
            dataset.set_epoch(0)
            for _ in range(2):
                seeds_of_a_pass(loader_of(dataset))
        for _ in range(2):
            seeds_of_a_pass([[dataset[0, i]] for i in range(N)])


def test_workers_warn_once_together(folder):
    code = """
import sys
from torch.utils.data import DataLoader
from audiofeed.data import AudioFolder, RandomCrop
dataset = AudioFolder(sys.argv[1], crop=RandomCrop(0.05))
dataset.set_epoch(0)
loader = DataLoader(dataset, batch_size=1, num_workers=3, collate_fn=list)
for _ in range(3):
    list(loader)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stderr.count("in epoch 0, which set_epoch began") == 1, done.stderr


# parts, subsets, unions


def test_a_part_follows_the_epoch_of_the_whole(dataset):
    part = dataset.select([7, 2])
    smaller = part.select([1])
    dataset.set_epoch(3)
    assert (part.epoch, smaller.epoch) == (3, 3)
    assert [part[0].seed, smaller[0].seed] == [part[3, 0].seed, smaller[3, 0].seed]
    with pytest.warns(UserWarning, match="example 0 is read 2 times in epoch 3"):
        assert part[0].seed == part[3, 0, 1].seed
    dataset.set_epoch(4)
    assert part[0].seed == part[4, 0].seed
    part.set_epoch(9)
    dataset.set_epoch(5)
    assert (part.epoch, smaller.epoch, dataset.epoch) == (9, 9, 5)
    assert part[0].seed == part[9, 0].seed


def test_a_part_draws_otherwise_than_the_whole_and_the_same_each_time(dataset):
    part, other, again = dataset.select([7, 2]), dataset.select([2, 7]), dataset.select(np.array([7, -10]))
    assert part.paths == again.paths
    assert [part[1, i].seed for i in range(2)] == [again[1, i].seed for i in range(2)]
    seeds = {chosen[1, i].seed for chosen in (dataset, part, other, part.select([0])) for i in range(len(chosen))}
    assert len(seeds) == N + 2 + 2 + 1
    more = dataset + part
    assert more[7].seed != more[N].seed
    assert more[7].key == more[N].key


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_a_part_in_running_workers_follows_the_whole(dataset, context):
    part = dataset.select([7, 2, 3])
    loader = loader_of(part, 1, context, persistent_workers=True)
    for epoch in (0, 1, 5):
        dataset.set_epoch(epoch)
        assert seeds_of_a_pass(loader) == [part[epoch, i].seed for i in range(3)]


def test_subset_and_concat_dataset(dataset):
    twice = ConcatDataset([dataset, Subset(dataset, [3])])
    dataset.set_epoch(1)
    with pytest.warns(UserWarning, match="example 3 is read 2 times"):
        seeds = seeds_of_a_pass(loader_of(twice))
    assert seeds == [dataset[1, i].seed for i in range(N)] + [dataset[1, 3, 1].seed]
    carry_keys(twice)
    # the third read of the second of two
    assert twice[ExampleKey(6, N, 2)].seed == dataset[6, 3, 2 * 2 + 1].seed
    assert twice[ExampleKey(6, 3)].seed == dataset[6, 3].seed


# what a draw depends on


def test_two_datasets_do_not_draw_alike(write_pcm, tmp_path):
    for name in ("clean", "noise"):
        for i in range(3):
            write_pcm(f"{name}/{name}{i}.wav", 2000)
            write_pcm(f"{name}-longer/{i}.wav", 2000 + (name == "noise"))
    seeds = {
        AudioFolder(tmp_path / name, crop=RandomCrop(0.05))[0, i].seed
        for name in ("clean", "noise", "clean-longer", "noise-longer")
        for i in range(3)
    }
    assert len(seeds) == 12


def test_a_folder_that_is_moved_draws_the_same(folder, tmp_path):
    seeds = [AudioFolder(folder)[0, i].seed for i in range(N)]
    os.rename(folder, tmp_path / "elsewhere")
    assert [AudioFolder(tmp_path / "elsewhere", crop=RandomCrop(0.1))[0, i].seed for i in range(N)] == seeds
    rows = [{"path": str(tmp_path / "elsewhere" / f"{i:02}.wav"), "target": i} for i in range(N)]
    assert [AudioManifest(rows)[0, i].seed for i in range(N)] == seeds


def test_the_default_seed_gives_these_numbers_on_every_machine(dataset):
    found = [dataset[0, 0].seed, dataset[3, 11].seed, dataset[3, 11, 2].seed]
    assert " ".join(map(str, found)) == EXPECTED


EXPECTED = "9102181524046246909 8997050112222119480 2626583805939728871"


# copies


def test_a_copy_keeps_the_epoch_and_counts_for_itself(dataset):
    dataset.set_epoch(4)
    dataset[0]
    for other in (pickle.loads(pickle.dumps(dataset)), copy.deepcopy(dataset)):
        assert other.epoch == 4
        assert other[0].seed == dataset[4, 0].seed
        other.set_epoch(5)
    assert dataset.epoch == 4
    with pytest.warns(UserWarning, match="read 2 times"):
        assert dataset[0].seed == dataset[4, 0, 1].seed
    part = pickle.loads(pickle.dumps(dataset.select([1])))
    assert part.epoch == 4
    assert part[0].seed == dataset.select([1])[4, 0].seed


def test_what_is_shared_ends_with_the_dataset(folder):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        dataset = AudioFolder(folder, crop=RandomCrop(0.05))
        part = dataset.select([0])
        part[0], dataset[0]
        del dataset, part
    assert len(os.listdir("/proc/self/fd")) == before


# the board of reads that are going on


def test_the_board_names_a_read_that_does_not_return(folder, tmp_path):
    dataset = AudioFolder(folder)
    assert dataset.reading() == []
    stuck = dataset.paths[1]
    whole, written = Path(stuck).read_bytes(), os.stat(stuck).st_mtime_ns
    os.remove(stuck)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    from audiofeed.data.clips import example_loader

    honest = example_loader.read

    def read(path, *args, **kwargs):
        if path == stuck and not os.path.exists(path):
            with open(gate, "rb"):  # nobody writes
                pass
            with open(stuck, "wb") as file:
                file.write(whole)
            os.utime(stuck, ns=(written, written))  # it did not change
        return honest(path, *args, **kwargs)

    example_loader.read = read
    try:
        loader = iter(DataLoader(dataset, batch_size=1, num_workers=2, collate_fn=keep, timeout=300))
        found = []
        deadline = time.monotonic() + 30
        while not (len(found) == 1 and found[0].seconds > 0.2) and time.monotonic() < deadline:
            found = dataset.reading()
            time.sleep(0.02)
        ((worker, path, seconds),) = found
        assert (worker, path) == (1, stuck)
        assert 0.2 < seconds < 60
        assert dataset.select([3]).reading()[0].path == stuck
        with open(gate, "wb"):
            pass
        assert len(list(loader)) == N
        assert dataset.reading() == []
    finally:
        example_loader.read = honest


# the page


def test_the_board_keeps_the_read_in_which_a_process_ended(folder):
    dataset = AudioFolder(folder)
    process = os.fork()
    if process == 0:
        dataset._loader.board.begin(2)
        os._exit(0)
    os.waitpid(process, 0)
    assert dataset.reading() == []
    ((worker, path, seconds),) = dataset.reading(ended=True)
    assert (worker, path) == (None, dataset.paths[2])
    assert seconds >= 0
