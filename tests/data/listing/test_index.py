"""`index=`: the scan of a folder or manifest kept in a file between runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from audiofeed.data import AudioFolder, AudioInfo, AudioManifest, AudioReadError, Reader, WavReader, register_reader
from audiofeed.data.listing import index as index_file
from audiofeed.data.listing.index import ScanIndex, is_settled
from audiofeed.data.readers.registry import READERS

DAY = 86_400 * 10**9


@pytest.fixture
def folder(write_pcm, tmp_path):
    """Six clips, written a day ago."""
    for i in range(6):
        write_pcm(f"set/{'ab'[i % 2]}/clip{i}.wav", 100 * (i + 1))
    age(tmp_path / "set")
    return tmp_path / "set"


def age(folder: Path) -> None:
    past = time.time_ns() - DAY
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, ns=(past, past))


def bad(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"RIFF this is no recording, whatever its name says")


def test_the_second_run_opens_no_file(folder, opened, tmp_path):
    first = AudioFolder(folder, index=tmp_path / "scan.index")
    assert len(opened) == 6
    opened.clear()
    second = AudioFolder(folder, index=tmp_path / "scan.index")
    assert opened == []
    assert second.paths == first.paths
    np.testing.assert_array_equal(second.durations, first.durations)
    plain = AudioFolder(folder)
    for one, other in zip(second, plain, strict=True):
        assert one.waveform.equal(other.waveform)
        assert (one.key, one.target) == (other.key, other.target)
    # the headers themselves, the reader and the time included
    assert [second._table.files.info(i) for i in range(6)] == [plain._table.files.info(i) for i in range(6)]
    assert second._table.files.info(0).reader is plain._table.files.info(0).reader
    assert not list(tmp_path.glob("*.partial"))
    assert not list(tmp_path.glob(".*"))


def test_new_changed_and_deleted_files_are_seen(folder, opened, write_pcm, tmp_path):
    AudioFolder(folder, index=tmp_path / "scan.index")
    opened.clear()
    os.remove(folder / "a/clip0.wav")
    write_pcm("set/a/clip2.wav", 5000)
    write_pcm("set/b/new.wav", 50)
    clip3 = (folder / "b/clip3.wav").read_bytes()
    (folder / "b/clip3.wav").write_bytes(clip3[:-2] + b"zz")  # the same size
    os.utime(folder / "a/clip2.wav", ns=(0, time.time_ns() - DAY // 2))
    os.utime(folder / "b/clip3.wav", ns=(0, time.time_ns() - DAY // 2))
    os.utime(folder / "b/new.wav", ns=(0, time.time_ns() - DAY // 2))
    dataset = AudioFolder(folder, index=tmp_path / "scan.index")
    assert sorted(opened) == ["clip2.wav", "clip3.wav", "new.wav"]
    assert [os.path.basename(path) for path in dataset.paths] == [
        "clip2.wav", "clip4.wav", "clip1.wav", "clip3.wav", "clip5.wav", "new.wav",
    ]  # fmt: skip
    assert dataset.durations[0] == 5000 / 8000
    opened.clear()
    AudioFolder(folder, index=tmp_path / "scan.index")
    assert opened == []
    assert len(ScanIndex(tmp_path / "scan.index", str(folder))) == 6  # the deleted one is gone


def test_bad_files_are_kept_with_their_reasons(folder, opened, tmp_path):
    bad(folder, "a/bad.wav")
    (folder / "b/empty.wav").touch()
    age(folder)
    with pytest.warns(UserWarning, match="leaves out 2 of 8 files"):
        first = AudioFolder(folder, on_error="skip", index=tmp_path / "scan.index")
    opened.clear()
    with pytest.warns(UserWarning, match="leaves out 2 of 8 files"):
        second = AudioFolder(folder, on_error="skip", index=tmp_path / "scan.index")
    assert opened == []
    assert [str(fault) for fault in second.faults] == [str(fault) for fault in first.faults]
    with pytest.raises(AudioReadError, match=r"a/bad\.wav"):
        AudioFolder(folder, index=tmp_path / "scan.index")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read anything")
def test_the_systems_errors_are_not_kept(folder, tmp_path):
    os.chmod(folder / "a/clip0.wav", 0)
    with pytest.warns(UserWarning, match="Permission denied"):
        AudioFolder(folder, on_error="skip", index=tmp_path / "scan.index")
    os.chmod(folder / "a/clip0.wav", 0o600)
    assert len(AudioFolder(folder, index=tmp_path / "scan.index")) == 6


def test_a_disk_that_fails_once_is_asked_again(folder, tmp_path, monkeypatch):
    read = WavReader.info

    def fails(self, file):
        if file.path.endswith("clip0.wav"):
            raise OSError(5, "Input/output error")
        return read(self, file)

    monkeypatch.setattr(WavReader, "info", fails)
    with pytest.warns(UserWarning, match="Input/output error"):
        AudioFolder(folder, on_error="skip", index=tmp_path / "scan.index")
    monkeypatch.undo()
    assert len(AudioFolder(folder, index=tmp_path / "scan.index")) == 6


def test_a_file_written_just_before_the_scan_is_scanned_again(folder, opened, write_pcm, tmp_path):
    write_pcm("set/a/fresh.wav", 50)
    AudioFolder(folder, index=tmp_path / "scan.index")
    opened.clear()
    AudioFolder(folder, index=tmp_path / "scan.index")
    assert opened == ["fresh.wav"]


@pytest.mark.parametrize(
    ("mtime", "settled"),
    [
        (10**18 - 10**9 + 1, True),  # a file system that counts more than seconds
        (10**18 - 10**9, False),  # one that may count two seconds at a time
        (10**18 - 3 * 10**9, True),
        (10**18 - 10**7 + 1, False),
        (10**18 + 5 * 10**8 + 1, False),  # during the scan
        (10**18 + 10**9 + 10**7 + 1, False),
        (2 * 10**18 + 1, True),  # a clock that was wrong when the file was written
    ],
)
def test_when_a_time_can_be_trusted(mtime, settled):
    assert is_settled(mtime, 10**18, 10**18 + 10**9) is settled


def test_a_corpus_may_move_with_its_index(folder, opened, tmp_path):
    AudioFolder(folder, index=folder / "scan.index")
    opened.clear()
    os.rename(folder, tmp_path / "elsewhere")
    dataset = AudioFolder(f"{tmp_path}/elsewhere/", index=tmp_path / "elsewhere/scan.index")
    assert opened == []
    assert len(dataset) == 6
    # the index lies among the recordings and is none of the files passed over; no warning names it
    assert dataset.passed_over == {}


def test_train_and_test_tables_share_an_index(folder, opened, tmp_path):
    rows = [{"path": path, "target": i} for i, path in enumerate(AudioFolder(folder).paths)]
    tables = rows[:4], rows[2:]
    opened.clear()
    for table in tables:
        AudioManifest(table, index=tmp_path / "scan.index")
    assert len(opened) == 6
    opened.clear()
    for table in tables:
        assert len(AudioManifest(table, index=tmp_path / "scan.index")) == 4
    AudioManifest([{**row, "path": os.path.relpath(row["path"])} for row in rows], index=tmp_path / "scan.index")
    assert len(opened) == 6  # relative to the current folder they have other names


class Slow(Reader):
    name, extensions = "slow_of_test", (".wav",)

    def __init__(self, rate):
        self.rate = rate

    def matches(self, head):
        return True

    def info(self, file):
        return AudioInfo(file.path, self.rate, 1, 10, "TEST", "PCM_16")

    def read(self, file, info, start, frames):
        raise AssertionError


def test_other_readers_scan_anew(folder, opened, tmp_path):
    AudioFolder(folder, index=tmp_path / "scan.index")
    before = list(READERS)
    try:
        for rate in (1000, 2000):
            opened.clear()
            register_reader(Slow(rate))
            assert AudioFolder(folder, index=tmp_path / "scan.index").sample_rate == rate
            assert len(opened) == 6
            register_reader(Slow(rate))  # another instance of the same settings
            opened.clear()
            assert AudioFolder(folder, index=tmp_path / "scan.index").sample_rate == rate
            assert opened == []
        READERS[:] = [WavReader(strict=True) if reader.name == "wav" else reader for reader in before]
        AudioFolder(folder, index=tmp_path / "scan.index")
        assert len(opened) == 6
    finally:
        READERS[:] = before


@pytest.mark.parametrize("content", [b"path,target\na.wav,1\n", b"RIFF", b'{"format": "another"}\n', b"\0" * 4096])
def test_a_file_that_is_no_index_is_refused_and_stays(folder, tmp_path, content):
    path = tmp_path / "notes"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is not an index of scanned files.*name another file"):
        AudioFolder(folder, index=path)
    assert path.read_bytes() == content


def test_an_index_of_another_version_is_refused(folder, tmp_path):
    path = tmp_path / "scan.index"
    AudioFolder(folder, index=path)
    data = path.read_bytes().replace(b'"version": 1', b'"version": 9')
    path.write_bytes(data)
    with pytest.raises(ValueError, match="index of version 9, and this audiofeed reads version 1"):
        AudioFolder(folder, index=path)
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[:100],
        lambda data: data[:-5] + b"x" + data[-4:],
        lambda data: data.replace(b'"files": 6', b'"files": 5'),
        lambda data: data.replace(b'"files": 6', b'"files": 6000000'),
        lambda data: data[:40] + b"\xff" + data[41:],
    ],
)
def test_a_damaged_index_is_made_anew(folder, opened, tmp_path, damage):
    path = tmp_path / "scan.index"
    AudioFolder(folder, index=path)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    opened.clear()
    with pytest.warns(UserWarning, match="is damaged, so all files are scanned again") as told:
        dataset = AudioFolder(folder, index=path)
    assert (len(told), told[0].filename) == (1, __file__)
    assert len(opened) == len(dataset) == 6
    assert path.read_bytes() == whole


def test_places_that_are_no_files(folder, tmp_path):
    with pytest.raises(ValueError, match="is a folder; name a file in it"):
        AudioFolder(folder, index=tmp_path)
    with pytest.raises(FileNotFoundError, match="make the folder first"):
        AudioFolder(folder, index=tmp_path / "no" / "scan.index")
    (tmp_path / "empty").touch()
    AudioFolder(folder, index=tmp_path / "empty")
    assert len(ScanIndex(tmp_path / "empty", str(folder))) == 6


@pytest.mark.parametrize("step", ["open", "write", "replace"])
def test_a_disk_that_takes_nothing_is_said_once(folder, tmp_path, monkeypatch, step):
    def fails(*args, **kwargs):
        raise OSError(28, "No space left on device")

    if step == "open":
        monkeypatch.setattr(index_file.secrets, "token_hex", fails)
    elif step == "write":
        monkeypatch.setattr(os, "fsync", fails)
    else:
        monkeypatch.setattr(os, "replace", fails)
    with pytest.warns(UserWarning, match=r"cannot be written: No space left on device; the dataset is made") as told:
        dataset = AudioFolder(folder, index=tmp_path / "scan.index")
    assert (len(told), told[0].filename) == (1, __file__)
    assert len(dataset) == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


def test_a_pipe_is_not_waited_for(folder, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="is not a regular file"):
        AudioFolder(folder, index=tmp_path / "pipe")


def test_many_processes_at_once(folder, tmp_path):
    code = (
        "import sys\nfrom audiofeed.data import AudioFolder\n"
        "for _ in range(4): print(len(AudioFolder(sys.argv[1], index=sys.argv[2])))"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(folder), str(tmp_path / "scan.index")]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for run in runs:
        out, err = run.communicate(timeout=120)
        assert (run.returncode, out.split(), err) == (0, ["6"] * 4, "")


def test_many_threads_at_once(folder, tmp_path):
    with ThreadPoolExecutor(4) as pool, warnings.catch_warnings():
        warnings.simplefilter("error")
        sizes = list(pool.map(lambda _: len(AudioFolder(folder, index=tmp_path / "scan.index")), range(12)))
    assert sizes == [6] * 12
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scan.index", "set"]


def test_a_link_to_an_index_stays_a_link(folder, tmp_path):
    (tmp_path / "store").mkdir()
    os.symlink(tmp_path / "store" / "real.index", tmp_path / "scan.index")
    AudioFolder(folder, index=tmp_path / "scan.index")
    assert (tmp_path / "scan.index").is_symlink()
    assert (tmp_path / "store" / "real.index").stat().st_size > 0


def test_names_of_any_bytes(write_pcm, tmp_path, opened):
    try:
        write_pcm("set/\udce9t\udce9.wav", 100)
    except (OSError, UnicodeEncodeError):
        pytest.skip("this file system has Unicode names only")
    write_pcm("set/a.wav", 100)
    age(tmp_path / "set")
    AudioFolder(tmp_path / "set", index=tmp_path / "scan.index")
    opened.clear()
    assert len(AudioFolder(tmp_path / "set", index=tmp_path / "scan.index")) == 2
    assert opened == []


def test_the_format_is_the_one_described(folder, tmp_path):
    """Read by hand, as the module's first lines say."""
    AudioFolder(folder, index=tmp_path / "scan.index")
    line, _, body = (tmp_path / "scan.index").read_bytes().partition(b"\n")
    head = json.loads(line)
    assert head["format"] == "audiofeed index"
    assert (head["version"], head["files"], head["kinds"]) == (1, 6, [["WAV", "PCM_16", "wav"]])
    rows = np.frombuffer(body, dtype=index_file._ROW, count=6)
    rest = body[rows.nbytes :]
    ends = np.frombuffer(rest, dtype="<i8", count=6)
    text = rest[ends.nbytes :]
    names = [text[begin:end].decode() for begin, end in zip([0, *ends], ends, strict=False)]
    assert names == [f"a/clip{i}.wav" for i in (0, 2, 4)] + [f"b/clip{i}.wav" for i in (1, 3, 5)]
    assert rows["frames"].tolist() == [100, 300, 500, 200, 400, 600]
