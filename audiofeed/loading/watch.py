"""The watch over a loader's workers and reads while the loop waits: reads that never return, workers that died."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data._utils.signal_handling import _remove_worker_pids as remove_worker_pids

from audiofeed.data.reading_board import Reading
from audiofeed.loading.loader_parts import parts_of

# how torch's DataLoader begins what it says of a worker that died
_DIED = "DataLoader worker (pid"
_SHARED_MEMORY = "/dev/shm"
# Bytes and seconds: so little left, for so long, and a worker cannot hand over a batch
_FULL, _FULL_FOR = 2**16, 5.0
# Seconds that workers have to end before they are killed
_PATIENCE = 5.0


class ReadTimeoutError(RuntimeError):
    """Error of a feed whose read of a file has not returned within the time limit."""


class WorkerDiedError(RuntimeError):
    """Error of a feed of which a worker process was killed or has ended by itself."""


class SharedMemoryFullError(RuntimeError):
    """Error of a feed whose workers cannot hand over batches, because the shared memory is full."""


class Watch:
    """Watch over one loader: asked while the loop waits for a batch, and when waiting ends in an error.

    Args:
        loader: Its dataset tells what is being read, if it is one of ours.
        timeout: Seconds that a read may take; None for any time.
    """

    def __init__(self, loader: Any, timeout: float | None) -> None:
        self._loader = loader
        self._timeout = timeout
        self._seen: list[Reading] = []
        self._seen_at = 0.0

    def look(self, source: Any, waited: float) -> None:
        """Raise if something is wrong with the loader after the loop has waited for a batch.

        Args:
            source: The loader's iterator.
            waited: Seconds.

        Raises:
            ReadTimeoutError: A read has lasted for longer than the time limit, or nothing is read and no batch comes.
            SharedMemoryFullError: There is no room for a batch.
        """
        if waited > _FULL_FOR and workers_of(source) and _room() < _FULL:
            raise SharedMemoryFullError(
                f"no batch has come for {waited:.0f} s, and {_SHARED_MEMORY} is full, through which workers hand over "
                "batches; make it larger (docker run --shm-size=8g), use fewer workers, smaller batches or "
                "workers='threads', or remove what other processes have left there"
            )
        found = self._seen = list(self.readings())
        # where something is read, it goes on, slowly; a new wait begins at 0
        self._seen_at = waited if found else min(self._seen_at, waited)
        if self._timeout is None or waited < self._timeout:
            return
        overdue = [reading for reading in found if reading.seconds > self._timeout]
        if overdue:
            raise ReadTimeoutError(f"{_described(overdue[0], source)}; {self._remedy(len(overdue))}")
        if waited - self._seen_at > self._timeout:
            pids = ", ".join(str(worker.pid) for worker in workers_of(source))
            who = f"the workers (pids {pids}) have" if pids else "the loader has"
            raise ReadTimeoutError(f"{who} given no batch for {waited:.0f} s; {self._remedy(1)}")

    def _remedy(self, count: int) -> str:
        more = f"(and so do {count - 1} others) " if count > 1 else ""
        return (
            f"{more}timeout={self._timeout:g} allows that long: look at the disk or the network mount, or raise "
            "timeout. The state up to the last batch is feed.state_dict()"
        )

    def readings(self) -> Iterator[Reading]:
        """Yield the reads that the loader's workers are in, as far as its datasets tell."""
        for part in parts_of(self._loader):
            reading = getattr(part, "reading", None)
            if callable(reading):
                yield from reading()

    def explained(self, error: RuntimeError, source: Any) -> RuntimeError:
        """Return an error of waiting in which a dead worker of the loader is named; others as they are.

        Args:
            error: What was raised.
            source: The loader's iterator.
        """
        if _DIED not in str(error):
            return error
        _expect_ends(source)  # of the others too, or torch raises again in the middle of this
        workers = workers_of(source)
        # before the dead are reaped, whose reads are forgotten then
        reads, seen = list(self.readings()), self._seen
        dead = [(number, worker) for number, worker in enumerate(workers) if _has_ended(worker)]
        if not dead:
            return error
        number, worker = dead[0]
        last = [reading.path for reading in (*reads, *seen) if reading.worker == number]
        while_reading = f" while it read {last[0]!r}" if last else ""
        return WorkerDiedError(
            f"worker {number} of {len(workers)} (pid {worker.pid}) {_end_of(worker.exitcode)}{while_reading}. The "
            "state up to the last batch is feed.state_dict(): begin again from it with load_state_dict"
        )


def workers_of(source: Any) -> Sequence[Any]:
    """Return the worker processes of a DataLoader's iterator; none of one without."""
    return getattr(source, "_workers", ())


def end_workers(source: Any, loader: Any) -> None:
    """End the workers of a loader whose batches nobody waits for any more, one that hangs or has died among them."""
    workers = workers_of(source)
    _expect_ends(source)
    for worker in workers:
        with contextlib.suppress(OSError, ValueError):
            worker.terminate()
    for worker in workers:
        with contextlib.suppress(OSError, ValueError, AssertionError):
            worker.join(_PATIENCE)
            if worker.is_alive():
                worker.kill()
    if getattr(loader, "_iterator", None) is source and source is not None:
        loader._iterator = None  # where workers persist, the next pass would wait for the dead ones


def _expect_ends(source: Any) -> None:
    """Let torch's handler of SIGCHLD expect the ends of a loader's workers, which it would else raise in the middle."""
    if getattr(source, "_worker_pids_set", False):
        remove_worker_pids(id(source))
        source._worker_pids_set = False


def _has_ended(worker: Any) -> bool:
    worker.join(1.0)  # its end may not have been noticed yet
    return worker.exitcode is not None and worker.exitcode != 0


def _end_of(exitcode: int) -> str:
    if exitcode >= 0:
        return f"has ended by itself with exit code {exitcode}: look for what it wrote before"
    try:
        name = signal.Signals(-exitcode).name
    except ValueError:
        name = f"signal {-exitcode}"
    reasons = {
        "SIGKILL": " (as the system does where memory runs out: use fewer workers, smaller batches or a smaller "
        "prefetch_factor)",
        "SIGBUS": f" (as where {_SHARED_MEMORY} is full: make it larger (docker run --shm-size=8g), use fewer "
        "workers or workers='threads')",
        "SIGSEGV": " (in a library that it called: read the file alone to see which)",
    }
    return f"was killed by {name}{reasons.get(name, '')}"


def _described(reading: Reading, source: Any) -> str:
    workers = workers_of(source)
    if reading.worker is None or reading.worker >= len(workers):
        where = "in this process"
    else:
        where = f"by worker {reading.worker} (pid {workers[reading.worker].pid})"
    return f"{reading.path!r} has been read for {reading.seconds:.1f} s {where}"


def _room() -> int:
    """Return the bytes that are left of the shared memory by which a loader's workers hand over batches."""
    try:
        status = os.statvfs(_SHARED_MEMORY)
    except OSError:
        return _FULL
    return status.f_bavail * status.f_frsize
