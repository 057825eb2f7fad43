"""Files without a name whose memory a process lends to others, filled again once nobody else has them open.

A fresh file takes a page at a time from the system, and gives each back when it goes: a tenth of the time of reading a
batch of files and computing its features. So a file is kept, and filled again when those that it was lent to have let
go of it. Nobody has to say so: they have it by an opening of its own, and the kernel, which gives a write lease only on
a file that nobody else has opened, knows of every process that has it open or mapped, forked ones and killed ones, too.
"""

from __future__ import annotations

import functools
import itertools
import mmap
import os
from collections.abc import Iterable

import numpy as np

# Files that may lie unused, and bytes in them: as of the memory that a process keeps for itself
PIECES, MOST = 4, 1 << 27
# Files that a process looks after at once; of more, the oldest go with those that they were lent to
LOOKED_AFTER = 64
# Bytes that a file may come to hold, for each that it holds at first; what is not written takes no memory
_ROOM = 2


class _File:
    """File without a name, of which this process alone knows, to be lent.

    Args:
        size: Bytes that it is to hold at first.

    Attributes:
        number: Its descriptor.
        capacity: Bytes that it may hold.
        size: Bytes that it held at most, from the first on.
    """

    def __init__(self, size: int) -> None:
        self.capacity, self.size = -(-_ROOM * size // mmap.PAGESIZE) * mmap.PAGESIZE, 0
        self._is_fresh, self._promised = True, 0
        self._mapped: np.ndarray | None = None
        created = os.memfd_create("audiofeed-batch", os.MFD_CLOEXEC)
        try:
            os.ftruncate(created, self.capacity)
            # the one that creates a file is not counted among those who opened it
            self.number = opened_anew(created)
        finally:
            os.close(created)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)

    def fill(self, rows: Iterable[np.ndarray], step: int, size: int) -> None:
        """Put rows, each at the next multiple of `step` bytes, and zeros between them, into `size` bytes of the file.

        The first time they are written, without a page fault, and what is not written reads as zeros. Later they are
        copied through a mapping, in a third of the time, of pages that the system has promised: else a page for which
        there is no memory would end the process.
        """
        bytes_of = (np.ascontiguousarray(row).data.cast("B") for row in rows)
        if self._is_fresh:
            self._is_fresh = False
            for number, samples in enumerate(bytes_of):
                write_all(self.number, samples, number * step)
        else:
            if size > self._promised:
                os.posix_fallocate(self.number, 0, size)
                self._promised = size
            if self._mapped is None:
                self._mapped = np.frombuffer(mmap.mmap(self.number, self.capacity), np.uint8)
            at = 0
            for at, samples in zip(itertools.count(0, step), bytes_of):
                self._mapped[at : at + len(samples)] = samples
                self._mapped[at + len(samples) : at + step] = 0
            self._mapped[at + step : size] = 0
        self.size = max(self.size, size)


class LentFiles:
    """Files that a process lends, those filled longest ago first."""

    def __init__(self) -> None:
        self._files: list[_File] = []

    def __len__(self) -> int:
        return len(self._files)

    def lend(self, rows: Iterable[np.ndarray], step: int, size: int) -> int:
        """Write rows, zeros between them, into a file that nobody has.

        Args:
            rows: none of them longer than a step.
            step: bytes from the beginning of each row to that of the next.
            size: bytes in all.

        Returns:
            A descriptor of the file. As long as it, a copy of it, or a mapping by it is there, in any process, the file
            is as it is.

        Raises:
            OSError: there is no memory left.
        """
        unused = [file for file in self._files if is_alone(file.number)]
        fitting = [file for file in unused if size <= file.capacity <= 2 * _ROOM * max(size, mmap.PAGESIZE)]
        file = min(fitting, key=lambda one: one.capacity) if fitting else _File(size)
        file.fill(rows, step, size)
        others = [one for one in unused if one is not file]
        surplus = []
        while len(others) > PIECES or sum(one.size for one in others) > MOST:
            surplus.append(others.pop(0))
        kept = [one for one in self._files if one is not file and one not in surplus]
        self._files = [*kept, file][-LOOKED_AFTER:]
        return opened_anew(file.number)


def write_all(number: int, samples: memoryview, at: int) -> None:
    """Write bytes to a place of a file that is lent, however many the system takes at once."""
    while samples:
        written = os.pwrite(number, samples, at)
        samples, at = samples[written:], at + written


def opened_anew(number: int) -> int:
    """Return a descriptor of a file that is open here, by an opening of its own.

    Raises:
        OSError: this system has no /proc.
    """
    return os.open(f"/proc/self/fd/{number}", os.O_RDWR | os.O_CLOEXEC)


def is_alone(number: int) -> bool:
    """Return whether nobody has a file open or mapped by another opening than this one; False where nobody can tell.

    >>> is_alone(-1)
    False
    """
    import fcntl

    try:
        fcntl.fcntl(number, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(number, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except (OSError, ValueError):
        return False
    return True


@functools.cache
def can_lend() -> bool:
    """Return whether this system tells who has a file that is lent; it is asked once.

    >>> can_lend() in (True, False)
    True
    """
    if not hasattr(os, "memfd_create"):
        return False
    try:
        file = _File(1)
        before = is_alone(file.number)
        other = opened_anew(file.number)
        try:
            during = is_alone(file.number)
        finally:
            os.close(other)
        return before and not during and is_alone(file.number)
    except (OSError, AttributeError):  # no /proc, or no leases
        return False
