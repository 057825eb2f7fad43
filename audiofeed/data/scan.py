"""Find audio files and read their headers, once, when a dataset is made."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from audiofeed.data.columns import PackedStrings
from audiofeed.data.errors import AudioReadError
from audiofeed.data.readers import AudioInfo, read_info

# From a local disk eight threads take longer than one, for they spend it handing the interpreter to each other; from a
# network file system, where each open waits, they take an eighth (benchmarks/reading.py). So the files decide:
# threads start if a header takes longer than this many seconds.
_SLOW = 0.0005
_THREADS = 8
_CHUNK = 16
# a scan shorter than this needs no progress bar
_PATIENCE = 1.0

_ROW = np.dtype(
    [("rate", "<u4"), ("channels", "<u2"), ("frames", "<i8"), ("kind", "<u2"), ("offset", "<i8"), ("size", "<i8")]
)


class FileTable:
    """Headers of many audio files in columns, as a scan of a dataset's files gives them.

    Args:
        infos: One per file.
    """

    def __init__(self, infos: Sequence[AudioInfo]) -> None:
        self.paths = PackedStrings(info.path for info in infos)
        # the readers themselves: a worker that never saw them registered reads with them all the same
        self._kinds = list(dict.fromkeys((info.format, info.subtype, info.reader) for info in infos))
        number = {kind: i for i, kind in enumerate(self._kinds)}
        self._rows = np.array(
            [
                (i.sample_rate, i.channels, i.frames, number[i.format, i.subtype, i.reader], i.data_offset, i.size)
                for i in infos
            ],
            dtype=_ROW,
        )

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def sample_rates(self) -> np.ndarray:
        """Sample rate of each scanned audio file in Hz."""
        return self._rows["rate"].astype(np.int64)

    @property
    def channels(self) -> np.ndarray:
        """Channel count of each scanned audio file."""
        return self._rows["channels"]

    @property
    def frames(self) -> np.ndarray:
        """Samples per channel of each scanned audio file."""
        return self._rows["frames"]

    @property
    def decoded(self) -> np.ndarray:
        """Mask of scanned audio files: True for each whose samples are decoded rather than read by position."""
        return self._rows["offset"] < 0

    def info(self, index: int) -> AudioInfo:
        """Return the header of one scanned audio file.

        Args:
            index: Index of the file.

        Returns:
            The header, with the reader that reads the file.
        """
        rate, channels, frames, kind, offset, size = self._rows[index].item()
        form, subtype, reader = self._kinds[kind]
        return AudioInfo(self.paths[index], rate, channels, frames, form, subtype, offset, size, reader)


def find_files(root: str, extensions: Iterable[str]) -> tuple[list[str], int]:
    """Scan a folder for files that have one of the extensions; return them sorted, and the number of others.

    Symbolic links to folders are followed, each folder once. Names that begin with a dot are skipped: beside each
    "a.wav" some systems leave a "._a.wav" that is not audio.

    Args:
        root: The folder.
        extensions: Lower-case endings with the dot; the case of the files' names does not matter.

    Returns:
        The sorted paths, and the number of other files.
    """
    endings = tuple(extensions)
    found: list[str] = []
    others = 0
    seen: set[tuple[int, int]] = set()
    folders = [root]
    while folders:
        folder = folders.pop()
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    folders.append(entry.path)
                elif entry.name.lower().endswith(endings):
                    found.append(entry.path)
                else:
                    others += 1
    return sorted(found), others


def scan(paths: Sequence[str], *, progress: bool | None = None) -> list[AudioInfo | AudioReadError]:
    """Scan audio files: read the header of each, in several threads if opening a file is slow.

    Args:
        paths: The files.
        progress: True draws a progress bar; None draws one on a terminal if the scan takes over a second.

    Returns:
        For each path its header, or the error that says why it cannot be read.
    """
    results = _with_progress(_in_chunks(paths), len(paths), progress)
    return [result for chunk in results for result in chunk]


def _in_chunks(paths: Sequence[str]) -> Iterator[list[AudioInfo | AudioReadError]]:
    """Scan headers of audio files in chunks, first in this thread, then in several if that is slow."""
    done = 0
    while done < len(paths):
        chunk = paths[done : done + _CHUNK]
        begun = time.monotonic()
        results = _read_infos(chunk)
        slow = time.monotonic() - begun > _SLOW * len(chunk)
        done += len(chunk)
        yield results
        if slow:
            break
    if done < len(paths):
        rest = [paths[i : i + _CHUNK] for i in range(done, len(paths), _CHUNK)]
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="audiofeed-scan") as pool:
            yield from pool.map(_read_infos, rest)


def _read_infos(paths: Sequence[str]) -> list[AudioInfo | AudioReadError]:
    results: list[AudioInfo | AudioReadError] = []
    for path in paths:
        try:
            results.append(read_info(path))
        except AudioReadError as error:
            # the traceback would keep every frame of the scan alive
            results.append(error.with_traceback(None))
    return results


def _with_progress(
    chunks: Iterator[list[AudioInfo | AudioReadError]], total: int, progress: bool | None
) -> Iterator[list[AudioInfo | AudioReadError]]:
    """Pass on the chunks of a scan of audio files and draw its progress."""
    if progress is False or (progress is None and not sys.stderr.isatty()):
        yield from chunks
        return
    begun = time.monotonic()
    done = 0
    for chunk in chunks:
        done += len(chunk)
        yield chunk
        if progress or time.monotonic() - begun > _PATIENCE:
            break
    else:
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("reading headers"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("headers", total=total, completed=done)
        for chunk in chunks:
            bar.advance(task, len(chunk))
            yield chunk
