"""The meter of a loader: adds up what each stage of its batches took."""

from __future__ import annotations

import os
import time
import weakref

from audiofeed.feed.states.bus import Bus, BusStats
from audiofeed.loading.batch_work import Prepared
from audiofeed.loading.stats import MADE, STAGES, Stats


class Meter:
    """Meter of a loader: sums by stage, from numbers that the batches carry and two looks at the clock per batch.

    >>> meter = Meter()
    >>> meter.begin_wait()
    >>> meter.end_wait(Prepared(None, clips=4, seconds=(0.1, 0.2, 0.0, 0.1)))
    >>> meter.stats().clips, meter.stats().seconds["decode"]
    (4, 0.2)
    """

    def __init__(self) -> None:
        self.choice = ""
        self.workers = 0
        self._buses: weakref.WeakSet[Bus] = weakref.WeakSet()
        self.reset()

    def reset(self) -> None:
        """Forget what the loader's meter has measured, after a warm-up for example."""
        self._seconds = dict.fromkeys(STAGES, 0.0)
        self._batches = self._clips = self._faults = self._samples = self._padded = 0
        self._moved_batches = self._moved_clips = self._moved = self._moved_padding = 0
        self._audio = 0.0
        self.load_seconds = 0.0
        self._since: float | None = None  # the loop has had a batch then, and works on it
        self._waits = 0.0
        self._is_first = True

    def begin_pass(self) -> None:
        """Take note that the loop begins a pass over the loader: the wait for its first batch is the start's."""
        self._is_first = True

    def begin_wait(self) -> None:
        """Take note that the loop asks the loader for a batch: its step on the last one has ended."""
        now = time.perf_counter()
        if self._since is not None:
            self._seconds["step"] += now - self._since
        self._since, self._waits = None, now

    def end_wait(self, prepared: Prepared | None) -> None:
        """Take note that the loader hands a batch to the loop; None at the end of a pass."""
        now = time.perf_counter()
        seconds = self._seconds
        seconds["start" if self._is_first else "wait"] += now - self._waits
        self._is_first = False
        if prepared is None:
            return
        self._since = now
        for name, part in zip(MADE, prepared.seconds, strict=False):
            seconds[name] += part
        seconds["transfer"] += prepared.transfer
        seconds["features"] += prepared.features
        self._batches += 1
        self._clips += prepared.clips
        self._faults += len(prepared.faults)
        own, padded = prepared.samples
        self._samples += own
        self._padded += padded
        moved, padding = prepared.moved
        if moved:
            self._moved_batches, self._moved_clips = self._moved_batches + 1, self._moved_clips + prepared.clips
            self._moved, self._moved_padding = self._moved + moved, self._moved_padding + padding
        self._buses.update(prepared.buses)
        if prepared.sample_rate:
            self._audio += own / prepared.sample_rate

    def add_load(self, seconds: float) -> None:
        """Add what the loader took for one batch, in the thread that asked it; with workers, the wait for one."""
        self.load_seconds += seconds

    def end(self) -> None:
        """Take note that the loop has left the loader's batches, after a step of its own."""
        if self._since is not None:
            self._seconds["step"] += time.perf_counter() - self._since
            self._since = None

    def stats(self) -> Stats:
        """Return what the loader's meter has measured so far, the step that the loop is in included."""
        seconds = dict(self._seconds)
        if self._since is not None:
            seconds["step"] += time.perf_counter() - self._since
        return Stats(
            seconds,
            batches=self._batches,
            clips=self._clips,
            audio_seconds=self._audio,
            padding=1 - self._samples / self._padded if self._padded else 0.0,
            faults=self._faults,
            workers=self.workers,
            cores=_cores(),
            choice=self.choice,
            bus=self._bus(),
        )

    def _bus(self) -> BusStats:
        """Return what the loader's batches took over the bus; its buffers are counted since they were made."""
        found = [bus.stats() for bus in self._buses]
        return BusStats(
            batches=self._moved_batches,
            clips=self._moved_clips,
            moved_bytes=self._moved,
            padding_bytes=self._moved_padding,
            buffers=sum(stats.buffers for stats in found),
            buffer_bytes=sum(stats.buffer_bytes for stats in found),
            pins=sum(stats.pins for stats in found),
            reuses=sum(stats.reuses for stats in found),
            apart=sum(stats.apart for stats in found),
        )

    def close(self) -> None:
        """Give the page-locked buffers of the loader's batches back; the next batches make new ones."""
        for bus in self._buses:
            bus.ring.clear()


def _cores() -> int:
    """Return how many cores a loader's process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # elsewhere than on Linux
        return os.cpu_count() or 1
