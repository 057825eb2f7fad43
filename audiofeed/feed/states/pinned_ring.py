"""A ring of page-locked host buffers on a batch's way to a device, each used again once its copy is done."""

from __future__ import annotations

import ctypes
import functools
import threading
import weakref
from bisect import insort
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch

from audiofeed.feed.states.tensor_trees import map_tensors

# What a ring keeps, not what a batch may have: one that finds no buffer is pinned by torch, as without a ring.
MOST_BYTES = 2**30
MOST_BUFFERS = 64
_LEAST = 2**16
# Tensors in a buffer begin where a vector load, or a kernel that asks for 16 bytes, finds them aligned.
_ALIGNMENT = 64
_RELAXED = 2  # CU_STREAM_CAPTURE_MODE_RELAXED


class PinnedMemory(Protocol):
    """Protocol of the page-locked memory behind a ring of pinned buffers; a test brings its own."""

    def supports(self, device: torch.device) -> bool:
        """Return True if copies to a device run beside the host from a ring of pinned buffers."""

    def empty(self, size: int) -> torch.Tensor:
        """Return a new buffer of a pinned ring, (size,) uint8 on the CPU."""

    def is_pinned(self, tensor: torch.Tensor) -> bool:
        """Return True if a tensor is page-locked already and needs no buffer of a pinned ring."""

    def mark(self, device: torch.device) -> Any:
        """Return an event after all copies from a pinned ring on the caller's current stream of a device.

        None if that stream is being captured: a replay reads the buffer again, so it is never free.
        """

    def is_done(self, event: Any) -> bool:
        """Return True if a pinned ring's event has been reached; never waits for it."""


class DeviceMemory:
    """Page-locked memory of CUDA, ROCm and XPU devices for a ring of pinned buffers."""

    def supports(self, device: torch.device) -> bool:
        """Return True for a CUDA, ROCm or XPU device, to which copies from pinned buffers run beside the host."""
        return device.type in ("cuda", "xpu")

    def empty(self, size: int) -> torch.Tensor:
        """Return a new pinned buffer for CUDA, ROCm or XPU copies, (size,) uint8."""
        return torch.empty(size, dtype=torch.uint8, device="cpu", pin_memory=True)

    def is_pinned(self, tensor: torch.Tensor) -> bool:
        """Return True if a tensor is page-locked for CUDA, ROCm or XPU copies without a pinned ring."""
        return tensor.is_pinned()

    def mark(self, device: torch.device) -> Any:
        """Return a CUDA, ROCm or XPU event after the copies from a pinned ring; None while that stream is captured."""
        if device.type == "cuda":
            with torch.cuda.device(device):
                if torch.cuda.is_current_stream_capturing():
                    return None
        return torch.get_device_module(device).current_stream(device).record_event()

    def is_done(self, event: Any) -> bool:
        """Return True if a pinned ring's CUDA, ROCm or XPU event has been reached."""
        with _beside_captures():
            done: bool = event.query()
        return done


@contextmanager
def _beside_captures() -> Iterator[None]:
    """Ask for events in the body without ending a capture of a CUDA graph that another thread has begun.

    torch captures in the mode in which any thread's question about any event is an error, the capture's. The question
    is about copies outside of it, and so this thread may ask.
    """
    exchange = _exchange_capture_mode()
    if exchange is None:
        yield
        return
    mode = ctypes.c_int(_RELAXED)
    exchange(ctypes.byref(mode))
    try:
        yield
    finally:
        exchange(ctypes.byref(mode))


@functools.lru_cache(maxsize=1)
def _exchange_capture_mode() -> Any:
    """Return the driver's function that exchanges this thread's mode of capture; None where there is none."""
    if torch.version.cuda is None or not torch.cuda.is_initialized():
        return None
    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            return ctypes.CDLL(name).cuThreadExchangeStreamCaptureMode
        except (OSError, AttributeError):
            continue
    return None


class _Slot:
    """Buffer of a ring. Its holder lets go by one assignment, which a finalizer may do in the middle of any line."""

    __slots__ = ("buffer", "events", "is_held", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.buffer: torch.Tensor | None = None
        self.events: list[Any] = []
        self.is_held = True

    def let_go(self) -> None:
        self.is_held = False


class PinnedRing:
    """Ring of pinned host buffers, bounded in number and bytes, for batches on their way to a device.

    A buffer belongs to one batch until that is copied or dropped, and to nobody until the copy's event is reached; then
    the next batch that fits has it. So a buffer is never written while a copy reads it. It is as large as a power of
    two, which is what torch takes for it, so that batches of about the same length share buffers. Where none fits, a
    new one is made; beyond the limits, free ones that are too small make room for it.

    Args:
        memory: The page-locked memory; None is the device's.
        most_bytes: Bytes that all buffers may have.
        most_buffers: Number of buffers, 1 or more.
    """

    def __init__(
        self, memory: PinnedMemory | None = None, *, most_bytes: int = MOST_BYTES, most_buffers: int = MOST_BUFFERS
    ) -> None:
        self.memory = DeviceMemory() if memory is None else memory
        self._most_bytes, self._most_buffers = most_bytes, most_buffers
        self._lock = threading.Lock()
        self._slots: list[_Slot] = []  # the smallest first
        self.pins = self.reuses = self.apart = 0

    @property
    def sizes(self) -> list[int]:
        """Bytes of each buffer in a pinned ring, the smallest first."""
        with self._lock:
            return [slot.size for slot in self._slots]

    def load(self, tree: Any) -> Load:
        """Copy each CPU tensor of a batch's tree into one buffer of the pinned ring.

        Tensors that are page-locked already stay where they are. What has no plain rows of numbers (a sparse tensor, a
        subclass, one with a graph or gaps between its values) is pinned by torch, and so is all of a tree for which
        the ring has no buffer; `apart` counts these.

        Args:
            tree: Tensors in nested dicts, lists and tuples.
        """
        places: dict[int, tuple[torch.Tensor, int]] = {}
        size = 0

        def place(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal size
            if id(tensor) not in places and _is_plain(tensor) and not self.memory.is_pinned(tensor):
                places[id(tensor)] = tensor, size
                size += -(-tensor.numel() * tensor.element_size() // _ALIGNMENT) * _ALIGNMENT
            return tensor

        map_tensors(tree, place)
        slot = self._take(size) if places else None
        if places and slot is None:
            with self._lock:
                self.apart += 1
            places.clear()
        views: dict[int, torch.Tensor] = {}
        try:
            for key, (tensor, start) in places.items():
                assert slot is not None
                assert slot.buffer is not None
                views[key] = _view(slot.buffer, tensor, start).copy_(tensor)
            others: dict[int, torch.Tensor] = {}

            def found(tensor: torch.Tensor) -> torch.Tensor:
                if id(tensor) in views:
                    return views[id(tensor)]
                if tensor.device.type != "cpu" or tensor.numel() == 0:
                    return tensor
                if _is_plain(tensor) and self.memory.is_pinned(tensor):
                    return tensor
                if id(tensor) not in others:
                    others[id(tensor)] = tensor.pin_memory()
                return others[id(tensor)]

            values = map_tensors(tree, found)
        except BaseException:
            if slot is not None:
                slot.let_go()  # nothing was copied from it yet
            raise
        own = {id(view) for view in views.values()}
        shapes = map_tensors(values, lambda tensor: _shape_of(tensor) if id(tensor) in own else tensor)
        return Load(values, shapes, slot, self)

    def forget(self, slot: Any) -> None:
        """Take a buffer out of the pinned ring whose copies are not known; torch keeps its memory until they end."""
        with self._lock:
            if slot in self._slots:
                self._slots.remove(slot)

    def clear(self) -> None:
        """Give the pinned ring's buffers back to torch, which keeps each until its copies are done."""
        with self._lock:
            self._slots.clear()

    def _take(self, size: int) -> _Slot | None:
        """Return a buffer of at least so many bytes, which is the caller's; None if the ring may have no such."""
        capacity = max(_LEAST, 1 << (size - 1).bit_length())
        with self._lock:
            for slot in self._slots:
                if slot.size >= size and self._is_free(slot):
                    slot.events.clear()
                    slot.is_held = True
                    self.reuses += 1
                    return slot
            if not self._make_room(capacity):
                return None
            slot = _Slot(capacity)
            insort(self._slots, slot, key=lambda other: other.size)
        try:
            slot.buffer = self.memory.empty(capacity)  # takes long, and other threads need not wait for it
        except BaseException:
            self.forget(slot)
            raise
        with self._lock:
            self.pins += 1
        return slot

    def _make_room(self, capacity: int) -> bool:
        """Drop free buffers until another one of so many bytes is within the limits; False if they do not suffice."""
        left, count = sum(slot.size for slot in self._slots), len(self._slots)
        dropped: list[_Slot] = []
        for slot in self._slots:
            if left + capacity <= self._most_bytes and count < self._most_buffers:
                break
            if self._is_free(slot):
                dropped.append(slot)
                left, count = left - slot.size, count - 1
        if left + capacity > self._most_bytes or count >= self._most_buffers:
            return False
        self._slots = [slot for slot in self._slots if slot not in dropped]
        return True

    def _is_free(self, slot: _Slot) -> bool:
        if slot.is_held or slot.buffer is None:
            return False
        return all(event is not None and self.memory.is_done(event) for event in slot.events)


class Load:
    """Load of a batch in a buffer of the pinned ring, which is given back when it is copied or dropped.

    Args:
        values: The tree of tensors, in page-locked memory.
        shapes: The same tree, in which the buffer's tensors have shapes and no values: these may be read at any time.
        slot: The buffer; None if there is none.
        ring: The ring that it is of.
    """

    def __init__(self, values: Any, shapes: Any, slot: Any, ring: PinnedRing) -> None:
        self._values, self.shapes, self._slot, self._ring = values, shapes, slot, ring
        self._finalizer = None if slot is None else weakref.finalize(self, slot.let_go)
        if self._finalizer is not None:
            self._finalizer.atexit = False

    @property
    def values(self) -> Any:
        """Tensors of a batch's load in page-locked memory, until they are copied.

        Raises:
            AssertionError: They were, and the buffer may have another batch's by now.
        """
        if self._values is None:
            raise AssertionError("the batch's samples have left the host's memory: they are on the device")
        return self._values

    @property
    def is_gone(self) -> bool:
        """True once a batch's load was copied, and is no more in page-locked memory."""
        return self._values is None

    def copied(self, device: torch.device) -> None:
        """Take note that a batch's load was copied, on the caller's current stream of a device; the buffer goes back.

        It is used again when that copy is done.
        """
        self.touched(device)
        self._values = None
        if self._finalizer is not None:
            self._finalizer()

    def touched(self, device: torch.device) -> None:
        """Take note that copies of a batch's load may have begun, of which one failed; the batch keeps the buffer."""
        if self._slot is None:
            return
        try:
            self._slot.events.append(self._ring.memory.mark(device))
        except BaseException:
            self._ring.forget(self._slot)  # nothing tells when it is free
            raise


def _is_plain(tensor: torch.Tensor) -> bool:
    """Return whether a tensor is rows of numbers on the CPU, which may be anywhere in memory."""
    if type(tensor) is not torch.Tensor or tensor.device.type != "cpu" or tensor.layout != torch.strided:
        return False
    if tensor.requires_grad or tensor.is_quantized or tensor.is_conj() or tensor.is_neg():
        return False
    return tensor.numel() > 0 and tensor.is_contiguous()


def _view(buffer: torch.Tensor, tensor: torch.Tensor, start: int) -> torch.Tensor:
    """Return a tensor of this one's type and shape in a buffer, from a byte on.

    It is no view of the buffer for autograd: tensors in one buffer have nothing to do with each other.
    """
    inside = torch.empty(0, dtype=tensor.dtype, device="cpu")
    return inside.set_(buffer.untyped_storage(), start // tensor.element_size(), tensor.shape)  # type: ignore[call-overload]


def _shape_of(tensor: torch.Tensor) -> torch.Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
