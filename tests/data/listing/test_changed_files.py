"""A file that is no longer the one whose header was read: refused with what changed, by every reader."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader

from audiofeed.data import AudioFolder, AudioInfo, AudioReadError, Reader, read, read_info, register_reader
from audiofeed.data.readers.changes import change_of, is_same_time
from audiofeed.data.readers.registry import READERS

# a Wednesday, with a fraction of a second
TIME = 1_700_000_000_123_456_789
FORMATS = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS", "mp3": "MPEG_LAYER_III", "aiff": "PCM_16"}


class Raw(Reader):
    """A reader of one's own, which keeps what it returned."""

    name, extensions = "raw_of_test", (".rawtest",)

    def __init__(self):
        self.kept = {}

    def info(self, file):
        return self.kept.setdefault(file.path, AudioInfo(file.path, 8000, 1, file.size // 2, "RAW", "PCM_16"))

    def read(self, file, info, start, frames):
        return torch.from_numpy(np.fromfile(file.path, dtype="<i2", count=frames, offset=2 * start))


@pytest.fixture
def raw_reader():
    before = list(READERS)
    register_reader(Raw())
    yield
    READERS[:] = before


def write(path, ending, seed):
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, 8000)
    if ending == "rawtest":
        (noise * 32767).astype("<i2").tofile(path)
    else:
        soundfile.write(path, noise, 16000, format="OGG" if ending == "ogg" else None, subtype=FORMATS[ending])
    os.utime(path, ns=(TIME, TIME))


def overwrite(path, ending):
    """Write other bytes of the same size, at another time."""
    size = os.path.getsize(path)
    write(path, ending, seed=2)
    with open(path, "r+b") as file:
        file.truncate(size)
    os.utime(path, ns=(TIME + 1000, TIME + 1000))


@pytest.mark.parametrize("ending", [*FORMATS, "rawtest"])
def test_other_bytes_of_the_same_size_are_refused(tmp_path, ending, raw_reader):
    path = str(tmp_path / f"a.{ending}")
    write(path, ending, seed=1)
    dataset, info = AudioFolder(tmp_path), read_info(path)
    assert dataset[0].waveform.shape == (8000,)
    overwrite(path, ending)
    with contextlib.suppress(AudioReadError):  # those that were cut to the size may be broken
        read_info(path)  # somebody else reads the new header
    assert os.path.getsize(path) == info.size
    for read_again in (lambda: dataset[0], lambda: read(path, 100, 10, info=info)):
        with pytest.raises(
            AudioReadError, match=r"the file changed: written at 2023-11-14 22:13:20\.123456789"
        ) as told:
            read_again()
        assert told.value.path == path
        assert "make the dataset anew" in told.value.cause
    if ending in ("wav", "aiff", "rawtest"):  # the others were cut to the size
        assert read(path, info=read_info(path))[0].shape == (8000,)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_that_skips_names_the_file_in_the_faults(tmp_path, workers):
    for name in "abc":
        write(tmp_path / f"{name}.wav", "wav", seed=ord(name))
    dataset = AudioFolder(tmp_path, on_error="skip")
    overwrite(tmp_path / "b.wav", "wav")
    examples = list(DataLoader(dataset, batch_size=None, num_workers=workers, timeout=60 if workers else 0))
    assert [len(example.faults) for example in examples] == [0, len(examples[1].faults), 0]
    assert "the file changed" in examples[1].faults[0].cause


def replaced_by_a_directory(path: Path):
    path.unlink()
    path.mkdir()


def replaced_by_another(path: Path):
    shutil.copyfile(path, path.with_suffix(".new"))
    os.replace(path.with_suffix(".new"), path)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda path: path.write_bytes(path.read_bytes() + b"\0\0"), "16044 bytes when its header was read, 16046 now"),
        (Path.unlink, "No such file"),
        (replaced_by_a_directory, "it is a directory, not a file"),
        (replaced_by_another, "the file changed: written at"),
        # bytes may have changed or not; only reading all of them could tell
        (Path.touch, "the file changed: written at"),
        (lambda path: os.truncate(path, 0), r"the file is empty"),
    ],
)
def test_other_changes_have_their_own_words(tmp_path, change, cause):
    path = tmp_path / "a.wav"
    write(path, "wav", seed=1)
    dataset = AudioFolder(tmp_path)
    change(path)
    with pytest.raises(AudioReadError, match=cause) as told:
        dataset[0]
    assert told.value.path == str(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: os.chmod(path, 0o400),
        lambda path: os.link(path, path.with_suffix(".link")),
        lambda path: os.rename(path, path.with_suffix(".moved")) or shutil.copy2(path.with_suffix(".moved"), path),
        # a file system that forgets fractions of seconds, or a copy out of an archive
        lambda path: os.utime(path, ns=(0, TIME // 10**9 * 10**9)),
        lambda path: os.utime(path, ns=(0, TIME // 1000 * 1000)),
    ],
)
def test_what_leaves_bytes_and_time_alone_is_no_change(tmp_path, change):
    path = tmp_path / "a.wav"
    write(path, "wav", seed=1)
    dataset = AudioFolder(tmp_path, extensions=".wav")
    change(path)
    assert dataset[0].waveform.shape == (8000,)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (TIME, TIME, True),
        (TIME, TIME + 1, False),
        (TIME, TIME // 100 * 100, True),
        (TIME, TIME // 10**6 * 10**6, True),
        (TIME, TIME // 10**9 * 10**9, True),
        (TIME + 10**9, TIME // (2 * 10**9) * 2 * 10**9, True),
        (TIME, TIME // 10**9 * 10**9 + 10**9, False),
        (TIME, TIME // 10**9 * 10**9 - 2 * 10**9, False),
        # a file system without times shows the same one for ever
        (0, 0, True),
        (-1, TIME, True),
        (TIME, -1, True),
    ],
)
def test_a_rounded_time_is_the_same_time(one, other, same):
    assert is_same_time(one, other) is is_same_time(other, one) is same
    assert (change_of(5, one, 5, other) is None) is same


def test_times_beyond_the_usual(tmp_path):
    assert "1969-12-31 23:59:50" in change_of(5, -(10**10), 5, 0)
    path = tmp_path / "a.wav"
    write(path, "wav", seed=1)
    # more nanoseconds than 64 bits hold: not looked at (some file systems cut it to their last year)
    os.utime(path, ns=(0, 2**63 + 5))
    assert AudioFolder(tmp_path)[0].waveform.shape == (8000,)
    os.utime(path, ns=(0, -5 * 10**9))
    assert AudioFolder(tmp_path)[0].waveform.shape == (8000,)


def test_an_info_made_by_hand_needs_no_time(tmp_path):
    path = str(tmp_path / "a.rawtest")
    write(path, "rawtest", seed=1)
    info = AudioInfo(path, 8000, 1, 8000, "RAW", "PCM_16", size=16000, reader=Raw())
    assert read(path, 0, 10, info=info)[0].shape == (10,)
