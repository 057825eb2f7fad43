"""A file that keeps the scan of a folder or manifest between runs: `index=` of `AudioFolder` and `AudioManifest`.

Its first line is JSON: format, version, the readers by which the headers were read, the kinds of files (format,
subtype, reader), the causes of bad files, the number of files, and a checksum of all of it. Then follow, little-endian,
a row of `_ROW` for each file, the end of each path within the text after it (int64), and that text: the paths in UTF-8,
those below the folder or beside the manifest as seen from there, so that a corpus may move together with its index.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.metadata
import json
import os
import secrets
import time
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from audiofeed.arguments.checks import check_path, warn_caller
from audiofeed.data.errors import AudioReadError
from audiofeed.data.readers import AudioInfo
from audiofeed.data.readers.base import Reader
from audiofeed.data.readers.changes import is_same_time
from audiofeed.data.readers.registry import READERS

_FORMAT = "audiofeed index"
_BEGIN = json.dumps({"format": _FORMAT})[:-1].encode()
_VERSION = 1
# packages that decode; another version may read a header otherwise, or know a format more
_DECODERS = ("soundfile", "miniaudio", "torchcodec")
# `kind` -1 is a bad file, of which `frames` is the number of its cause
_ROW = np.dtype(
    [
        ("size", "<i8"), ("mtime_ns", "<i8"), ("rate", "<u4"), ("channels", "<u2"), ("kind", "<i4"), ("frames", "<i8"),
        ("offset", "<i8"), ("missing", "<i8"),
    ]
)  # fmt: skip

# A file that was written just before its header was read may be written again without its time of change moving on:
# within a tick of the system's clock, or within a step of a file system that counts whole seconds, one or two.
_TICK, _COARSE_STEP = 20_000_000, 2_000_000_000

Result = AudioInfo | AudioReadError
_Row = tuple[int, ...]


def is_settled(mtime_ns: int, begun_ns: int, ended_ns: int) -> bool:
    """Return True if an audio file's time of change tells a later change from its state during a scan.

    Args:
        mtime_ns: The time of change that the scan saw, nanoseconds since 1970.
        begun_ns: When the scan began.
        ended_ns: When it ended.

    >>> is_settled(0, 10**18, 10**18), is_settled(10**18, 10**18, 10**18)
    (True, False)
    """
    margin = _TICK if mtime_ns % 1_000_000 else _COARSE_STEP
    return not begun_ns - margin <= mtime_ns <= ended_ns + margin


class ScanIndex:
    """Headers of audio files kept in a file between runs, each for as long as its size and time of change are the same.

    Files are added as they are scanned. The index is written whole, beside its place and then put there, so that
    several processes may make a dataset with it at once; where it cannot be written one warning says so.

    Args:
        path: The index; it need not exist yet, its folder must.
        base: The folder from which paths are kept; "" for the current one.

    Raises:
        FileNotFoundError: The folder of `path` does not exist.
        ValueError: `path` is a folder, a file that is not an index, or an index of another version.
    """

    def __init__(self, path: str | os.PathLike[str], base: str) -> None:
        self.path = os.path.realpath(check_path("index", path, "a file that keeps the scan"))
        self._begun = time.time_ns()
        self._prefix = os.path.join(base, "") if base else ""
        self._readers = _readers_now()
        self._kinds: list[tuple[str, str, str]] = []
        self._causes: list[str] = []
        # arrays: garbage collections during the scan would walk through lists, again and again
        self._columns = [array("q") for _ in _ROW.fields or ()]
        self._number: dict[str, int] = {}
        self._by_name = {reader.name: reader for reader in READERS}
        self._writes = True
        if not os.path.isdir(os.path.dirname(self.path)):
            raise FileNotFoundError(f"index={self.path!r} lies in a folder that does not exist; make the folder first")
        self._load()

    def __len__(self) -> int:
        return len(self._number)

    def find(self, path: str) -> Result | None:
        """Return what the index of scanned files knows about one, if it has not changed since; one `stat` of it.

        Args:
            path: The file.

        Returns:
            Its header, the reason why it is bad, or None.
        """
        number = self._number.get(self._name(path))
        if number is None:
            return None
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return None
        sizes, times, rates, channels, kinds, frames, offsets, missing = self._columns
        size, mtime_ns = status.st_size, status.st_mtime_ns
        if sizes[number] != size or (times[number] != mtime_ns and not is_same_time(times[number], mtime_ns)):
            return None
        if kinds[number] < 0:
            return AudioReadError.of(path, self._causes[frames[number]])
        form, subtype, reader = self._kinds[kinds[number]]
        # the time of now: a later read compares with what this file system shows
        return AudioInfo(
            path, rates[number], channels[number], frames[number], form, subtype, offsets[number], size,
            self._by_name[reader], missing[number], mtime_ns,
        )  # fmt: skip

    def keep(self, paths: Sequence[str], results: Sequence[Result], fresh: Iterable[int]) -> None:
        """Write the index of scanned files anew if there is something to add.

        Args:
            paths: The files of the dataset.
            results: The header, or the reason why it is bad, of each.
            fresh: Which of them were not found in the index.
        """
        new = self._new_rows(paths, results, fresh)
        if not new or not self._writes:
            return
        # files of another dataset of the same corpus stay, those that are gone do not
        asked = {self._name(path) for path in paths}
        kept = {
            name: tuple(column[number] for column in self._columns)
            for name, number in self._number.items()
            if name not in new and (name in asked or os.path.lexists(os.path.join(self._prefix, name)))
        }
        try:
            self._write({**kept, **new})
        except OSError as error:
            warn_caller(
                f"index={self.path!r} cannot be written: {error.strerror or error}; the dataset is made all the same, "
                "and the next run scans its files again"
            )

    def _new_rows(self, paths: Sequence[str], results: Sequence[Result], fresh: Iterable[int]) -> dict[str, _Row]:
        """Return the rows of files that were scanned anew, by their names in the index."""
        ended = time.time_ns()
        kinds = {kind: i for i, kind in enumerate(self._kinds)}
        causes = {cause: i for i, cause in enumerate(self._causes)}
        new: dict[str, _Row] = {}
        for i in fresh:
            result = results[i]
            if isinstance(result, AudioInfo):
                if result.reader is None or self._by_name.get(result.reader.name) is not result.reader:
                    continue
                kind = kinds.setdefault((result.format, result.subtype, result.reader.name), len(kinds))
                row = (
                    result.size, result.mtime_ns, result.sample_rate, result.channels, kind, result.frames,
                    result.data_offset, result.missing,
                )  # fmt: skip
            else:
                # the system's errors (no permission, a disk that fails) are no property of the file's bytes
                if isinstance(result.__cause__, OSError) or result.cause is None:
                    continue
                try:
                    status = os.stat(paths[i])
                except (OSError, ValueError):
                    continue
                cause = causes.setdefault(result.cause, len(causes))
                row = (status.st_size, status.st_mtime_ns, 0, 0, -1, cause, -1, 0)
            if row[1] < 2**63 and is_settled(row[1], self._begun, ended):
                new[self._name(paths[i])] = row
        self._kinds, self._causes = list(kinds), list(causes)
        return new

    def _name(self, path: str) -> str:
        """Return the name under which the index of scanned files knows a file."""
        if path.startswith(self._prefix):
            return path[len(self._prefix) :]
        return os.path.abspath(path)

    # the file

    def _load(self) -> None:
        """Read the index, if there is one."""
        if os.path.isdir(self.path):
            raise ValueError(f"index={self.path!r} is a folder; name a file in it")
        if os.path.exists(self.path) and not os.path.isfile(self.path):  # a pipe or a device may never end
            raise ValueError(f"index={self.path!r} is not a regular file; name another file")
        try:
            with open(self.path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return
        except OSError as error:
            self._writes = False
            warn_caller(
                f"index={self.path!r} cannot be read: {error.strerror or error}; the files are scanned without it"
            )
            return
        if not data:
            return
        self._check_is_index(data)
        line, _, body = data.partition(b"\n")
        try:
            head = json.loads(line)
            if head.get("version") != _VERSION:
                raise ValueError(
                    f"index={self.path!r} is an index of version {head.get('version')!r}, and this audiofeed reads "
                    f"version {_VERSION}; name another file, or delete it"
                )
            count, ends = head["files"], head["files"] * _ROW.itemsize
            if head.pop("digest") != _digest(head, body):
                raise KeyError("digest")
        except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError):
            warn_caller(f"index={self.path!r} is damaged, so all files are scanned again and it is written anew")
            return
        if head["readers"] != self._readers:
            return  # others might read these files otherwise
        self._kinds, self._causes = [tuple(kind) for kind in head["kinds"]], head["causes"]
        rows = np.frombuffer(body, dtype=_ROW, count=count)
        self._columns = [array("q", rows[name].astype(np.int64).tobytes()) for name in rows.dtype.names or ()]
        stops = np.frombuffer(body, dtype="<i8", count=count, offset=ends).tolist()
        text = body[ends + 8 * count :]
        self._number = {
            text[begin:end].decode("utf-8", "surrogatepass"): i
            for i, (begin, end) in enumerate(zip([0, *stops], stops, strict=False))
        }

    def _check_is_index(self, data: bytes) -> None:
        if not data.startswith(_BEGIN):
            raise ValueError(
                f"index={self.path!r} is not an index of scanned files, for it begins with {data[:16]!r}, and is left "
                "as it is; name another file, or delete it"
            )

    def _write(self, rows: dict[str, _Row]) -> None:
        """Write the index beside its place and put it there, so that nobody ever reads half of it."""
        pieces = [name.encode("utf-8", "surrogatepass") for name in rows]
        ends = np.cumsum([len(piece) for piece in pieces], dtype="<i8")
        body = np.array(list(rows.values()), dtype=_ROW).tobytes() + ends.tobytes() + b"".join(pieces)
        head = {
            "format": _FORMAT,
            "version": _VERSION,
            "readers": self._readers,
            "kinds": self._kinds,
            "causes": self._causes,
            "files": len(rows),
        }
        line = json.dumps({**head, "digest": _digest(head, body)}).encode()
        folder, name = os.path.split(self.path)
        # a name with a dot in front is no file of the folder that is scanned
        partial = os.path.join(folder, f".{name}.{os.getpid()}.{secrets.token_hex(4)}.partial")
        try:
            with open(partial, "xb") as file:
                file.write(line + b"\n" + body)
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileNotFoundError), open(self.path, "rb") as there:
                begin = there.read(len(_BEGIN))
                if begin:  # somebody may have put another file there since
                    self._check_is_index(begin)
            os.replace(partial, self.path)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(partial)


def _digest(head: dict[str, Any], body: bytes) -> str:
    """Return the checksum of an index of scanned files."""
    state = hashlib.blake2b(json.dumps(head).encode(), digest_size=16)
    state.update(body)
    return state.hexdigest()


def _readers_now() -> list[list[str]]:
    """Describe what reads headers for an index in this process: readers, their settings, and the packages below."""
    found = [[reader.name, *_settings(reader)] for reader in READERS]
    found.append(["audiofeed", importlib.import_module("audiofeed").__version__])
    for package in _DECODERS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append([package, importlib.metadata.version(package)])
    return found


def _settings(reader: Reader) -> list[str]:
    """Describe the class and the settings of a reader for an index."""
    kind = type(reader)
    texts = [f"{kind.__module__}.{kind.__qualname__}"]
    for name, value in sorted(vars(reader).items()):
        shown = ", ".join(_settings(value)) if isinstance(value, Reader) else repr(value)
        # an address differs in every process
        texts.append(f"{name}={type(value).__qualname__ if ' at 0x' in shown else shown}")
    return texts
