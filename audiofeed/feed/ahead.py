"""Work started ahead of its use, on one side stream per device, in bounded number."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Generic, Protocol, TypeVar

import torch

T = TypeVar("T")


class StreamBackend(Protocol):
    """What is asked of a device's streams; a test gives its own."""

    def supports(self, device: torch.device) -> bool:
        """Whether work on this device can run on a side stream."""

    def new_stream(self, device: torch.device) -> Any:
        """Make a stream of this device."""

    def current_stream(self, device: torch.device) -> Any:
        """Return the stream that the calling thread works on."""

    def on(self, stream: Any) -> AbstractContextManager[Any]:
        """Send the work of a ``with`` block to a stream."""

    def record(self, stream: Any) -> Any:
        """Return an event that stands for all work sent to a stream so far."""

    def wait(self, stream: Any, event: Any) -> None:
        """Make a stream wait for an event, without making the CPU wait."""

    def keep(self, tensor: torch.Tensor, stream: Any) -> None:
        """Keep a tensor's memory from reuse until a stream's work so far is done."""


class DeviceStreams:
    """Streams of CUDA, ROCm and XPU devices."""

    def supports(self, device: torch.device) -> bool:
        """Whether work on this device can run on a side stream."""
        return device.type in ("cuda", "xpu")

    def new_stream(self, device: torch.device) -> Any:
        """Make a stream of this device."""
        return torch.get_device_module(device).Stream(device)

    def current_stream(self, device: torch.device) -> Any:
        """Return the stream that the calling thread works on."""
        return torch.get_device_module(device).current_stream(device)

    def on(self, stream: Any) -> AbstractContextManager[Any]:
        """Send the work of a ``with`` block to a stream."""
        context: AbstractContextManager[Any] = torch.get_device_module(stream.device).stream(stream)
        return context

    def record(self, stream: Any) -> Any:
        """Return an event that stands for all work sent to a stream so far."""
        return stream.record_event()

    def wait(self, stream: Any, event: Any) -> None:
        """Make a stream wait for an event, without making the CPU wait."""
        stream.wait_event(event)

    def keep(self, tensor: torch.Tensor, stream: Any) -> None:
        """Keep a tensor's memory from reuse until a stream's work so far is done."""
        tensor.record_stream(stream)


class Started(Generic[T]):
    """A result that a side stream is still working on.

    Args:
        result: What the work returned; its tensors are not to be read before ``join``.
        release: Gives the place among those in flight back; may be called twice.
    """

    def __init__(
        self, result: T, device: torch.device, event: Any, backend: StreamBackend, release: Callable[[], object]
    ) -> None:
        self._result = result
        self._device = device
        self._event = event
        self._backend = backend
        self._release = release
        self._joined: list[Any] = []

    def join(self, tensors: Callable[[T], Iterable[torch.Tensor]]) -> T:
        """Make the caller's stream wait for the work, and return its result.

        Args:
            tensors: Lists every tensor of the result that lives on, for their memory to be kept for the caller's
                stream.
        """
        self._release()
        stream = self._backend.current_stream(self._device)
        if stream not in self._joined:
            self._backend.wait(stream, self._event)
            for tensor in tensors(self._result):
                self._backend.keep(tensor, stream)
            self._joined.append(stream)
        return self._result


class Ahead:
    """Starts work on a device's side stream while fewer than ``limit`` results are unread, and never waits.

    An owner that finds no place is remembered, oldest first, for when one is given back. Without that a loader's
    prefetched batches, pinned faster than they are read, would mostly find the places taken and never be started.

    Args:
        limit: How many results may be in flight, 0 or more; 0 starts nothing.
        backend: The streams to use.
    """

    def __init__(self, limit: int, backend: StreamBackend | None = None) -> None:
        self._limit = limit
        self._backend = DeviceStreams() if backend is None else backend
        # One stream per device for as long as the collate lives: memory freed on a stream is reused only there, so a
        # new stream each epoch would let reserved memory grow.
        self._streams: dict[torch.device, Any] = {}
        self._lock = threading.Lock()
        # A set, because a finalizer may run in the middle of any line, this class's own included, where it could
        # neither take the lock nor count safely; adding and discarding are atomic.
        self._in_flight: set[object] = set()
        self._waiting: deque[weakref.ref[object]] = deque()

    @property
    def in_flight(self) -> int:
        """How many results were started and neither read nor dropped."""
        return len(self._in_flight)

    def next_waiting(self) -> object | None:
        """Return the owner that has waited longest and still lives, if there is a place for it now."""
        with self._lock:
            while self._waiting and len(self._in_flight) < self._limit:
                owner = self._waiting.popleft()()
                if owner is not None:
                    return owner
        return None

    def start(self, owner: object, device: torch.device, work: Callable[[], T]) -> Started[T] | None:
        """Run ``work`` on the side stream, or return None where that is not possible now.

        Where it was a place that was missing, ``next_waiting`` will name the owner.

        Args:
            owner: Whoever will read the result; when it is garbage-collected its place is given back.
            device: Where the work runs.
            work: Sends work to the device; its own errors pass through.
        """
        if self._limit == 0 or not self._backend.supports(device):
            return None
        place = object()
        with self._lock:
            if len(self._in_flight) >= self._limit:
                self._waiting.append(weakref.ref(owner))
                return None
            self._in_flight.add(place)
            stream = self._streams.get(device)
        finalizer = weakref.finalize(owner, self._in_flight.discard, place)
        finalizer.atexit = False
        try:
            if stream is None:
                with self._lock:
                    stream = self._streams.setdefault(device, self._backend.new_stream(device))
            with self._backend.on(stream):
                result = work()
                event = self._backend.record(stream)
        except BaseException:
            finalizer()
            raise
        return Started(result, device, event, self._backend, finalizer)
