"""Ranks that find different lists of files are told so when the dataset is made; those that find the same are not."""

from __future__ import annotations

import os
import warnings
from datetime import timedelta
from functools import partial

import pytest
import torch.distributed as dist
import torch.multiprocessing as mp

from audiofeed.data import AudioFolder, AudioManifest, RandomCrop

TIME = timedelta(seconds=60)


@pytest.fixture
def folder(write_pcm, tmp_path):
    for i in range(10):
        write_pcm(f"set/{'ab'[i % 2]}/clip{i}.wav", 800)
    (tmp_path / "set.csv").write_text("path,target\n" + "".join(f"set/a/clip{i}.wav,x\n" for i in (0, 2, 4)))
    return tmp_path / "set"


def rank_of_two(rank, folder, out, work):
    warnings.simplefilter("ignore")
    dist.init_process_group("gloo", init_method=f"file://{out}/store", rank=rank, world_size=2, timeout=TIME)
    try:
        work(rank, str(folder))
        message = "alike"
    except RuntimeError as error:
        message = str(error)
    with open(f"{out}/{rank}", "w") as file:
        file.write(message)
    dist.barrier()
    dist.destroy_process_group()


def said(folder, tmp_path, work):
    """What each of two ranks was told."""
    mp.spawn(partial(rank_of_two, folder=folder, out=tmp_path, work=work), nprocs=2)
    return [(tmp_path / str(rank)).read_text() for rank in range(2)]


def one_with_a_bad_file(rank, folder):
    if rank == 1:
        read = os.open

        def fails(path, *rest, **more):
            if str(path).endswith("clip3.wav"):
                raise OSError(5, "Input/output error")
            return read(path, *rest, **more)

        os.open = fails
    AudioFolder(folder, on_error="skip")


def test_a_rank_that_could_not_read_a_file(folder, tmp_path):
    told = said(folder, tmp_path, one_with_a_bad_file)
    assert sorted(text == "alike" for text in told) == [False, True]  # the one that came later
    text = next(text for text in told if text != "alike")
    assert f"the ranks found different files in AudioFolder('{folder}')" in text
    assert "rank 0 has 10 examples" in text
    assert "rank 1 has 9 examples and left out" in text
    assert "clip3.wav' (Input/output error)" in text
    assert "audiofeed scan --write" in text


def all_that_is_right(rank, folder):
    AudioFolder(folder)
    AudioFolder(folder, crop=RandomCrop(0.05), target=lambda path: path[-5])
    AudioManifest(f"{os.path.dirname(folder)}/set.csv")
    if rank == 0:
        AudioFolder(folder, extensions=".wav", target="{target}")  # one that the other rank does not make
    # each rank its own part: a folder, a list
    AudioFolder(f"{folder}/{'ab'[rank]}")
    AudioManifest([{"path": f"{folder}/a/clip{i}.wav"} for i in (0, 2, 4)[rank:]], target_column=None)
    AudioFolder(folder).select(range(rank, 10, 2))


def test_ranks_that_find_the_same_or_ask_for_different_parts(folder, tmp_path):
    assert said(folder, tmp_path, all_that_is_right) == ["alike", "alike"]


def grown(rank, folder):
    """Each rank makes the dataset before and after a file is added."""
    AudioFolder(folder)
    dist.barrier()
    if rank == 0:
        os.link(f"{folder}/a/clip0.wav", f"{folder}/a/more.wav")
    dist.barrier()
    AudioFolder(folder)


def test_a_folder_that_grows_between_two_datasets(folder, tmp_path):
    assert said(folder, tmp_path, grown) == ["alike", "alike"]


def test_the_fingerprint_of_a_dataset(folder, tmp_path):
    whole = AudioFolder(folder)
    assert whole.fingerprint == AudioFolder(folder, seed=5, on_error="skip").fingerprint
    assert whole.fingerprint == AudioFolder(os.path.relpath(folder)).fingerprint
    others = [
        whole.select(range(9)),
        whole.select([1, 0, *range(2, 10)]),
        AudioFolder(folder, target="{target}"),
        AudioFolder(folder, sample_rate=4000),
        AudioFolder(folder, crop=RandomCrop(0.05)),
        AudioFolder(folder, target=lambda path: len(path) + int(path[-5])),
    ]
    assert len({dataset.fingerprint for dataset in [whole, *others]}) == 7
    assert whole.select(range(10)).fingerprint == whole.fingerprint
