"""A card whose copies are done when the test says so: what stands in a buffer until then is what arrives."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import Any

import torch

from audiofeed.feed.padding import Padded
from audiofeed.feed.states.tensor_trees import map_tensors


class Event:
    """Copies that were begun before it: the tensors that they read, and what these held then."""

    def __init__(self, copies: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
        self.copies, self.is_done = copies, False


class SlowCard:
    """Page-locked memory that is none, and copies from it that end with `land`.

    Args:
        ahead: How many events may be open; marking another one lands the oldest. None: they land when asked.
    """

    def __init__(self, ahead: int | None = None) -> None:
        self.ahead = ahead
        self.buffers: list[torch.Tensor] = []
        self.events: deque[Event] = deque()
        self.begun: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.overwritten = 0
        self.devices: list[torch.device] = []

    def supports(self, device: torch.device) -> bool:
        return True

    def empty(self, size: int) -> torch.Tensor:
        self.buffers.append(torch.zeros(size, dtype=torch.uint8))
        return self.buffers[-1]

    def is_pinned(self, tensor: torch.Tensor) -> bool:
        where = tensor.untyped_storage().data_ptr()
        return any(where == buffer.data_ptr() for buffer in self.buffers)

    def copy(self, tree: Any) -> Any:
        """Begin to copy tensors to the card: they arrive as they are now, if nobody writes them before it ends."""

        def begin(tensor: torch.Tensor) -> torch.Tensor:
            there = tensor.clone()
            self.begun.append((tensor, there))
            return there

        return map_tensors(tree, begin)

    def mark(self, device: torch.device) -> Event:
        self.devices.append(device)
        self.begun, begun = [], self.begun
        event = Event(begun)
        self.events.append(event)
        if self.ahead is not None and len(self.events) > self.ahead:
            self.land()
        return event

    def is_done(self, event: Event) -> bool:
        return event.is_done

    def land(self) -> None:
        """End the copies before the oldest event; count those whose memory was written meanwhile."""
        event = self.events.popleft()
        self.overwritten += sum(not torch.equal(tensor, there) for tensor, there in event.copies)
        event.copies.clear()
        event.is_done = True

    def move(self, padded: Padded, device: torch.device, *, non_blocking: bool = False) -> Padded:
        """Stand for `Padded.to`."""
        return padded.with_tensors(self.copy(padded.tensors()))


class Streams:
    """Side streams that compute at once, and keep a log of the tensors that are kept for the reader."""

    def __init__(self):
        self.started, self.kept = 0, []

    def supports(self, device):
        return True

    def new_stream(self, device):
        return "side"

    def current_stream(self, device):
        return "main"

    @contextmanager
    def on(self, stream):
        self.started += 1
        yield

    def record(self, stream):
        return "event"

    def wait(self, stream, event):
        pass

    def keep(self, tensor, stream):
        self.kept.append(tensor)
