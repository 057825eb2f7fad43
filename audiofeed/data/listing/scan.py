"""Find audio files and read their headers, once, when a dataset is made."""

from __future__ import annotations

import functools
import heapq
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

import numpy as np

from audiofeed.data.errors import AudioReadError
from audiofeed.data.listing.columns import PackedStrings
from audiofeed.data.readers import AudioInfo, read_info
from audiofeed.progress import with_progress

# From a local disk eight threads take longer than one, for they spend it handing the interpreter to each other; from a
# network file system, where each open waits, they take an eighth (benchmarks/reading.py). So the files decide:
# threads start if a header takes longer than this many seconds.
_SLOW = 0.0005
_THREADS = 8
_CHUNK = 16
# a message names this many extensions
_NAMED = 10
# files that lie beside recordings and hold none: text, tables, labels, pictures, sums
_BESIDE = {
    ".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".xml", ".yaml", ".yml", ".toml",
    ".ini", ".cfg", ".html", ".htm", ".pdf", ".doc", ".docx", ".xls", ".xlsx", ".parquet", ".log", ".py", ".sh",
    ".ipynb", ".bib", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".lab", ".textgrid", ".trn", ".phn", ".wrd",
    ".ctm", ".stm", ".rttm", ".uem", ".eaf", ".srt", ".vtt", ".lrc", ".jams", ".mid", ".midi", ".md5", ".sha1",
    ".sha256", ".sha512",
}  # fmt: skip
_BESIDE_NAMES = {
    "readme", "license", "licence", "copying", "copyright", "notice", "authors", "changelog", "changes",
    "citation",
}  # fmt: skip

_ROW = np.dtype(
    [
        ("rate", "<u4"), ("channels", "<u2"), ("frames", "<i8"), ("kind", "<u2"), ("offset", "<i8"), ("size", "<i8"),
        ("mtime_ns", "<i8"),
    ]
)  # fmt: skip


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
                (
                    i.sample_rate, i.channels, i.frames, number[i.format, i.subtype, i.reader], i.data_offset, i.size,
                    i.mtime_ns,
                )
                for i in infos
            ],
            dtype=_ROW,
        )  # fmt: skip

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
    def subtypes(self) -> np.ndarray:
        """How each scanned audio file stores its samples, as in `AudioInfo.subtype`."""
        return np.array([subtype for _, subtype, _ in self._kinds])[self._rows["kind"]]

    @property
    def decoded(self) -> np.ndarray:
        """Mask of scanned audio files: True for each whose samples are decoded rather than read by position."""
        return self._rows["offset"] < 0

    def rate(self, index: int) -> int:
        """Return the sample rate of one scanned audio file in Hz.

        Args:
            index: Index of the file.
        """
        return int(self._rows["rate"][index])

    def info(self, index: int) -> AudioInfo:
        """Return the header of one scanned audio file.

        Args:
            index: Index of the file.

        Returns:
            The header, with the reader that reads the file.
        """
        rate, channels, frames, kind, offset, size, mtime_ns = self._rows[index].item()
        form, subtype, reader = self._kinds[kind]
        return AudioInfo(self.paths[index], rate, channels, frames, form, subtype, offset, size, reader, 0, mtime_ns)


class FoundFiles(NamedTuple):
    """Files that a scan of a folder found, and all that it did not take.

    Args:
        paths: The audio files, sorted.
        passed_over: Number of other files by lower-case extension, the most frequent first; "" for names without one,
            "broken link" for links to nothing.
        unexpected: True if any of those may hold sound: their extension is not one of text, tables and pictures.
        faults: Folders that cannot be entered and links that cannot be followed.
        empty: Folders below that hold nothing, as that of a class whose files are still to come; sorted.
    """

    paths: list[str]
    passed_over: dict[str, int]
    unexpected: bool
    faults: list[AudioReadError]
    empty: list[str]


def find_files(root: str, extensions: Iterable[str], beside: Iterable[str] = (), own: str = "") -> FoundFiles:
    """Scan a folder for files that have one of the extensions.

    Links to folders are followed after all real folders, in the order of their sorted paths, and each folder is entered
    once: the same path is found on every file system. Names that begin with a dot are skipped: beside each "a.wav" some
    systems leave a "._a.wav" that is not audio.

    Args:
        root: The folder.
        extensions: Lower-case endings with the dot; the case of the files' names does not matter.
        beside: Endings of files that are known to lie beside the recordings, such as their labels.
        own: A file of ours that may lie among them and is no news, by its real path.

    Returns:
        The sorted paths, and what was passed over.
    """
    walk = _Walk(tuple(extensions), _BESIDE.union(beside), own)
    walk.enter(root)
    while walk.links:
        walk.enter(heapq.heappop(walk.links))
    counts = dict(sorted(walk.others.items(), key=lambda item: (-item[1], item[0])))
    return FoundFiles(sorted(walk.paths), counts, walk.unexpected, walk.faults, sorted(walk.empty))


def count_by_extension(passed_over: Mapping[str, int]) -> str:
    """Describe the files that a scan of a folder passed over, for a message.

    Args:
        passed_over: Number of files by extension, the most frequent first.

    Returns:
        The numbers in one line, those after the tenth summed up.

    >>> count_by_extension({".m4a": 8, "": 1})
    '8 .m4a, 1 without an extension'
    """
    named = [f"{count} {ending or 'without an extension'}" for ending, count in passed_over.items()]
    rest = sum(list(passed_over.values())[_NAMED:])
    return ", ".join(named[:_NAMED] + ([f"{rest} of other kinds"] if rest else []))


class _Walk:
    """Walk through the folders of a scan: the audio files found, links to follow, and everything else."""

    def __init__(self, endings: tuple[str, ...], beside: set[str], own: str) -> None:
        self.own, self.own_name = own, os.path.basename(own)
        self.endings = endings
        self.beside = beside
        self.paths: list[str] = []
        self.links: list[str] = []  # a heap
        self.others: Counter[str] = Counter()
        self.unexpected = False
        self.faults: list[AudioReadError] = []
        self.empty: list[str] = []
        self._entered: set[tuple[int, int]] = set()

    def enter(self, folder: str) -> None:
        """Scan a folder and its real subfolders for audio files, unless it was entered before."""
        waiting = [folder]
        while waiting:
            folder = waiting.pop()
            try:
                status = os.stat(folder)
                if (status.st_dev, status.st_ino) in self._entered:
                    continue
                self._entered.add((status.st_dev, status.st_ino))
                with os.scandir(folder) as entries:
                    seen = [entry for entry in entries if not entry.name.startswith(".")]
                inside = [entry.path for entry in seen if self._is_folder(entry)]
                if not seen:
                    self.empty.append(folder)
            except OSError as error:
                self._fault(folder, f"the folder cannot be entered: {error.strerror or error}")
                continue
            waiting += sorted(inside, reverse=True)

    def _is_folder(self, entry: os.DirEntry[str]) -> bool:
        """Take note of an entry of a scanned folder; return True for a real subfolder."""
        taken = entry.name.lower().endswith(self.endings)
        if entry.is_symlink():
            try:
                mode = os.stat(entry.path).st_mode
            except FileNotFoundError:
                # of an audio file: reading its header says that it is missing
                self._file(entry, taken, broken=True)
                return False
            except OSError as error:
                if taken:
                    self.paths.append(entry.path)
                else:
                    self._fault(entry.path, f"the link cannot be followed: {error.strerror or error}")
                return False
            if stat.S_ISDIR(mode):
                heapq.heappush(self.links, entry.path)
                return False
        elif entry.is_dir(follow_symlinks=False):
            return True
        self._file(entry, taken)
        return False

    def _file(self, entry: os.DirEntry[str], taken: bool, broken: bool = False) -> None:
        if taken:
            self.paths.append(entry.path)
            return
        if entry.name == self.own_name and os.path.realpath(entry.path) == self.own:
            return
        stem, ending = os.path.splitext(entry.name.lower())
        self.others["broken link" if broken else ending] += 1
        self.unexpected |= broken or not (ending in self.beside or stem in _BESIDE_NAMES)

    def _fault(self, path: str, cause: str) -> None:
        self.faults.append(AudioReadError.of(path, cause))


class KnownHeaders(Protocol):
    """Headers of audio files that are known before a scan: an index of an earlier one, or columns of a manifest."""

    def find(self, path: str) -> AudioInfo | AudioReadError | None:
        """Return what an earlier scan found in a file, or None if that is not known or the file changed since."""
        ...

    def keep(self, paths: Sequence[str], results: Sequence[AudioInfo | AudioReadError], fresh: Sequence[int]) -> None:
        """Take note of the results of a scan, those at `fresh` from the files themselves."""
        ...


def scan(
    paths: Sequence[str], *, progress: bool | None = None, known: Sequence[KnownHeaders] = ()
) -> list[AudioInfo | AudioReadError]:
    """Scan audio files: read the header of each, in several threads if opening a file is slow.

    Args:
        paths: The files.
        progress: True draws a progress bar; None draws one on a terminal if the scan takes over a second.
        known: Headers from an earlier scan, asked one after the other; only what none of them knows is read.

    Returns:
        For each path its header, or the error that says why it cannot be read.
    """
    chunks = with_progress(
        _in_chunks(paths, functools.partial(_read_infos, known)),
        what="reading headers",
        total=len(paths),
        progress=progress,
        size=lambda chunk: len(chunk[0]),
    )
    results: list[AudioInfo | AudioReadError] = []
    fresh: list[int] = []
    for found, new in chunks:
        fresh += [len(results) + i for i in new]
        results += found
    for source in known:
        source.keep(paths, results, fresh)
    return results


_Chunk = tuple[list[AudioInfo | AudioReadError], list[int]]


def _in_chunks(paths: Sequence[str], read_chunk: Callable[[Sequence[str]], _Chunk]) -> Iterator[_Chunk]:
    """Scan headers of audio files in chunks, first in this thread, then in several if that is slow."""
    done = 0
    while done < len(paths):
        chunk = paths[done : done + _CHUNK]
        begun = time.monotonic()
        results = read_chunk(chunk)
        slow = time.monotonic() - begun > _SLOW * len(chunk)
        done += len(chunk)
        yield results
        if slow:
            break
    if done < len(paths):
        rest = [paths[i : i + _CHUNK] for i in range(done, len(paths), _CHUNK)]
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="audiofeed-scan") as pool:
            yield from pool.map(read_chunk, rest)


def _read_infos(known: Sequence[KnownHeaders], paths: Sequence[str]) -> _Chunk:
    """Scan a chunk of files; return the results, and which of them no earlier scan knew."""
    results: list[AudioInfo | AudioReadError] = []
    fresh = []
    for i, path in enumerate(paths):
        found = next((found for source in known if (found := source.find(path)) is not None), None) if known else None
        if found is not None:
            results.append(found)
            continue
        fresh.append(i)
        try:
            results.append(read_info(path))
        except AudioReadError as error:
            # the traceback would keep every frame of the scan alive
            results.append(error.with_traceback(None))
    return results, fresh
