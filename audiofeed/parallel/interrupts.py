"""Ctrl-C reaches the main process of a command alone, and not while it starts others that read in parallel."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import TracebackType


@contextmanager
def held_interrupts(start_method: str | None = None) -> Iterator[None]:
    """Hold interrupts by Ctrl-C back in a ``with`` block, and for good in the parallel processes started in it.

    A Ctrl-C that comes inside the block counts when the block is left. That is for work that cannot be left half done:
    an import, or starting processes. A terminal sends Ctrl-C to every process of the group, and a reading process would
    answer with a traceback of its own; one that inherits a blocked signal never sees it, and ends when the main process
    tells it to. In another thread than the main one, which Ctrl-C does not reach, only the started processes are meant.

    Args:
        start_method: How the processes are started, "fork", "spawn" or "forkserver"; None: as multiprocessing does it
            by default.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield  # Windows has no masks
        return
    if (start_method or multiprocessing.get_start_method()) != "fork":
        # where this is still to be started when a process is, its start would unblock the signal (CPython 3.11)
        resource_tracker.ensure_running()
    came: list[int] = []
    # handlers are the main thread's to set, and one that was not set from Python, None here, could not be set again
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if is_main else None
    # the mask is what children inherit; it covers this thread only, and the system may pick another, hence the handler
    if handler is not None:
        signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        if came:  # where the block ends in an error, too
            signal.raise_signal(signal.SIGINT)


def was_interrupted(error: BaseException) -> bool:
    """Return True for an error that came up in parallel work while Ctrl-C was already ending it.

    Ctrl-C reaches the reading processes of a terminal's group too, and what their end raises in the main process may
    take the place of the KeyboardInterrupt that is on its way.

    >>> try:
    ...     try:
    ...         raise KeyboardInterrupt
    ...     finally:
    ...         raise RuntimeError("a worker has ended")
    ... except RuntimeError as error:
    ...     was_interrupted(error)
    True
    """
    seen: set[int] = set()
    following: list[BaseException | None] = [error]
    while following:
        one = following.pop()
        if one is None or id(one) in seen:
            continue
        if isinstance(one, KeyboardInterrupt):
            return True
        seen.add(id(one))
        following += [one.__cause__, one.__context__]
    return False


def forgive_hangups(worker: int) -> None:
    """Keep a parallel reading process quiet when the interrupted main process leaves while taking a batch over.

    To be given as ``worker_init_fn``. The thread that hands shared memory over shows what goes wrong through
    ``sys.excepthook``, and a main process that was interrupted just there looks like a broken connection.

    Args:
        worker: Its number, as DataLoader passes it.
    """
    sys.excepthook = _show_unless_hangup


def _show_unless_hangup(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if not isinstance(error, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, traceback)
