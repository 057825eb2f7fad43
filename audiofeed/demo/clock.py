"""Where the time of a loop goes, measured from inside it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch


class Clock:
    """Clock of the demo: seconds by part of a loop; the time that no part claims is "other".

    On an accelerator it waits for the device at both ends of a part, so that work is charged to the part that asked for
    it and not to the next one that has to wait.

    Args:
        device: Where the loop computes.
        parts: The names of the parts, in the order to show.

    >>> clock = Clock(torch.device("cpu"), ["data", "model"])
    >>> with clock.running(), clock.part("model"):
    ...     time.sleep(0.01)
    >>> shares = clock.shares()
    >>> list(shares), shares["model"] > 50, round(sum(shares.values()), 6)
    (['data', 'model', 'other'], True, 100.0)
    """

    def __init__(self, device: torch.device, parts: Sequence[str]) -> None:
        self._device = device
        self._seconds = dict.fromkeys(parts, 0.0)
        self.total = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count a ``with`` block towards the total of the demo's clock, the parts inside included."""
        start = self._now()
        try:
            yield
        finally:
            self.total += self._now() - start

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count a ``with`` block inside a running one towards one part on the demo's clock.

        Args:
            name: One of the parts.
        """
        start = self._now()
        yield
        self._seconds[name] += self._now() - start

    def seconds(self) -> dict[str, float]:
        """Return the seconds by part on the demo's clock, "other" last; they sum to the total."""
        return {**self._seconds, "other": max(0.0, self.total - sum(self._seconds.values()))}

    def shares(self) -> dict[str, float]:
        """Return each part's percentage of the time on the demo's clock, "other" last; they sum to 100."""
        seconds = self.seconds()
        whole = sum(seconds.values()) or 1.0
        return {name: 100.0 * value / whole for name, value in seconds.items()}

    def _now(self) -> float:
        if self._device.type != "cpu":
            torch.get_device_module(self._device).synchronize(self._device)
        return time.perf_counter()
