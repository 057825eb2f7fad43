"""Start a limited amount of work ahead of its use, on one side stream per device."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Generic, Protocol, TypeVar, cast

import torch

T = TypeVar("T")


class StreamBackend(Protocol):
    """Protocol of the side streams that a batch's work runs on ahead of its use; a test brings its own.

    Its methods are the operations on a device's streams.
    """

    def supports(self, device: torch.device) -> bool:
        """Return True if a device can run work ahead of its use on a side stream."""

    def new_stream(self, device: torch.device) -> Any:
        """Return a new side stream of this device for work ahead of its use."""

    def current_stream(self, device: torch.device) -> Any:
        """Return the calling thread's current stream, beside which work runs ahead on a side stream."""

    def on(self, stream: Any) -> AbstractContextManager[Any]:
        """Return a context that puts work ahead of its use on a side stream."""

    def record(self, stream: Any) -> Any:
        """Return an event that marks the end of all work queued ahead on a side stream so far."""

    def wait(self, stream: Any, event: Any) -> None:
        """Make a stream wait for the event of work ahead on a side stream, without blocking the CPU."""

    def keep(self, tensor: torch.Tensor, stream: Any) -> None:
        """Keep the memory of a tensor made ahead on a side stream until a stream's work so far is done.

        The memory is not reused until then.
        """


class DeviceStreams:
    """Side streams of CUDA, ROCm and XPU devices for work ahead of its use."""

    def supports(self, device: torch.device) -> bool:
        """Return True for a CUDA, ROCm or XPU device, able to run work ahead on a side stream."""
        return device.type in ("cuda", "xpu")

    def new_stream(self, device: torch.device) -> Any:
        """Return a new side stream of this CUDA, ROCm or XPU device for work ahead of its use."""
        return torch.get_device_module(device).Stream(device)

    def current_stream(self, device: torch.device) -> Any:
        """Return the calling thread's current CUDA, ROCm or XPU stream, for work ahead beside it."""
        return torch.get_device_module(device).current_stream(device)

    def on(self, stream: Any) -> AbstractContextManager[Any]:
        """Return a context that puts work ahead of its use on a CUDA, ROCm or XPU side stream."""
        context: AbstractContextManager[Any] = torch.get_device_module(stream.device).stream(stream)
        return context

    def record(self, stream: Any) -> Any:
        """Return an event that marks the end of all work queued ahead on a CUDA, ROCm or XPU stream so far."""
        return stream.record_event()

    def wait(self, stream: Any, event: Any) -> None:
        """Make a CUDA, ROCm or XPU stream wait for an event of work ahead, without blocking the CPU."""
        stream.wait_event(event)

    def keep(self, tensor: torch.Tensor, stream: Any) -> None:
        """Keep the memory of a tensor made ahead until a CUDA, ROCm or XPU stream's work so far is done.

        The memory is not reused until then. That of the host is nobody's business here.
        """
        for part in _parts(tensor):
            if part.device.type != "cpu":
                part.record_stream(stream)


def _parts(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the dense tensors in which a tensor on its side stream lies in memory."""
    if tensor.layout == torch.sparse_coo:
        return tensor._indices(), tensor._values()
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return tensor.crow_indices(), tensor.col_indices(), tensor.values()
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return tensor.ccol_indices(), tensor.row_indices(), tensor.values()
    return (tensor,)


class Completion:
    """End of work ahead on a side stream, for which every stream that reads its tensors has to wait.

    Args:
        device: The device of the stream.
        event: Marks the end of the work.
        backend: The streams.
    """

    def __init__(self, device: torch.device, event: Any, backend: StreamBackend) -> None:
        self._device = device
        self._event = event
        self._backend = backend
        self._waited: list[Any] = []

    def wait(self, tensors: Callable[[], Iterable[torch.Tensor]]) -> None:
        """Make the caller's stream wait for work ahead on a side stream, once, without blocking the CPU.

        Args:
            tensors: Returns every tensor of the work that lives on; their memory is kept for the caller's stream.
        """
        stream = self._backend.current_stream(self._device)
        if stream not in self._waited:
            self._backend.wait(stream, self._event)
            for tensor in tensors():
                self._backend.keep(tensor, stream)
            self._waited.append(stream)


class Started(Generic[T]):
    """Result of work started ahead of its use, maybe still running on a side stream.

    Args:
        result: The result; its tensors must not be read before `join`.
        completion: The end of the work.
        release: Releases the slot; may be called twice.
    """

    def __init__(self, result: T, completion: Completion, release: Callable[[], object]) -> None:
        self._result = result
        self.completion = completion
        self._release = release

    @property
    def result(self) -> T:
        """Result of work started ahead on a side stream, of whose tensors only shapes may be read before `join`."""
        return self._result

    def join(self, tensors: Callable[[T], Iterable[torch.Tensor]]) -> T:
        """Make the caller's stream wait for work started ahead on a side stream, and return the result.

        Args:
            tensors: Returns every tensor of the result that lives on.
        """
        self._release()
        self.completion.wait(lambda: tensors(self._result))
        return self._result


class Waiter(Protocol):
    """Protocol of the owner of work ahead on a side stream that found no free slot."""

    def start_late(self) -> bool:
        """Start the work ahead in a slot that was released; return False if there is nothing to start."""


class Ahead:
    """Scheduler of work ahead of its use on a device's side stream, fewer than `limit` results unread.

    It never blocks.

    Requests over the limit are queued (first in, first out) and retried when a slot is released. Without the queue, a
    loader's prefetched batches, pinned faster than they are read, would mostly find no free slot and never be started.

    Args:
        limit: Largest number of results in flight, 0 or more; 0 starts nothing.
        backend: The streams; None is the device's.
    """

    def __init__(self, limit: int, backend: StreamBackend | None = None) -> None:
        self._limit = limit
        self._backend = DeviceStreams() if backend is None else backend
        # One stream per device for as long as the collate lives: memory freed on a stream is reused only there, so a
        # new stream each epoch would let reserved memory grow.
        self._streams: dict[torch.device, Any] = {}
        self._lock = threading.Lock()
        # A set, because a finalizer may run in the middle of any line, of this class too, where it can neither take the
        # lock nor count safely; adding and discarding are atomic.
        self._in_flight: set[object] = set()
        self._waiting: deque[weakref.ref[object]] = deque()

    def supports(self, device: torch.device) -> bool:
        """Return True if a device can run work ahead of its use on a side stream."""
        return self._backend.supports(device)

    @property
    def in_flight(self) -> int:
        """Number of results that were started ahead on a side stream and neither read nor deleted."""
        return len(self._in_flight)

    def next_waiting(self) -> object | None:
        """Return and remove the live owner queued longest for work ahead, if there is a free slot, else None."""
        with self._lock:
            while self._waiting and len(self._in_flight) < self._limit:
                owner = self._waiting.popleft()()
                if owner is not None:
                    return owner
        return None

    def start_next(self) -> None:
        """Let the owner that has been queued longest start its work ahead, if there is a free slot."""
        while (owner := self.next_waiting()) is not None:
            if cast(Waiter, owner).start_late():
                return

    def start(self, owner: object, device: torch.device, work: Callable[[], T]) -> Started[T] | None:
        """Start work ahead of its use on the side stream, or return None if that is not possible now.

        If there was no free slot, the owner is queued for `start_next`.

        Args:
            owner: The object that will read the result; when it is garbage-collected, its slot is released.
            device: The device of the work.
            work: Queues the work on the device; its exceptions propagate.

        Returns:
            The result, still running; None if there is no free slot, `limit` is 0 or the device has no streams.
        """
        if self._limit == 0 or not self._backend.supports(device):
            return None
        slot = object()
        with self._lock:
            if len(self._in_flight) >= self._limit:
                self._waiting.append(weakref.ref(owner))
                return None
            self._in_flight.add(slot)
            stream = self._streams.get(device)
        finalizer = weakref.finalize(owner, self._in_flight.discard, slot)
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
        return Started(result, Completion(device, event, self._backend), finalizer)
