"""Memory that all processes reading a dataset share: a file without a name, which the system frees with its last user.

It is in memory (memfd_create) and so not bound by the size of /dev/shm, which is 64 MB in a container as a rule; where
the system has no such files, it is an unlinked temporary file. What is large is written by position, not through a
mapping: where there is no room left, writing is then an error and no bus error. Workers read it so, too, and pages are
not counted once for each process. Nothing has a name, so nothing stays behind, whichever process is killed at whatever
moment.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import threading
import weakref
from collections.abc import Callable
from multiprocessing import reduction
from typing import Any

# A record lock belongs to a process, so its threads need one of their own. It is held for microseconds. A child of fork
# begins with a new one, for the old one may have been held by a thread that the child does not have.
_threads = [threading.Lock()]


def _new_lock() -> None:
    _threads[0] = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)


class SharedFile:
    """File without a name that a dataset shares with its workers, whatever their start method.

    A child of fork has it as it is. A process that multiprocessing starts, or sends it to, gets its descriptor: the
    same bytes. A copy made otherwise (pickle, deepcopy) is a new file, of zeros but for its `head`.

    Args:
        size: Bytes, all zero; they take memory when they are written.
        name: For listings of descriptors alone.
        head: The first bytes of the file, as many as a copy takes along.

    Raises:
        OSError: No file can be made.

    >>> file = SharedFile(100)
    >>> file.write(b"abc", at=97)
    >>> file.read(4, at=96), len(file)
    (b'\\x00abc', 100)
    """

    def __init__(self, size: int, name: str = "audiofeed", head: bytes = b"") -> None:
        if hasattr(os, "memfd_create"):
            fd = os.memfd_create(name, os.MFD_CLOEXEC)
        else:
            fd, path = tempfile.mkstemp(prefix=f"{name}-")
            os.unlink(path)
        os.ftruncate(fd, size)
        self._hold(fd, size, name, len(head))
        self.write(head, 0)

    def _hold(self, fd: int, size: int, name: str, head: int) -> None:
        self._fd, self._size, self._name, self._head = fd, size, name, head
        self._mapped: memoryview | None = None
        weakref.finalize(self, os.close, fd).atexit = False  # the system closes it

    def __len__(self) -> int:
        return self._size

    @property
    def mapped(self) -> memoryview:
        """The bytes of a small file that a dataset's processes share, mapped: for what is read and written often.

        The mapping holds a descriptor of its own from its first use on.
        """
        if self._mapped is None:
            if not hasattr(os, "memfd_create") and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._fd, 0, self._size)  # a full disk is an error here, and no bus error later
            self._mapped = memoryview(mmap.mmap(self._fd, self._size))
        return self._mapped

    def read(self, size: int, at: int) -> bytes:
        """Return bytes of the file that a dataset's processes share.

        Args:
            size: How many.
            at: Position of the first.
        """
        return os.pread(self._fd, size, at)

    def read_into(self, buffer: memoryview, at: int) -> None:
        """Fill a buffer from the file that a dataset's processes share.

        Args:
            buffer: Writable bytes.
            at: Position of the first byte in the file.
        """
        done = 0
        while done < len(buffer):  # a read is cut at 2 GiB
            got = os.preadv(self._fd, [buffer[done:]], at + done)
            if got == 0:
                raise EOFError(f"the shared file ends at {at + done}, before {at + len(buffer)} bytes")
            done += got

    def write(self, data: bytes | memoryview, at: int) -> None:
        """Write bytes to the file that a dataset's processes share.

        Args:
            data: The bytes.
            at: Position of the first.

        Raises:
            OSError: There is no memory left for them.
        """
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            done += os.pwrite(self._fd, view[done:], at + done)

    def clear(self, at: int) -> None:
        """Set all bytes of the file that a dataset's processes share to zero, from a position on; frees their memory.

        Args:
            at: The position.
        """
        os.ftruncate(self._fd, at)
        os.ftruncate(self._fd, self._size)

    def lock(self) -> None:
        """Lock the file, alone among all threads and processes of a dataset; a process that is killed lets go of it."""
        import fcntl

        lock = _threads[0]
        lock.acquire()
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX)
        except BaseException:
            lock.release()
            raise

    def unlock(self) -> None:
        """Let go of the lock of the file that a dataset's processes share."""
        import fcntl

        try:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)
        finally:
            _threads[0].release()

    def __enter__(self) -> None:
        self.lock()

    def __exit__(self, *_: object) -> None:
        self.unlock()

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return SharedFile, (self._size, self._name, self.read(self._head, 0))


def _send(file: SharedFile) -> tuple[Callable[..., SharedFile], tuple[Any, ...]]:
    """Send the descriptor of a dataset's shared file to a process that multiprocessing starts or writes to."""
    return _receive, (reduction.DupFd(file._fd), file._size, file._name, file._head)


def _receive(descriptor: Any, size: int, name: str, head: int) -> SharedFile:
    """Take the descriptor of a dataset's shared file from the process that sent it."""
    file = SharedFile.__new__(SharedFile)
    file._hold(descriptor.detach(), size, name, head)
    return file


reduction.ForkingPickler.register(SharedFile, _send)
