"""The progress of a batch: its present state, shared by the batch, its shallow copies and those on other devices."""

from __future__ import annotations

import copy
import threading
from dataclasses import replace
from typing import Any

import torch

from audiofeed.feed.states.batch_fields import FIELDS, METADATA
from audiofeed.feed.states.kept_error import KeptError
from audiofeed.feed.states.states import Ready, State, Waiting
from audiofeed.feed.states.tensor_trees import describe, to_device


class Progress:
    """Progress of a batch from its first state to the next ones, each step taken once.

    Args:
        state: The first state.
    """

    __slots__ = ("__weakref__", "_lock", "_state")

    def __init__(self, state: State) -> None:
        self._state = state
        self._lock = threading.RLock()

    @property
    def state(self) -> State:
        """Present state in the progress of a batch."""
        return self._state

    def read(self, name: str) -> Any:
        """Return the value of a batch's field, after the steps of progress that it needs."""
        if name in METADATA:
            return self._state.read(name)
        with self._lock:
            while (following := self._state.advance(name)) is not None:
                self._state = following
            return self._state.read(name)

    def to(self, device: torch.device, non_blocking: bool) -> Progress | None:
        """Return the progress of the same batch on a device; None if something may be left to compute.

        Work that may be left is shared.
        """
        moved = self._state.to(device, non_blocking)
        return None if moved is None else Progress(moved)

    def pin(self) -> None:
        """Pin a batch's CPU tensors, and start its progress ahead of its use if that is possible."""
        with self._lock:
            pinned = self._state.pinned()
            if pinned is not self._state:
                self._state = pinned
                self._start()

    def start_late(self) -> bool:
        """Start a batch's progress in a slot that was released; return False if it was started or read."""
        # Never blocks: two readers that each start the other's batch would wait for ever.
        if not self._lock.acquire(blocking=False):
            return False
        try:
            return self._start()
        finally:
            self._lock.release()

    def packed(self) -> State:
        """Return the state in a batch's progress that a pickle carries.

        All fields if they can be computed here, else as collated.
        """
        with self._lock:
            if isinstance(self._state, Waiting) and self._state.live_runtime() is None:
                return self._state
            return self._finished()

    def _start(self) -> bool:
        state = self._state
        if not isinstance(state, Waiting) or not state.is_untouched:
            return False
        try:
            self._state = state.start(self)
        except Exception as error:  # noqa: BLE001  raised when this batch is read, which may be after another one
            self._state = replace(state, error=KeptError.of(error))
        return True

    def _finished(self) -> Ready:
        """Finish the progress of a batch and return all fields, detached.

        Computes those that are not there.
        """
        for name in FIELDS:
            self.read(name)
        assert isinstance(self._state, Ready)
        return self._state.detached()

    def __deepcopy__(self, memo: dict[int, Any]) -> Progress:
        with self._lock:
            untouched = isinstance(self._state, Waiting) and self._state.is_untouched
            return Progress(copy.deepcopy(self._state if untouched else self._finished(), memo))


class Target:
    """Device that `AudioBatch.to` asks for while a batch is in progress, and the fields already copied there.

    Args:
        device: The device.
        non_blocking: Return before copies to an accelerator are done.
    """

    def __init__(self, device: torch.device, non_blocking: bool) -> None:
        self.device = device
        self.non_blocking = non_blocking
        self._copies: dict[str, tuple[Any, Any]] = {}

    def copy(self, name: str, value: Any) -> Any:
        """Return the value of a field of a batch in progress on the device asked for, and copy it once."""
        # A value that was computed again, with a gradient, is another one.
        if name not in self._copies or self._copies[name][0] is not value:
            self._copies[name] = value, to_device(value, self.device, non_blocking=self.non_blocking)
        return self._copies[name][1]

    def describe(self, name: str, description: str) -> str:
        """Describe a field of a batch in progress by its copy on the device asked for.

        If it has none, the description says that it will be copied.
        """
        if name in self._copies:
            return describe(self._copies[name][1], device=True)
        return f"{description}, to be read on {self.device}"
