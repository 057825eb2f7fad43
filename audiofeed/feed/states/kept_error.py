"""The error of work on a batch ahead of its use, kept until the batch is read."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType


@dataclass(frozen=True, eq=False)
class KeptError:
    """Error that a waiting batch state keeps for the first read, from work ahead of its use."""

    error: Exception
    traceback: TracebackType | None

    @classmethod
    def of(cls, error: Exception) -> KeptError:
        """Keep an error in a waiting batch state as it was caught."""
        return cls(error, error.__traceback__)

    def again(self) -> Exception:
        """Return the error that a waiting batch state kept; each raise shows the same traceback."""
        return self.error.with_traceback(self.traceback)
