"""Machine code called on several threads: on torch's own while they spin, else on threads that wait asleep.

Torch's threads (libgomp's) go on looking for work for some 5 ms after each step, on a core each. While they do, work is
best given to them: others would have to share the cores with them. Asleep, they are best left so: woken for features,
they would spin beside the threads that decode the next batch, which took a fifth of the time.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import torch

from audiofeed.parallel.thread_pool import FEW_VALUES, alone

# Seconds after a job within which the next one takes torch's threads: then it is worth it that they spin
CLOSE = 1e-3
# Seconds after a step of theirs in which torch's threads are seen to run, and a little more
SPIN = 6e-3
# After so many jobs at most it is asked again whether torch keeps its threads awake, or the jobs themselves do
MOST_TRUST = 256
# Seconds after a batch of a worker process in which torch's threads are not kept awake: workers want the cores
COMPANY = 1.0

AS_IT_IS = contextlib.nullcontext()
_CALL = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Helper:
    """Thread that runs one job of machine code at a time and waits asleep for the next."""

    def __init__(self) -> None:
        self._go, self._done = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._done.acquire()
        threading.Thread(target=self._run, name="audiofeed-native", daemon=True).start()

    def start(self, call: Callable[[int], None], job: int) -> None:
        """Let the helping thread call machine code."""
        self._call, self._job = call, job
        self._go.release()

    def wait(self) -> None:
        """Wait until the helping thread has left the machine code, whatever signal comes: it works in memory."""
        stopped: BaseException | None = None
        while True:
            try:
                self._done.acquire()
                break
            except BaseException as error:  # noqa: BLE001  # a handler's, raised as soon as the memory is free
                stopped = error
        if stopped is not None:
            raise stopped

    def _run(self) -> None:
        while True:
            self._go.acquire()
            self._call(self._job)
            self._done.release()


class _Helpers:
    """Helping threads of this process that are free, and new ones where there are too few."""

    def __init__(self) -> None:
        self._free: deque[_Helper] = deque()

    def call(self, function: int, job: int, n_threads: int) -> None:
        """Call machine code on so many threads, the caller's own among them."""
        call, started = _CALL(function), []
        try:
            for _ in range(n_threads - 1):
                try:
                    helper = self._free.pop()
                except IndexError:
                    helper = _Helper()
                started.append(helper)
                helper.start(call, job)
            call(job)
        finally:
            for helper in started:
                helper.wait()
            self._free.extend(started)


_helpers = _Helpers()
# OpenMP's threads stay behind when a process forks, and the child would wait for them for ever
_forked = threading.Event()


def _forget_threads() -> None:
    """Let a forked process start native threads of its own; those of its parent stayed there."""
    global _helpers
    _helpers = _Helpers()
    _forked.set()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


@functools.cache
def _openmp() -> Any:
    """Return `GOMP_parallel` of torch's OpenMP, by which its own threads call machine code; None without it."""
    try:
        call = ctypes.CDLL(None).GOMP_parallel
    except (OSError, AttributeError, TypeError):
        return None
    call.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    call.restype = None
    return call


class _Company:
    """Worker processes beside the native threads of this process, and until when they are taken to be there."""

    until = -math.inf


def note_worker() -> None:
    """Take note that a batch has come from a worker process, which wants a core beside the native threads."""
    _Company.until = time.monotonic() + COMPANY


def beside_workers() -> bool:
    """Return whether worker processes want the cores beside the native threads, as far as their batches tell."""
    return time.monotonic() < _Company.until


class _Team:
    """Torch's native threads that work for the calling thread, and when it last gave a job to them or to any."""

    def __init__(self) -> None:
        self.last = self.last_to_them = -math.inf
        self._trust = self._left = 0
        self._stat: int | None = None

    def __del__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        if self._stat is not None:
            os.close(self._stat)
            self._stat = None

    def is_to_work(self, now: float) -> bool:
        """Return whether a job is to go to torch's native threads, at a time of `time.monotonic`.

        They are awake for `SPIN` seconds after a job of ours, too. Given to them for that alone, jobs would keep them
        awake for ever, and workers that want the cores would wait.
        """
        if now > _Company.until:
            return now - self.last < CLOSE or self.spins()
        if not self.spins():
            self._trust = self._left = 0
            return False
        if now - self.last_to_them > SPIN:  # torch's own steps keep them awake, and will again
            self._left = self._trust = min(max(1, 2 * self._trust), MOST_TRUST)
            return True
        self._left -= 1
        return self._left >= 0

    def spins(self) -> bool:
        """Return whether torch's native threads are running, which between two steps they only do to look for work."""
        try:
            if self._stat is None:
                self._stat = self._find()
            return os.pread(self._stat, 512, 0).rpartition(b") ")[2][:1] == b"R"
        except (OSError, IndexError):  # no /proc, or the thread has ended, as it does when torch takes fewer
            self._forget()
            return False

    def _find(self) -> int:
        """Return the state of a thread of the team as an open file, by asking two of them who they are."""
        found: set[int] = set()
        ask = _CALL(lambda _: found.add(threading.get_native_id()))
        _openmp()(ctypes.cast(ask, ctypes.c_void_p), None, 2, 0)
        other = (found - {threading.get_native_id()}).pop() if len(found) > 1 else found.pop()
        return os.open(f"/proc/self/task/{other}/stat", os.O_RDONLY | os.O_CLOEXEC)


class _Teams(threading.local):
    """Team of each native thread that calls; OpenMP keeps one for each, too."""

    def __init__(self) -> None:
        self.mine = _Team()


_teams = _Teams()


def unless_awake(n_values: int) -> contextlib.AbstractContextManager[None]:
    """Let torch take light steps in a ``with`` block with one thread, unless its native threads are awake anyway.

    Args:
        n_values: values that the steps work on; with few, torch takes one thread by itself.

    >>> with unless_awake(10**6):
    ...     torch.zeros(3).sum().item()
    0.0
    """
    if n_values < FEW_VALUES or torch.compiler.is_compiling() or torch.get_num_threads() == 1:
        return AS_IT_IS
    if _openmp() is None or (not _forked.is_set() and _teams.mine.spins()):
        return AS_IT_IS
    return alone()


def call_in_parallel(function: int, job: int, n_threads: int) -> None:
    """Call machine code with the same job on several native threads, and return when all have returned.

    Args:
        function: address of a function that takes the job and returns nothing.
        job: address that it is called with, on every thread.
        n_threads: how many, 2 or more, the caller's own among them.

    >>> increase = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda job: found.append(job))
    >>> found = []
    >>> call_in_parallel(ctypes.cast(increase, ctypes.c_void_p).value, 5, 3)
    >>> found
    [5, 5, 5]
    """
    openmp = None if _forked.is_set() else _openmp()
    if openmp is None:
        _helpers.call(function, job, n_threads)
        return
    team, to_them = _teams.mine, False
    try:
        to_them = team.is_to_work(time.monotonic())
        if to_them:
            openmp(function, job, n_threads, 0)
        else:
            _helpers.call(function, job, n_threads)
    finally:
        team.last = time.monotonic()
        if to_them:
            team.last_to_them = team.last
