"""Whether other threads and processes want the cores that torch's threads would compute on, as Linux tells it.

Torch's threads meet after every step, and those that come first spin. Where others want the cores, each of hundreds of
steps waits for the scheduler, and one thread alone is many times faster. Elsewhere than on Linux nobody is asked.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Iterator

import torch

from audiofeed.parallel.thread_pool import alone

# Seconds for which an answer holds: a look takes tens of microseconds. That the cores are busy holds twice as long each
# time that it is seen again, since what runs for some milliseconds would otherwise take a thread away for long.
HOLDS_QUIET, HOLDS_BUSY, HOLDS_AT_MOST = 0.02, 0.02, 0.32
# A passing thread of the system is not yet somebody who wants a core: looks must agree with so many seconds between
# them, few at first, since most pass at once and each of a call's milliseconds counts.
PAUSES = (0.0, 1e-4, 4e-4, 1.5e-3, 3e-3)
# The share of a call's time for which its thread waited for a core, from which on the cores count as busy.
WAITED = 0.2

AS_IT_IS = contextlib.nullcontext()


class _Watch:
    """Watch on the cores of this machine, which keeps the last answer for a while."""

    def __init__(self) -> None:
        self._until = 0.0
        self._busy = False
        self._holds = HOLDS_BUSY

    def busy(self) -> bool:
        """Return whether others want the cores, by a new look if the last answer is too old."""
        now = time.monotonic()
        if now >= self._until:
            self.note(_look() if self._busy else _all_looks_are_busy())
        return self._busy

    def note(self, busy: bool) -> None:
        """Note an answer about the cores, which holds for a while."""
        self._holds = min(2 * self._holds, HOLDS_AT_MOST) if busy and self._busy else HOLDS_BUSY
        self._busy = busy
        self._until = time.monotonic() + (self._holds if busy else HOLDS_QUIET)


_watch = _Watch()


def cores_are_busy() -> bool:
    """Return whether others want the cores that torch's threads would compute on.

    >>> cores_are_busy() in (True, False)
    True
    """
    return _watch.busy()


@functools.cache
def _has_all_cores() -> bool:
    """Return whether this process may use all cores of the machine, so that those who run tell how busy they are."""
    try:
        return len(os.sched_getaffinity(0)) == os.cpu_count()
    except AttributeError:  # elsewhere than on Linux
        return True


def beside_others(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Let torch compute in a ``with`` block with one thread where others want the cores; elsewhere with its own.

    Args:
        device: computes; only a CPU's cores are shared with others.

    >>> with beside_others(torch.device("cpu")):
    ...     torch.ones(3).sum().item()
    3.0
    """
    if device.type != "cpu" or torch.compiler.is_compiling():
        return AS_IT_IS
    return on_shared_cores()


def on_shared_cores() -> contextlib.AbstractContextManager[None]:
    """Return what `beside_others` does for a CPU, where no compiler follows.

    >>> with on_shared_cores():
    ...     torch.ones(3).sum().item()
    3.0
    """
    if torch.get_num_threads() == 1:
        return AS_IT_IS
    if cores_are_busy():
        return alone()
    return AS_IT_IS if _has_all_cores() else _watched()


@contextlib.contextmanager
def _watched() -> Iterator[None]:
    """Note in a ``with`` block how long its thread waits for a core: much of that says that the cores are busy.

    For a process that may not use all cores of the machine: the number of those who run says little there.
    """
    waited, begun = _waited(), time.monotonic()
    yield
    spent = time.monotonic() - begun
    if spent > HOLDS_QUIET and _waited() - waited > WAITED * spent:
        _watch.note(True)


def _all_looks_are_busy() -> bool:
    if not _look():
        return False
    for pause in PAUSES:
        if pause:
            time.sleep(pause)
        if not _look():
            return False
    return True


def _look() -> bool:
    """Look once whether others run on so many cores that torch's threads have not one each."""
    try:
        spare = len(os.sched_getaffinity(0)) - torch.get_num_threads()
        if running_threads() - 1 <= spare:  # this thread is one of them
            return False
        # those of torch's threads that still spin after a step run too, until they fall asleep at any moment
        own, running = own_running_threads(), running_threads()
        return running - max(own, own_running_threads()) > spare
    except (OSError, AttributeError, ValueError, IndexError):
        return False


def running_threads() -> int:
    """Return the number of threads that run or wait for a core on this machine, this one among them."""
    with open("/proc/loadavg", "rb") as file:
        return int(file.read().split()[3].split(b"/")[0])


def own_running_threads() -> int:
    """Return the number of threads of this process that run or wait for a core, this one among them."""
    number = 0
    for name in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{name}/stat", "rb") as file:
            number += file.read().rpartition(b") ")[2][:1] == b"R"
    return number


def _waited() -> float:
    """Return the seconds for which this thread has waited for a core while it could have run."""
    try:
        with open("/proc/thread-self/schedstat", "rb") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
