"""The clips of a batch dealt to threads, each of which computes with one thread.

Torch's own threads meet after every step of a computation, and those that come first spin until the last has come.
Where other processes want the cores (as the workers of a DataLoader do), each of hundreds of steps then waits for the
scheduler: a constant-Q transform of 17 ms took 900 to 1,780. Here a batch is dealt out once: each thread takes clips
until none is left, and nobody waits but for the clips that another thread has in hand, and that without spinning. The
price is the interpreter, which the threads hand to each other at every step: it is worth it where steps are long, as
they are with a graph.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import os
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import torch

Result = TypeVar("Result")

# Values of the input for each thread: with fewer it takes longer to hand them over than to compute them.
FEW_VALUES = 2**15


class _Job:
    """Parts of a batch of clips that threads take until none is left.

    Args:
        work: computes the part of a number.
        n_parts: how many parts.
    """

    def __init__(self, work: Callable[[int], None], n_parts: int) -> None:
        self._work, self._n_parts = work, n_parts
        self._error: BaseException | None = None
        self._next = itertools.count()
        self._done = threading.Semaphore(0)

    def take(self) -> None:
        """Compute parts of the clips until there is none that no thread has taken."""
        while (part := next(self._next)) < self._n_parts:
            try:
                if self._error is None:
                    self._work(part)
            except BaseException as error:  # noqa: BLE001  # `wait` raises it in the caller's thread
                self._error = error
            finally:
                self._done.release()

    def wait(self) -> None:
        """Wait for the parts of the clips that other threads have in hand, and raise the first error."""
        for _ in range(self._n_parts):
            self._done.acquire()
        if self._error is not None:
            raise self._error


class _Pool:
    """Threads of this process that clips of a batch are dealt to, started when they are first asked for."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._n_threads = 0
        self._lock = threading.Lock()

    def offer(self, job: _Job, n_threads: int) -> None:
        """Offer the parts of a job of clips to so many threads."""
        if self._n_threads < n_threads:
            with self._lock:
                for _ in range(self._n_threads, n_threads):
                    threading.Thread(target=self._run, name="audiofeed-compute", daemon=True).start()
                self._n_threads = max(self._n_threads, n_threads)
        for _ in range(n_threads):
            self._jobs.put(job)

    def _run(self) -> None:
        with alone():
            while True:
                self._jobs.get().take()


_pool = _Pool()


def _forget_threads() -> None:
    """Let a forked process start threads of its own for its clips; those of its parent stayed there."""
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


@functools.cache
def _openmp() -> Callable[[int], Any]:
    """Return the function that sets the number of OpenMP's threads for the calling thread of clips alone.

    `torch.set_num_threads` also sets it for threads that begin later; it is used where OpenMP cannot be found.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        set_number = _libraries().omp_set_num_threads
        set_number.argtypes, set_number.restype = [ctypes.c_int], None
        before = torch.get_num_threads()
        set_number(before + 1)
        found = torch.get_num_threads()
        set_number(before)
        if found == before + 1:  # it is the OpenMP that torch computes with
            return cast("Callable[[int], Any]", set_number)
    return torch.set_num_threads


@functools.cache
def _mkl() -> Callable[[int], int]:
    """Return the function that sets the number of MKL's threads for the calling thread of clips, and tells the last.

    MKL, which has most of torch's products, Fourier transforms and elementary functions on Intel and AMD, follows
    neither OpenMP's number nor that of torch in one thread alone. 0 stands for the number of all threads.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        set_number = _libraries().MKL_Set_Num_Threads_Local
        set_number.argtypes, set_number.restype = [ctypes.c_int], ctypes.c_int
        return cast("Callable[[int], int]", set_number)
    return lambda number: 0


def _libraries() -> ctypes.CDLL:
    """Return torch's library and those it computes clips with, whose functions need not be visible in the process."""
    path = os.path.join(os.path.dirname(torch.__file__), "lib", "libtorch_cpu.so")
    return ctypes.CDLL(path if os.path.exists(path) else None)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Let torch compute with one thread in a ``with`` block of the calling thread, as for one part of the clips.

    >>> with alone():
    ...     torch.get_num_threads()
    1
    """
    number = torch.get_num_threads()
    if number == 1:
        yield
        return
    openmp, mkl = _openmp(), _mkl()
    openmp(1)
    before = mkl(1)
    try:
        yield
    finally:
        openmp(number)
        mkl(before)


def parts_of(n_clips: int, n_values: int) -> list[slice]:
    """Return the parts of a batch of clips that threads are to take, none of them empty.

    Args:
        n_clips: clips of the batch, 1 or more.
        n_values: values of the whole batch.

    >>> torch.set_num_threads(2)
    >>> parts_of(5, 2**20)
    [slice(0, 3, None), slice(3, 5, None)]
    """
    n_parts = max(1, min(torch.get_num_threads(), n_values // FEW_VALUES, n_clips))
    ends = [-(-n_clips * part // n_parts) for part in range(n_parts + 1)]
    return [slice(first, end) for first, end in itertools.pairwise(ends)]


def deal(work: Callable[[int], None], n_parts: int) -> None:
    """Deal the parts of a batch of clips to threads, the caller's own among them.

    Args:
        work: computes the part of a number, with one of torch's threads; it sets what torch keeps per thread (the modes
            of autograd) by itself.
        n_parts: how many parts, 1 or more.

    Raises:
        BaseException: the first error of any thread.

    >>> found = [0, 0, 0]
    >>> deal(lambda part: found.__setitem__(part, part * part), 3)
    >>> found
    [0, 1, 4]
    """
    others = min(torch.get_num_threads(), n_parts) - 1
    job = _Job(work, n_parts)
    if others > 0:
        _pool.offer(job, others)
    with alone():
        job.take()
    job.wait()


def results_of(compute: Callable[[int], Result], n: int) -> list[Result]:
    """Return what a function gives for 0 to n - 1, such as the clips of a batch, called in several threads.

    Args:
        compute: called once with each number, with one of torch's threads.
        n: how many numbers, 1 or more.

    Raises:
        Exception: of several the first in order, whichever thread comes first.

    >>> results_of(lambda number: number * number, 4)
    [0, 1, 4, 9]
    """
    results: dict[int, Result] = {}
    errors: dict[int, Exception] = {}

    def work(number: int) -> None:
        try:
            results[number] = compute(number)
        except Exception as error:  # noqa: BLE001  # raised below, in the caller's thread
            errors[number] = error

    deal(work, n)
    if errors:
        raise errors[min(errors)]
    return [results[number] for number in range(n)]
