"""Ctrl-C reaches the training process alone."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def shielded_children() -> Iterator[None]:
    """Hold Ctrl-C back in a ``with`` block, and for good in the processes started in it.

    A terminal sends Ctrl-C to every process of the group. A reading process would answer with a traceback of its own;
    one that inherits a blocked signal never sees it, and ends when the training process tells it to. A Ctrl-C that
    comes inside the block counts when the block is left.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
