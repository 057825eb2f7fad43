"""Files that are lent: what is in them, who may still have one before it is filled again, and what fails."""

import fcntl
import mmap
import os

import numpy as np
import pytest

from audiofeed.parallel import lent_files
from audiofeed.parallel.lent_files import PIECES, LentFiles, can_lend, is_alone


def system_tells():
    """Whether the kernel gives a write lease on a file in memory as long as it is open once, and only then."""
    if not hasattr(os, "memfd_create"):
        return False
    created = os.memfd_create("probe")
    try:
        opened = [os.open(f"/proc/self/fd/{created}", os.O_RDWR)]
        os.close(created)
        fcntl.fcntl(opened[0], fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(opened[0], fcntl.F_SETLEASE, fcntl.F_UNLCK)
        opened.append(os.open(f"/proc/self/fd/{opened[0]}", os.O_RDWR))
        fcntl.fcntl(opened[0], fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError:
        return len(opened) == 2
    return False


pytestmark = pytest.mark.skipif(not system_tells(), reason="this system does not tell who has a file open")


def test_files_are_lent_where_the_system_tells_who_has_them():
    assert can_lend()


def lend(files, *rows, step=None):
    """The rows, as bytes, in a file, and where each row begins."""
    arrays = [np.array(row, np.uint8) for row in rows]
    step = step or max(map(len, arrays))
    return files.lend(iter(arrays), step, step * len(arrays))


def held_by(number, size):
    return list(os.pread(number, size, 0))


def inode(number):
    return os.fstat(number).st_ino


def test_rows_stand_between_zeros_whatever_the_file_held_before():
    rng, files, inodes = np.random.default_rng(0), LentFiles(), set()
    for _ in range(40):
        time, rows = int(rng.integers(1, 30_000)), int(rng.integers(1, 9))
        clips = [rng.integers(1, 99, int(rng.integers(1, time + 1))).astype(np.int16) for _ in range(rows)]
        number = files.lend(iter(clips), 2 * time, 2 * time * rows)
        found = np.frombuffer(os.pread(number, 2 * time * rows, 0), np.int16).reshape(rows, time)
        np.testing.assert_array_equal(found, np.stack([np.pad(clip, (0, time - len(clip))) for clip in clips]))
        inodes.add(inode(number))
        os.close(number)
    assert len(inodes) < 30  # others were filled again


@pytest.mark.parametrize("holder", ["descriptor", "copy", "mapping", "child"])
def test_a_file_is_not_filled_again_while_somebody_has_it(holder):
    files = LentFiles()
    first = lend(files, [1, 2, 3])
    own = inode(first)
    go, end = os.pipe()
    kept, child = None, 0
    if holder == "copy":
        kept = os.dup(first)
    elif holder == "mapping":
        kept = mmap.mmap(first, 3)
    elif holder == "child" and (child := os.fork()) == 0:
        os.close(end)
        os.read(go, 1)  # until the parent lets go
        os._exit(0)
    if holder != "descriptor":
        os.close(first)
    for _ in range(3):
        other = lend(files, [7, 7, 7])
        assert inode(other) != own
        os.close(other)
    if holder == "mapping":
        assert kept[:] == b"\1\2\3"
        kept.close()
    elif holder == "copy":
        assert held_by(kept, 3) == [1, 2, 3]
        os.close(kept)
    elif holder == "descriptor":
        os.close(first)
    os.close(end)
    os.close(go)
    if child:
        os.waitpid(child, 0)
    again = [lend(files, [8, 8, 8]) for _ in range(3)]
    assert own in map(inode, again)
    for number in again:
        os.close(number)


def test_files_that_lie_unused_are_few_and_leave_no_descriptor():
    files, before = LentFiles(), len(os.listdir("/proc/self/fd"))
    numbers = [lend(files, [1] * 10_000) for _ in range(3 * PIECES)]
    for number in numbers:
        os.close(number)
    os.close(lend(files, [1]))
    assert len(files) <= PIECES + 1
    del files
    assert len(os.listdir("/proc/self/fd")) == before


def test_no_more_files_are_looked_after_than_that(monkeypatch):
    monkeypatch.setattr(lent_files, "LOOKED_AFTER", 3)
    files = LentFiles()
    numbers = [lend(files, [n] * 5) for n in range(8)]
    assert len(files) == 3
    assert [held_by(number, 5) for number in numbers] == [[n] * 5 for n in range(8)]
    for number in numbers:
        os.close(number)


def test_a_small_batch_does_not_take_a_large_file():
    files = LentFiles()
    os.close(lend(files, [1] * 10**6))
    os.close(lend(files, [2]))
    assert len(files) == 2


def full(*_):
    raise OSError(28, "No space left on device")


def test_memory_that_ends_is_an_error_and_leaves_nothing_behind(monkeypatch):
    files, before = LentFiles(), len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr(lent_files.os, "pwrite", full)
        with pytest.raises(OSError, match="No space left"):
            lend(files, [1, 2, 3])
    assert len(files) == 0
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_page_that_is_not_there_is_asked_for_before_it_is_written(monkeypatch):
    files = LentFiles()
    os.close(lend(files, [1], [2, 2], step=5000))
    with monkeypatch.context() as patch:
        patch.setattr(lent_files.os, "posix_fallocate", full)
        with pytest.raises(OSError, match="No space left"):
            lend(files, [9] * 5000, [9] * 5000)
    number = lend(files, [3], [4], step=5000)
    assert held_by(number, 10_000) == [3] + [0] * 4999 + [4] + [0] * 4999
    os.close(number)


def test_a_system_without_leases_lends_no_file(monkeypatch):
    def refused(*_):
        raise OSError(22, "Invalid argument")

    can_lend.cache_clear()
    try:
        monkeypatch.setattr(fcntl, "fcntl", refused)
        assert not can_lend()
        assert not is_alone(0)
    finally:
        can_lend.cache_clear()
