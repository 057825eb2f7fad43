"""Files of the same bytes in a surveyed corpus: by their size, then by a hash of all of them."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence

from audiofeed.data.readers import AudioInfo
from audiofeed.progress import with_progress

_BLOCK = 1 << 20
_HEAD = 1 << 14


def find_duplicates(infos: Sequence[AudioInfo], *, progress: bool | None = None) -> list[list[str]]:
    """Find files of the same bytes in a surveyed corpus.

    Files of one size are compared by a hash of their first 16 KiB, those that agree by one of all their bytes. A file
    that cannot be read any more is no duplicate.

    Args:
        infos: Headers of the files.
        progress: As in `AudioFolder`.

    Returns:
        The groups of paths, the first path of each in order.

    >>> find_duplicates([])
    []
    """
    by_size: defaultdict[object, list[str]] = defaultdict(list)
    for info in infos:
        by_size[info.size].append(info.path)
    alike = [paths for paths in by_size.values() if len(paths) > 1]
    for limit in (_HEAD, None):
        total = sum(map(len, alike))
        marks: defaultdict[object, list[str]] = defaultdict(list)
        numbered = ((group, path) for group, paths in enumerate(alike) for path in paths)
        for group, path in with_progress(numbered, what="comparing files", total=total, progress=progress):
            mark = _mark(path, limit)
            if mark is not None:
                marks[group, mark].append(path)
        alike = [paths for paths in marks.values() if len(paths) > 1]
    return sorted(sorted(paths) for paths in alike)


def _mark(path: str, limit: int | None) -> bytes | None:
    """Hash a file of a surveyed corpus, or its first bytes."""
    state = hashlib.blake2b(digest_size=16)
    try:
        with open(path, "rb", buffering=0) as file:
            for block in _blocks(file.fileno(), limit):
                state.update(block)
    except OSError:
        return None
    return state.digest()


def _blocks(fd: int, limit: int | None) -> Iterable[bytes]:
    if limit is not None:
        yield os.read(fd, limit)
        return
    while block := os.read(fd, _BLOCK):
        yield block
