"""Board of the reads of a dataset that are going on in any of its processes: who reads which file, and since when.

A read that never returns (a network mount that is gone, a FIFO without a writer) leaves nothing in a worker that could
say so: the worker hangs. So each read is put down in shared memory before it begins and struck out when it ends, and
the process with the training loop can look: `dataset.reading()`. Nothing is locked, and a read costs about a
microsecond.
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from torch.utils.data import get_worker_info

from audiofeed.data.shared.shared_file import SharedFile

# reads at once, over all processes; with more, the last ones are not seen
_PLACES = 1024
# eight bytes each: the process, its number as a worker (-1: none), the file, the time that the read began (ns; 0: none)
_PROCESS, _WORKER, _FILE, _SINCE = range(4)
_WIDTH = 4


class Reading(NamedTuple):
    """A read of a dataset that is going on.

    Args:
        worker: Number of the DataLoader's worker; None in a process that is none.
        path: The file.
        seconds: How long it has been going on.
    """

    worker: int | None
    path: str
    seconds: float


class ReadingBoard:
    """Board that a dataset's processes put their reads on, in memory that all of them share.

    >>> board = ReadingBoard()
    >>> place = board.begin(7)
    >>> [(worker, file) for worker, file, seconds in board.going_on()]
    [(None, 7)]
    >>> board.end(place)
    >>> board.going_on()
    []
    """

    def __init__(self) -> None:
        self._file = SharedFile(8 * _WIDTH * _PLACES, "audiofeed-reading")
        self._forget()

    def _forget(self) -> None:
        """Forget which places of the board are this process's, as a child of fork does: they are its parent's."""
        self._process = os.getpid()
        self._rows = self._file.mapped.cast("q")
        self._free: list[int] = []

    def begin(self, file: int) -> int:
        """Put down on the board that a read begins.

        Args:
            file: Number of the file in the dataset.

        Returns:
            Its place, for `end`; -1 if the board is full.
        """
        if self._process != os.getpid():
            self._forget()
        try:
            place = self._free.pop()  # atomic: threads of a process share its places
        except IndexError:
            place = self._claim()
        if place >= 0:
            rows = self._rows
            rows[place + _FILE] = file
            rows[place + _SINCE] = time.monotonic_ns()
        return place

    def end(self, place: int) -> None:
        """Strike out a read from the board.

        Args:
            place: What `begin` returned.
        """
        if place >= 0:
            self._rows[place + _SINCE] = 0
            self._free.append(place)

    def _claim(self) -> int:
        """Take a place of the board that no living process holds."""
        rows = self._rows
        info = get_worker_info()
        with self._file:
            for place in range(0, len(rows), _WIDTH):
                if rows[place + _PROCESS] == 0 or not _lives(rows[place + _PROCESS]):
                    rows[place + _PROCESS], rows[place + _SINCE] = self._process, 0
                    rows[place + _WORKER] = -1 if info is None else info.id
                    return place
        return -1

    def going_on(self, ended: bool = False) -> list[tuple[int | None, int, float]]:
        """Return the reads that are going on, longest first: number of the worker or None, of the file, seconds.

        Args:
            ended: With those of processes that ended before their read did.
        """
        rows, now = self._file.mapped.cast("q"), time.monotonic_ns()
        found: list[tuple[int | None, int, float]] = []
        for place in range(0, len(rows), _WIDTH):
            process, worker, file, since = rows[place : place + _WIDTH].tolist()
            if process == 0:  # places are taken in order
                break
            if since and (ended or _lives(process)):
                found.append((None if worker < 0 else worker, file, max(0, now - since) / 1e9))
        return sorted(found, key=lambda read: -read[2])

    def __reduce__(self) -> tuple[object, ...]:
        return _board_of, (self._file,)


def _board_of(file: SharedFile) -> ReadingBoard:
    """Return the board of a dataset's reads that another process made."""
    board = ReadingBoard.__new__(ReadingBoard)
    board._file = file
    board._forget()
    return board


def _lives(process: int) -> bool:
    """Return True if there is a process of this number, which reads a dataset or did."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
