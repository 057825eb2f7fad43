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


def taken_in_a_child(ticket):
    """What another process reads that takes a file, or the name of its error."""
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            number = lent_files.taken(ticket)
            os.write(there, os.pread(number, 3, 0))
        except OSError as error:
            os.write(there, type(error).__name__.encode())
        finally:
            os._exit(0)
    os.close(there)
    os.waitpid(child, 0)
    with os.fdopen(here, "rb") as file:
        return file.read()


def test_a_file_is_held_until_another_process_has_taken_it():
    files = LentFiles()
    number = lend(files, [1, 2, 3])
    first, ticket = inode(number), files.latest.ticket()
    os.close(number)
    other = lend(files, [4, 5, 6])
    assert inode(other) != first
    os.close(other)
    assert taken_in_a_child(ticket) == b"\1\2\3"
    # that process has ended: both files are unused
    again = [lend(files, [7, 8, 9]), lend(files, [7, 8, 9])]
    assert first in map(inode, again)
    for number in again:
        os.close(number)


def test_a_file_that_was_taken_is_not_filled_while_it_is_held():
    files = LentFiles()
    number = lend(files, [1, 2, 3])
    mine = lent_files.taken(files.latest.ticket())
    os.close(number)
    os.close(lend(files, [4, 5, 6]))
    os.close(lend(files, [4, 5, 6]))
    assert held_by(mine, 3) == [1, 2, 3]
    os.close(mine)


def test_a_ticket_is_used_once():
    files = LentFiles()
    number = lend(files, [1, 2, 3])
    ticket = files.latest.ticket()
    assert files.latest.ticket() is None  # the first is still to be used
    assert taken_in_a_child(ticket) == b"\1\2\3"
    os.close(number)
    for _ in range(3):
        os.close(lend(files, [4, 5, 6]))
    assert taken_in_a_child(ticket) in (b"FileNotFoundError", b"OSError")


def test_nobody_gets_a_ticket_who_could_not_use_it(monkeypatch):
    monkeypatch.setattr(lent_files, "can_be_taken", lambda process: False)
    files = LentFiles()
    number = lend(files, [1, 2, 3])
    assert files.latest.ticket() is None
    os.close(number)


def test_a_ticket_is_good_however_many_files_are_lent_after_it(monkeypatch):
    monkeypatch.setattr(lent_files, "LOOKED_AFTER", 3)
    before = len(os.listdir("/proc/self/fd"))
    files, tickets = LentFiles(), []
    for n in range(8):
        number = lend(files, [n] * 3)
        tickets.append(files.latest.ticket())
        os.close(number)
    # there are no more than so many that nobody has used
    assert [ticket is not None for ticket in tickets] == [True] * 3 + [False] * 5
    assert len(files) == 4
    # each file, what is held of three, and the mapping of the one that is filled again and again
    assert len(os.listdir("/proc/self/fd")) == before + 8
    assert [taken_in_a_child(ticket) for ticket in tickets[:3]] == [bytes([n] * 3) for n in range(3)]
    os.close(lend(files, [9] * 3))
    assert files.latest.ticket() is not None
    assert len(os.listdir("/proc/self/fd")) <= before + 6


def test_a_file_that_was_let_go_has_no_ticket(monkeypatch):
    monkeypatch.setattr(lent_files, "LOOKED_AFTER", 3)
    files = LentFiles()
    numbers, lent = [], []
    for n in range(5):
        numbers.append(lend(files, [n] * 3))
        lent.append(files.latest)
    assert [file.ticket() is not None for file in lent] == [False] * 2 + [True] * 3
    for number in numbers:
        os.close(number)


def test_memory_to_write_to_is_that_of_the_file():
    files = LentFiles()
    number, memory = files.lend_open(5000)
    memory[:3] = [1, 2, 3]
    assert held_by(number, 3) == [1, 2, 3]
    first = inode(number)
    other, _ = files.lend_open(5000)
    assert inode(other) != first
    os.close(number)
    os.close(other)
