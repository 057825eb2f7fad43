"""The watch over a loader's workers and reads while the loop waits: reads that never return, workers that died."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
from collections.abc import Iterator, Sequence
from multiprocessing import connection
from typing import Any

from torch.utils import data as torch_data

from audiofeed.data.datasets import AudioFiles
from audiofeed.data.reading_board import Reading
from audiofeed.loading.loader_parts import parts_of

# how torch's DataLoader begins what it says of a worker that died
_DIED = "DataLoader worker (pid"
# and how it marks what a living worker has told of its dataset
_TOLD = "in DataLoader worker process"
# what reading a batch from a worker that is gone ends in, before torch finds out that it is
SEVERED = (OSError, EOFError, pickle.UnpicklingError)
_SHARED_MEMORY = "/dev/shm"
# Bytes and seconds: so little left, for so long, and a worker cannot hand over a batch
_FULL, _FULL_FOR = 2**16, 5.0
# Seconds that workers have to end before they are killed
_PATIENCE = 5.0
# Seconds until the end of a worker, of which there are signs, has been noticed
_NOTICED = 1.0


class ReadTimeoutError(RuntimeError):
    """Error of a feed whose read of a file has not returned within the time limit.

    >>> def train(feed, step):
    ...     try:
    ...         for batch in feed:
    ...             step(batch)
    ...     except ReadTimeoutError as error:
    ...         return str(error), feed.state_dict()  # names the file; the place to go on from
    """


class WorkerDiedError(RuntimeError):
    """Error of a feed of which a worker process was killed or has ended by itself.

    >>> def train(feed, step):
    ...     try:
    ...         for batch in feed:
    ...             step(batch)
    ...     except WorkerDiedError as error:
    ...         return str(error), feed.state_dict()  # says how it ended; the place to go on from
    """


class SharedMemoryFullError(RuntimeError):
    """Error of a feed whose workers cannot hand over batches, because the shared memory is full.

    >>> def train(feed, step):
    ...     try:
    ...         for batch in feed:
    ...             step(batch)
    ...     except SharedMemoryFullError as error:
    ...         return str(error), feed.state_dict()  # says what to free; the place to go on from
    """


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

    def readings(self, ended: bool = False) -> Iterator[Reading]:
        """Yield the reads that the loader's workers are in, as far as its datasets tell.

        Args:
            ended: With those that a worker was in when it ended.
        """
        for part in parts_of(self._loader):
            if isinstance(part, AudioFiles):
                yield from part.reading(ended=ended)

    def explained(self, error: Exception, source: Any) -> Exception:
        """Return an error of waiting in which a dead worker of the loader is named; others as they are.

        Args:
            error: What was raised.
            source: The loader's iterator.
        """
        text = str(error)
        workers = workers_of(source)
        is_severed = isinstance(error, SEVERED) and _TOLD not in text
        if not workers or not (_DIED in text or is_severed):
            return error
        _expect_ends(source)  # of the others too, or torch raises again in the middle of this
        # the youngest read of a worker is its own; older ones are of workers that died before it under its number
        reads, seen = sorted(self.readings(ended=True), key=lambda reading: reading.seconds), self._seen
        dead = _dead_of(source, text)
        if not dead:
            _mind_ends(source)
            return error
        number, worker = dead[0]
        last = [reading.path for reading in (*reads, *seen) if reading.worker == number]
        while_reading = f" while it read {last[0]!r}" if last else ""
        return WorkerDiedError(
            f"worker {number} of {len(workers)} (pid {worker.pid}) {_end_of(worker.exitcode)}{while_reading}. The "
            "state up to the last batch is feed.state_dict(): begin again from it with load_state_dict"
        )


def end_if_orphaned(worker: int) -> None:
    """End a worker whose training process was killed while it started: `worker_init_fn` of a feed's DataLoader.

    Torch's workers see that their parent is another one than when they began to watch it, and that is too late.

    Ctrl-C, which a terminal and a notebook send to every process of the group, is the training process's to answer:
    workers that it ended would be missing where the loop goes on.

    Args:
        worker: Its number.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # the parent of a fork server's process is the server
    is_direct = multiprocessing.get_start_method(allow_none=True) != "forkserver"
    if not parent.is_alive() or (is_direct and os.getppid() != parent.pid):
        os._exit(1)


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


def drop_dead_workers(loader: Any) -> None:
    """Let a loader start new workers where one of those that persist has ended between two passes."""
    source = getattr(loader, "_iterator", None)
    if not all(worker.is_alive() for worker in workers_of(source)):
        end_workers(source, loader)


def close_workers(loader: Any) -> None:
    """End a loader's workers that persist, the living ones as torch does; the next pass starts new ones."""
    source = getattr(loader, "_iterator", None)
    if source is None:
        return
    _expect_ends(source)  # or one that was killed would raise in the middle of this
    drop_dead_workers(loader)
    if loader._iterator is not None:
        source._shutdown_workers()
        loader._iterator = None


def _signal_handling(name: str) -> Any:
    """Return a function of torch's handler of SIGCHLD, whose names are torch's own; None where torch has it not."""
    return getattr(getattr(getattr(torch_data, "_utils", None), "signal_handling", None), name, None)


def _expect_ends(source: Any) -> None:
    """Let torch's handler of SIGCHLD expect the ends of a loader's workers, which it would else raise in the middle."""
    forget = _signal_handling("_remove_worker_pids")
    if forget is not None and getattr(source, "_worker_pids_set", False):
        forget(id(source))
        source._worker_pids_set = False


def _mind_ends(source: Any) -> None:
    """Let torch's handler of SIGCHLD look after a loader's workers again."""
    mind = _signal_handling("_set_worker_pids")
    if mind is not None:
        mind(id(source), tuple(worker.pid for worker in workers_of(source)))
        source._worker_pids_set = True


def _dead_of(source: Any, text: str) -> list[tuple[int, Any]]:
    """Return the workers of a loader, with their numbers, that have ended though more batches were expected of them.

    Args:
        source: The loader's iterator.
        text: What the error of waiting says, in which torch may name their pids.
    """
    workers = workers_of(source)
    connection.wait([worker.sentinel for worker in workers], _NOTICED)
    # one that has nothing more to give, of a stream, ends by itself
    expected = getattr(source, "_workers_status", [True] * len(workers))
    dead = []
    for number, worker in enumerate(workers):
        worker.join(_NOTICED if connection.wait([worker.sentinel], 0) else 0)
        if worker.exitcode is None:
            continue
        if worker.exitcode != 0 or expected[number] or str(worker.pid) in text:
            dead.append((number, worker))
    return dead


def _end_of(exitcode: int) -> str:
    if exitcode == 0:
        return "has ended by itself with exit code 0, as after sys.exit() or KeyboardInterrupt in the dataset"
    if exitcode > 0:
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
