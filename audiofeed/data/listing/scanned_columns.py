"""Columns of a manifest that hold the headers of its files, as `audiofeed scan --write` writes them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from audiofeed.arguments.checks import warn_caller
from audiofeed.data.errors import AudioReadError
from audiofeed.data.listing.tables import Table, is_missing, shown
from audiofeed.data.readers import AudioInfo, read_info
from audiofeed.data.readers.base import Reader
from audiofeed.data.readers.changes import change_of

# all of them together are the header of a file; those of text first
_TEXTS = ("format", "subtype", "reader")
_NUMBERS = {"sample_rate": 1, "channels": 1, "frames": 1, "data_offset": -2, "size": 1, "mtime_ns": -(2**63)}
# for people; it follows from the others
LENGTH_COLUMN = "seconds"
# in a table that holds text alone: says that its targets name classes, as they stand, whatever they look like
TYPE_COLUMN, NAMED = "target_type", "class"
HEADER_COLUMNS = ("sample_rate", "channels", "frames", "format", "subtype", "data_offset", "reader", "size", "mtime_ns")


def header_cells(info: AudioInfo, settled: bool) -> dict[str, Any]:
    """Return the cells of a manifest's row that hold the header of its file.

    Args:
        info: The header.
        settled: False for a file that was written so shortly before the scan that a later change might not show in its
            time; its size and time stay empty, so that its header is read again.

    >>> info = AudioInfo("a.wav", 8000, 1, 4000, "WAV", "PCM_16", size=8044, mtime_ns=10**18)
    >>> header_cells(info, False)["frames"], header_cells(info, False)["size"]
    (4000, None)
    """
    # a file that holds less than it promises is warned of, or refused, whenever its header is read
    known = settled and info.missing == 0 and info.mtime_ns != -1
    return {
        "sample_rate": info.sample_rate,
        "channels": info.channels,
        "frames": info.frames,
        "format": info.format,
        "subtype": info.subtype,
        "data_offset": info.data_offset,
        "reader": "" if info.reader is None else info.reader.name,
        "size": info.size if known else None,
        "mtime_ns": info.mtime_ns if known else None,
    }


class ScannedColumns:
    """Headers of the files of a manifest, from its own columns, each as long as the file's size and time are the same.

    Another machine may read a format by another reader, or in another version. So the first file of each format is read
    all the same, and if its header differs from its row, all rows of that format are left aside.

    Args:
        table: The manifest.
        paths: The path of the file of each row.
    """

    def __init__(self, table: Table, paths: Sequence[str]) -> None:
        self._table = table
        found = {name: table.find(name) for name in HEADER_COLUMNS}
        self._names = {name: column for name, column in found.items() if column is not None}
        self._row: dict[str, int] = {}
        if self:
            for i, path in enumerate(paths):
                self._row.setdefault(path, i)
        self._trusted: dict[tuple[str, ...], Reader | None] = {}
        self._changed: list[tuple[str, str]] = []

    def __bool__(self) -> bool:
        return len(self._names) == len(HEADER_COLUMNS)

    @property
    def names(self) -> list[str]:
        """Names of the columns that a scan wrote to a manifest, as its table has them; none if not all are there."""
        if not self:
            return []
        seconds = self._table.find(LENGTH_COLUMN)
        return [*self._names.values(), *([] if seconds is None else [seconds])]

    @property
    def type_column(self) -> str | None:
        """Column by which a scan says that a manifest's targets are names of classes; None if there is none."""
        column = self._table.find(TYPE_COLUMN) if self and self._table.text else None
        if column is None:
            return None
        said = {row[column] for row in self._table.rows}
        # rows that were added by hand may leave it empty
        return column if NAMED in said and said <= {NAMED, ""} else None

    def find(self, path: str) -> AudioInfo | AudioReadError | None:
        """Return the header that a manifest's row gives, if the file has not changed since; one `stat` of it.

        Args:
            path: The file.

        Returns:
            Its header or None; the error of the first file of a format that cannot be read any more.

        Raises:
            ValueError: A cell of the row is no header's.
        """
        index = self._row.get(path)
        numbers = None if index is None else self._numbers(index)
        if index is None or numbers is None:
            return None
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return None  # reading the header says what is wrong
        change = change_of(numbers["size"], numbers["mtime_ns"], status.st_size, status.st_mtime_ns)
        if change is not None:
            self._changed.append((path, change))
            return None
        kind = tuple(str(self._cell(index, name)) for name in _TEXTS)
        info = AudioInfo(
            path, numbers["sample_rate"], numbers["channels"], numbers["frames"], kind[0], kind[1],
            numbers["data_offset"], numbers["size"], None, 0, status.st_mtime_ns,
        )  # fmt: skip
        if kind not in self._trusted:
            try:
                sample = read_info(path)
            except AudioReadError as error:
                self._trusted[kind] = None
                return error.with_traceback(None)
            reader = sample.reader
            alike = reader is not None and reader.name == kind[2] and dataclasses.replace(sample, reader=None) == info
            self._trusted[kind] = reader if alike else None
            return sample
        info.reader = self._trusted[kind]
        return None if info.reader is None else info

    def keep(self, paths: Sequence[str], results: Sequence[AudioInfo | AudioReadError], fresh: Sequence[int]) -> None:
        """Warn once of the files that changed since a manifest's columns of headers were written."""
        if self._changed:
            path, change = min(self._changed)
            warn_caller(
                f"{len(self._changed)} of {len(self._row)} files changed since they were scanned for "
                f"{self._table.name}, so their headers are read again; the first: {path!r}: {change}; write the "
                "manifest anew with `audiofeed scan`"
            )
            self._changed = []

    def _cell(self, index: int, name: str) -> Any:
        return self._table.rows[index].get(self._names[name])

    def _numbers(self, index: int) -> dict[str, int] | None:
        """Return the numbers of a header in a manifest's row; None if a cell is empty."""
        found = {}
        for name, least in _NUMBERS.items():
            value = self._cell(index, name)
            if value == "" or is_missing(value):
                return None
            try:
                number = int(value)
                right = number == float(value) if isinstance(value, float) else True
            except (TypeError, ValueError, OverflowError):
                number, right = 0, False
            if not right or not least <= number < 2**63:
                raise ValueError(
                    f"{self._table.place(index)}: {self._names[name]}={shown(value)} must be an integer, {least} or "
                    "more, as `audiofeed scan` writes it, or empty"
                )
            found[name] = number
        return found
