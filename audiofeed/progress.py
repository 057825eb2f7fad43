"""A progress bar on the terminal for work that takes long: the scan of a folder, the statistics of a data set."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

# work shorter than this many seconds needs no progress bar
_PATIENCE = 1.0

T = TypeVar("T")


def with_progress(
    parts: Iterable[T],
    *,
    what: str,
    total: int | None,
    progress: bool | None,
    size: Callable[[Any], int] = lambda part: 1,
) -> Iterator[T]:
    """Pass on the parts of long work and draw a progress bar of it on the terminal.

    Args:
        parts: what is passed on.
        what: the words before the bar.
        total: the sizes of all parts together; None where that is not known.
        progress: True draws the bar; None draws it on a terminal once the work has taken over a second; False never.
        size: of a part; by default 1.

    >>> list(with_progress([1, 2], what="counting", total=2, progress=False))
    [1, 2]
    """
    ahead = iter(parts)
    if progress is False or (progress is None and not sys.stderr.isatty()):
        yield from ahead
        return
    begun = time.monotonic()
    done = 0
    for part in ahead:
        done += size(part)
        yield part
        if progress or time.monotonic() - begun > _PATIENCE:
            break
    else:
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, completed=done)
        for part in ahead:
            bar.advance(task, size(part))
            yield part
