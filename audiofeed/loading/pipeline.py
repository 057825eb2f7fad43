"""The batches of one pass over a loader: loaded and computed ahead of their turn where that is safe, in order."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from torch.utils import data as torch_data

from audiofeed.loading.background import Background, Job
from audiofeed.loading.batch_work import BatchWork, Prepared
from audiofeed.loading.random_draws import GlobalDraws
from audiofeed.parallel.thread_pool import alone

# what a pass over a loader gives after its last batch
END = object()
# Seconds between two looks at whether anything is wrong while the loop waits for a batch
_LOOK = 0.25


@dataclass
class Safety:
    """What of a loader's work draws no random numbers of the training loop's; None is not known yet.

    Args:
        loading: Whether that holds for loading.
        computing: Whether it holds for features.
    """

    loading: bool | None = None
    computing: bool | None = None


class Pipeline:
    """Pass over a loader that works on the next batches in a background thread.

    The first batch is made in the loop's own thread, and the second too as long as nobody knows whether making one
    draws from the random numbers that the loop draws from: work that does stays in the loop.

    Args:
        source: The loader's iterator.
        work: The work on a batch.
        safeties: What is known about random draws, by the modes of training of the modules that compute; what is not
            known is found out here.
        ahead: How many batches may be in work; 0 does everything in the loop.
        loads: Whether batches may be loaded in the background thread.
        computes: Whether features may be computed there.
        after_load: Called after each batch is loaded, in the same thread; its result comes with the batch.
        loaded: Told the seconds that a batch took to load, in the thread that loads.
        look: Called now and then while the loop waits; raises if something is wrong.
    """

    def __init__(
        self,
        source: Iterator[Any],
        work: BatchWork,
        safeties: dict[Any, Safety],
        *,
        ahead: int,
        loads: bool,
        computes: bool,
        after_load: Callable[[], Any] = lambda: None,
        loaded: Callable[[float], None] = lambda seconds: None,
        look: Callable[[float], None] = lambda waited: None,
    ) -> None:
        self._source, self._work, self._safeties = source, work, safeties
        self._safety = Safety()
        self._ahead, self._may_load, self._may_compute = ahead, loads, computes
        self._after_load, self._loaded, self._look = after_load, loaded, look
        self._count = 0
        self._ended = self._exhausted = self._waits = False
        self._background = Background()
        self._jobs: deque[Job] = deque()

    def next(self) -> tuple[Prepared, Any] | Any:
        """Return the loader's next batch with what `after_load` gave, or `END`; then begin work on those after it."""
        if self._jobs:
            found = self._wait(self._jobs.popleft())
        elif self._count > 0 and self._safety.loading is None:
            found = self._watched()
        else:
            found = self._in_loop()
        if found is END:
            self._ended = True
        else:
            self._count += 1
            self._begin()
        return found

    def close(self, seconds: float | None = None) -> bool:
        """End the pass over the loader and its background thread; return False if that hangs in a read.

        Args:
            seconds: How long to wait for the batch in work; None for as long as one may take.
        """
        self._ended = True
        self._jobs.clear()
        return self._background.close() if seconds is None else self._background.close(seconds)

    def _begin(self) -> None:
        """Begin work on the loader's next batches in the background thread, as many as may be ahead."""
        safety = self._safety
        if self._ahead == 0 or not safety.loading:
            return
        computes = bool(self._may_compute and safety.computing)
        if self._may_load:
            while not self._ended and len(self._jobs) < self._ahead:
                self._jobs.append(self._background.submit(lambda: self._load_ahead(computes)))
        elif computes and not self._jobs and not self._ended:
            loading = Job(self._load)
            loading.run()  # here and now; an error is the next batch's
            self._jobs.append(self._background.submit(lambda: self._prepare_loaded(loading, computes)))

    def _load(self) -> tuple[Any, Any] | Any:
        if self._exhausted:
            return END
        begun = time.perf_counter()
        try:
            made = next(self._source)
        except StopIteration as error:
            self._exhausted = True
            if _is_an_items(error):
                raise RuntimeError(
                    "the dataset (or the collate function) raised StopIteration for an item, which would end the epoch "
                    "here without a word; it may not call next() on an iterator that is over: use next(iterator, None) "
                    "or raise another error"
                ) from error
            return END
        self._loaded(time.perf_counter() - begun)
        return made, self._after_load()

    def _load_now(self) -> tuple[Any, Any] | Any:
        """Load the loader's next batch while the loop waits: in the background thread, if that may be watched."""
        return self._wait(self._background.submit(self._load)) if self._ahead and self._may_load else self._load()

    def _in_loop(self) -> tuple[Prepared, Any] | Any:
        loaded = self._load_now()
        if loaded is END:
            return END
        made, note = loaded
        prepared = self._work.prepare(made)
        if self._count == 0:
            self._safety = self._safeties.setdefault(self._work.training(prepared), Safety())
        if self._may_compute and self._safety.computing:
            self._work.compute(prepared)
        return prepared, note

    def _watched(self) -> tuple[Prepared, Any] | Any:
        """Make a batch of the loader in the loop, and see whether that draws random numbers."""
        watch = GlobalDraws()
        loaded = self._load_now()
        if loaded is END:  # which says nothing about a batch
            return END
        self._safety.loading = not watch.drew()
        made, note = loaded
        prepared = self._work.prepare(made)
        if self._may_compute and self._ahead:
            self._safety.computing = self._work.try_compute(prepared)
        return prepared, note

    def _load_ahead(self, computes: bool) -> tuple[Prepared, Any] | Any:
        loaded = self._load()
        return END if loaded is END else self._prepare_ahead(loaded, computes)

    def _prepare_loaded(self, loading: Job, computes: bool) -> tuple[Prepared, Any] | Any:
        loaded = loading.result()
        return END if loaded is END else self._prepare_ahead(loaded, computes)

    def _prepare_ahead(self, loaded: tuple[Any, Any], computes: bool) -> tuple[Prepared, Any]:
        made, note = loaded
        prepared = self._work.prepare(made)
        if computes:
            # the loop's own threads compute at the same time, unless it waits for this very batch
            with contextlib.nullcontext() if self._waits else alone():
                self._work.compute(prepared)
        return prepared, note

    def _wait(self, job: Job) -> Any:
        begun = time.perf_counter()
        self._waits = True
        try:
            while not job.wait(_LOOK):
                self._look(time.perf_counter() - begun)
        finally:
            self._waits = False
        return job.result()


def _is_an_items(error: StopIteration) -> bool:
    """Return whether a loader's StopIteration comes from making a batch, and not from the end of its sampler."""
    if str(error).startswith("Caught StopIteration in "):  # in a worker, as torch passes it on
        return True
    # private in torch: another torch may not have it, and then the end of a sampler is what is seen
    fetcher = getattr(getattr(getattr(torch_data, "_utils", None), "fetch", None), "_MapDatasetFetcher", None)
    making = getattr(getattr(fetcher, "fetch", None), "__code__", None)
    frame: TracebackType | None = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code is making:
            return True
        frame = frame.tb_next
    return False


def spare_cores() -> int:
    """Return how many cores this process may use beside the one of a loader's loop.

    >>> spare_cores() >= 0
    True
    """
    try:
        return len(os.sched_getaffinity(0)) - 1
    except AttributeError:  # elsewhere than on Linux
        return (os.cpu_count() or 1) - 1
