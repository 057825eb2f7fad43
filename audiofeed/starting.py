"""Ctrl-C while the command `audiofeed` starts: most of that time is the import of torch, before any of its own code."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130


def is_command(arguments: Sequence[str], original: Sequence[str]) -> bool:
    """Return True in the process of the command `audiofeed`, or of `python -m audiofeed`, alone.

    Args:
        arguments: `sys.argv`; under -m its first entry is "-m" as long as the package is imported.
        original: `sys.orig_argv`; in the processes that a command starts it has none of the command's arguments.

    >>> is_command(["-m", "demo"], ["python", "-m", "audiofeed", "demo"])
    True
    >>> is_command(["train.py"], ["python", "train.py"])
    False
    """
    at = len(original) - len(arguments)
    if not arguments or at < 0 or list(original[at + 1 :]) != list(arguments[1:]):
        return False
    if arguments[0] == "-m":
        # the name may stand in one word with the option
        return original[at] == "audiofeed" or (original[at][:1] == "-" and original[at].endswith("maudiofeed"))
    return original[at] == arguments[0] and os.path.basename(arguments[0]) == "audiofeed"


def leave_at_interrupt() -> None:
    """Let Ctrl-C end the process of the command `audiofeed` at once, with a line in place of a traceback.

    Where Ctrl-C is ignored, or has a handler of its own, it stays so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        with contextlib.suppress(ValueError):  # signals belong to the main thread
            signal.signal(signal.SIGINT, _leave)


def interrupt_as_usual() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again: the command `audiofeed` has started, and ends it in order."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    # an exception would come out of the middle of an import, which nothing around it can be told to expect, and the end
    # of the interpreter waits for what the import has begun
    with contextlib.suppress(OSError):
        os.write(2, b"audiofeed: interrupted\n")
    os._exit(INTERRUPTED)


# `audiofeed` imports this file before all others; in any other process this is a comparison of two lists
if is_command(getattr(sys, "argv", []), sys.orig_argv):
    leave_at_interrupt()
