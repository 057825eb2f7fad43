"""Files without a name whose memory a process lends to others, filled again once nobody else has them open.

A fresh file takes a page at a time from the system, and gives each back when it goes: a tenth of the time of reading a
batch of files and computing its features. So a file is kept, and filled again when those that it was lent to have let
go of it. Nobody has to say so: they have it by an opening of its own, and the kernel, which gives a write lease only on
a file that nobody else has opened, knows of every process that has it open or mapped, forked ones and killed ones, too.

Another process takes a file by its path in /proc, and writes down that it has it; until then the file is held here. To
have the descriptor sent, as torch does it, takes a connection for each batch, and a thread of the worker to answer.
"""

from __future__ import annotations

import functools
import itertools
import mmap
import os
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

# Files that may lie unused, and bytes in them: as of the memory that a process keeps for itself
PIECES, MOST = 4, 1 << 27
# Files that a process looks after at once; of more, the oldest go with those that they were lent to. While nobody has
# used so many tickets there is no further one: a loader that prefetches a hundred batches would run out of descriptors
LOOKED_AFTER = 64
# Bytes that a file may come to hold, for each that it holds at first; what is not written takes no memory
_ROOM = 2
# Bytes behind these in which is written down who has taken the file
_TAKEN = 8


class Ticket(NamedTuple):
    """Ticket by which another process takes a file that is lent, once.

    Args:
        process, number: whose file it is, and its descriptor there.
        inode: by which the file is known for certain.
        serial: what the taker writes down, and where.
        at: where.
    """

    process: int
    number: int
    inode: int
    serial: int
    at: int


class _File:
    """File without a name, of which this process alone knows, to be lent.

    Args:
        size: Bytes that it is to hold at first.

    Attributes:
        number: Its descriptor.
        is_promised: Whether it may have a ticket; nothing would look after one of a file that was let go.
        capacity: Bytes that it may hold.
        size: Bytes that it held at most, from the first on.
    """

    def __init__(self, size: int) -> None:
        self.capacity, self.size = -(-_ROOM * size // mmap.PAGESIZE) * mmap.PAGESIZE, 0
        self._is_fresh, self._promised, self.is_promised = True, 0, True
        # the opening that is held for another process until that has its own, and the number of its ticket
        self._held: tuple[int, int] | None = None
        self._serial = 0
        self._mapped: np.ndarray | None = None
        created = os.memfd_create("audiofeed-batch", os.MFD_CLOEXEC)
        try:
            os.ftruncate(created, self.capacity + _TAKEN)
            # the one that creates a file is not counted among those who opened it
            self.number = opened_anew(created)
        finally:
            os.close(created)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            self._close_held()
            os.close(self.number)

    def _close_held(self) -> None:
        if self._held is not None:
            os.close(self._held[0])
            self._held = None

    def is_awaited(self) -> bool:
        """Return whether there is a ticket for the file that, when last looked at, nobody had used."""
        return self._held is not None

    def let_go(self) -> bool:
        """Let the file have no ticket from now on, and return True; False if there is one that was not used yet."""
        self.is_promised = False  # before the look: the thread that sends batches looks in the other order
        self.is_promised = self.is_awaited()
        return not self.is_promised

    def is_unused(self) -> bool:
        """Return whether nobody has the file, and nobody is about to take it."""
        if self._held is not None:
            if int.from_bytes(os.pread(self.number, _TAKEN, self.capacity), "little") != self._held[1]:
                return False
            self._close_held()
        return is_alone(self.number)

    def ticket(self) -> Ticket | None:
        """Return a ticket for another process; None if there is one that was not used yet, or nobody could use it."""
        if not self.is_promised or self._held is not None or not can_be_taken(os.getppid()):
            return None
        self._serial += 1
        number = opened_anew(self.number)
        self._held = number, self._serial
        if not self.is_promised:
            self._close_held()
            return None
        return Ticket(os.getpid(), number, os.fstat(number).st_ino, self._serial, self.capacity)

    def open(self, size: int) -> np.ndarray:
        """Return `size` bytes of the file to write to, of pages that the system has promised.

        Raises:
            OSError: there is no memory left.
        """
        self._is_fresh = False
        self._promise(size)
        self.size = max(self.size, size)
        return self._mapping()[:size]

    def _promise(self, size: int) -> None:
        """Have the system promise pages: else one for which there is no memory would end the process."""
        if size > self._promised:
            os.posix_fallocate(self.number, 0, size)
            self._promised = size

    def _mapping(self) -> np.ndarray:
        if self._mapped is None:
            self._mapped = np.frombuffer(mmap.mmap(self.number, self.capacity), np.uint8)
        return self._mapped

    def fill(self, rows: Iterable[np.ndarray], step: int, size: int) -> None:
        """Put rows, each at the next multiple of `step` bytes, and zeros between them, into `size` bytes of the file.

        The first time they are written, without a page fault, and what is not written reads as zeros. Later they are
        copied through a mapping, in a third of the time.
        """
        bytes_of = (np.ascontiguousarray(row).data.cast("B") for row in rows)
        if self._is_fresh:
            self._is_fresh = False
            for number, samples in enumerate(bytes_of):
                write_all(self.number, samples, number * step)
        else:
            self._promise(size)
            mapped, at = self._mapping(), 0
            for at, samples in zip(itertools.count(0, step), bytes_of):
                mapped[at : at + len(samples)] = samples
                mapped[at + len(samples) : at + step] = 0
            mapped[at + step : size] = 0
        self.size = max(self.size, size)


class LentFiles:
    """Files that a process lends, those filled longest ago first."""

    def __init__(self) -> None:
        self._files: list[_File] = []

    @property
    def latest(self) -> _File:
        """The file that was lent last."""
        return self._files[-1]

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
        file, unused = self._take(size)
        file.fill(rows, step, size)
        return self._lent(file, unused)

    def lend_open(self, size: int) -> tuple[int, np.ndarray]:
        """Return a descriptor of a file that nobody has, as `lend` does, and its bytes, which are still to be written.

        They may be written for as long as somebody has the file by that descriptor; in them stands anything.

        Args:
            size: bytes in all.

        Raises:
            OSError: there is no memory left.
        """
        file, unused = self._take(size)
        mapped = file.open(size)
        return self._lent(file, unused), mapped

    def _take(self, size: int) -> tuple[_File, list[_File]]:
        """Return a file that nobody has, and all those that nobody has."""
        unused = [file for file in self._files if file.is_unused()]
        fitting = [file for file in unused if size <= file.capacity <= 2 * _ROOM * max(size, mmap.PAGESIZE)]
        return min(fitting, key=lambda one: one.capacity) if fitting else _File(size), unused

    def _lent(self, file: _File, unused: list[_File]) -> int:
        """Keep a file that was filled, and no more unused ones than that, and return a descriptor of it."""
        others = [one for one in unused if one is not file]
        surplus = []
        while len(others) > PIECES or sum(one.size for one in others) > MOST:
            surplus.append(others.pop(0))
        kept = [one for one in self._files if one is not file and one not in surplus]
        file.is_promised = sum(one.is_awaited() for one in kept) < LOOKED_AFTER
        for oldest in kept[: max(0, len(kept) + 1 - LOOKED_AFTER)]:
            if oldest.let_go():
                kept.remove(oldest)
        self._files = [*kept, file]
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


def taken(ticket: Ticket) -> int:
    """Take a file that another process lends, and return a descriptor of it, by an opening of its own.

    Args:
        ticket: what that process made; it is used up.

    Raises:
        OSError: that process is gone, or the ticket was used before.
    """
    number = os.open(f"/proc/{ticket.process}/fd/{ticket.number}", os.O_RDWR | os.O_CLOEXEC)
    if os.fstat(number).st_ino != ticket.inode:
        os.close(number)
        raise FileNotFoundError(
            f"the memory of a batch of worker process {ticket.process} is gone: a batch can be taken from its worker "
            "once; send a copy of it to further processes"
        )
    os.pwrite(number, ticket.serial.to_bytes(_TAKEN, "little"), ticket.at)
    return number


@functools.cache
def can_be_taken(process: int) -> bool:
    """Return whether a process may open the files of this one by their path in /proc; it is asked once of each.

    It may if this one may open that one's, for both run as the same user, and if this one can be looked at.

    >>> can_be_taken(-1)
    False
    """
    try:
        return bool(os.listdir(f"/proc/{process}/fd")) and os.stat("/proc/self").st_uid == os.geteuid()
    except OSError:
        return False


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
