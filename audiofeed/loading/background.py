"""One background thread that does the work of a loader's next batches in order, while the loop uses this one."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import torch

# Seconds: how long the end of a loop waits for a batch that is still being made, which takes no longer as a rule
_LAST_BATCH = 30.0


class Job:
    """Job of a loader's background thread: a call whose result or error is fetched once.

    Args:
        call: What to do.
    """

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call: Callable[[], Any] | None = call
        self._done = threading.Event()
        self._result: Any = None
        self._error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        """True once the loader's background thread is done with the job, or has dropped it."""
        return self._done.is_set()

    def run(self) -> bool:
        """Do the job in the loader's background thread; return False if it failed."""
        call, self._call = self._call, None
        try:
            assert call is not None
            self._result = call()
        except BaseException as error:  # noqa: BLE001  # `result` raises it in the loop
            self._error = error
        finally:
            self._done.set()
        return self._error is None

    def wait(self, seconds: float) -> bool:
        """Wait for the loader's background thread; return False if the job is not done after so many seconds."""
        return self._done.wait(seconds)

    def result(self) -> Any:
        """Return what a finished job of the loader's background thread gave, or raise its error, with its traceback."""
        error, self._error = self._error, None
        if error is not None:
            raise error
        result, self._result = self._result, None
        return result


class Background:
    """Background thread of a loader: jobs one after the other, in the modes of the thread that made it.

    It begins with the first job and ends with `close`, or with the interpreter. After a job that failed it does no
    other, because each batch follows from the one before.
    """

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self._there = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._modes = _modes_of_this_thread()

    def submit(self, call: Callable[[], Any]) -> Job:
        """Let the loader's background thread do a call after those before it."""
        job = Job(call)
        with self._there:
            self._jobs.append(job)
            self._there.notify()
        if self._thread is None:
            # a daemon, so that a read that never returns does not keep the interpreter from its end
            self._thread = threading.Thread(target=self._run, name="audiofeed-loading", daemon=True)
            self._thread.start()
        return job

    def close(self, seconds: float = _LAST_BATCH) -> bool:
        """Drop the jobs not begun, and wait for the end of the loader's background thread.

        Args:
            seconds: How long to wait for the job that it has in hand.

        Returns:
            True if the thread has ended.
        """
        with self._there:
            self._closed = True
            self._jobs.clear()
            self._there.notify()
        thread, self._thread = self._thread, None
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(seconds)
        return not thread.is_alive()

    def _next(self) -> Job | None:
        with self._there:
            while not self._jobs:
                if self._closed:
                    return None
                self._there.wait()
            return self._jobs.popleft()

    def _run(self) -> None:
        with self._modes():
            while (job := self._next()) is not None:
                if not job.run():
                    return


def _modes_of_this_thread() -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Return what gives a loader's background thread the device and the default device of the calling thread.

    Both are kept per thread. Modes of autograd and autocast are set where a batch is computed.
    """
    default = torch.get_default_device()
    is_changed = default.type != "cpu"
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    # asking for the current one would start CUDA in a loop that computes on a CPU
    started = accelerator is not None and torch.get_device_module(accelerator).is_initialized()
    index = torch.accelerator.current_device_index() if started else None

    @contextlib.contextmanager
    def modes() -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            if index is not None:
                torch.accelerator.set_device_index(index)
            if is_changed:
                stack.enter_context(default)
            yield

    return modes
