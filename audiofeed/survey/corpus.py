"""The files of a surveyed corpus and the clips that they hold: a folder's, or those that a manifest names."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from audiofeed.data.errors import AudioReadError
from audiofeed.data.listing.index import ScanIndex, is_settled
from audiofeed.data.listing.labels import NamePattern, folder_names, match_names
from audiofeed.data.listing.local import not_local
from audiofeed.data.listing.parts import frames_of, path_in, seconds_in
from audiofeed.data.listing.scan import KnownHeaders, count_by_extension, find_files, scan
from audiofeed.data.listing.scanned_columns import LENGTH_COLUMN, ScannedColumns, header_cells
from audiofeed.data.listing.tables import Table, read_table
from audiofeed.data.readers import AudioInfo, known_extensions
from audiofeed.survey.settings import ScanError

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
_TARGETS = ("target", "label", "labels")


@dataclass
class Corpus:
    """Corpus as a survey finds it.

    Args:
        source: The folder or manifest.
        infos: Headers of the good files.
        faults: The bad files, and folders that could not be searched.
        passed_over: Number of files that are no audio by their extension, by that.
        unexpected: True if any of those may hold sound all the same.
        clips: For each clip of a good file, the number of its file.
        spans: First frame and number of frames of each of those clips in its file.
        seconds: Length of each of those clips.
        rows: What a written manifest says of each of those clips, beside its path and header.
        settled: For each good file, whether its time of change tells a later change.
        text: True if the rows come from a table that holds text alone.
        bare: Classes without a good file: of a folder's bad files alone, and of folders that hold nothing; sorted.
    """

    source: str
    infos: list[AudioInfo]
    faults: list[AudioReadError]
    passed_over: dict[str, int] = field(default_factory=dict)
    unexpected: bool = False
    clips: list[int] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    seconds: np.ndarray = field(default_factory=lambda: np.zeros(0))
    rows: list[dict[str, Any]] = field(default_factory=list)
    settled: list[bool] = field(default_factory=list)
    text: bool | None = None
    bare: list[str] = field(default_factory=list)

    def labels(self) -> list[Any]:
        """Return the target of each clip of the surveyed corpus; none if it has no targets."""
        name = next((name for name in _TARGETS if self.rows and name in self.rows[0]), None)
        return [] if name is None else [row.get(name) for row in self.rows]

    def written_rows(self, folder: str) -> list[dict[str, Any]]:
        """Return the rows of a manifest of the surveyed corpus, with the headers of its files.

        Args:
            folder: Where the manifest lies; the paths of files below it count from there.
        """
        inside = os.path.join(os.path.abspath(folder), "")
        paths = [os.path.abspath(info.path) for info in self.infos]
        paths = [path[len(inside) :] if path.startswith(inside) else path for path in paths]
        cells = [
            {"path": path, LENGTH_COLUMN: round(info.duration, 6), **header_cells(info, settled)}
            for path, info, settled in zip(paths, self.infos, self.settled, strict=True)
        ]
        return [{"path": "", **row, **cells[file]} for file, row in zip(self.clips, self.rows, strict=True)]


def open_corpus(source: str, pattern: str | None, index: str | None, *, targets: bool, progress: bool | None) -> Corpus:
    """Find and scan the files of a corpus for a survey.

    Args:
        source: A folder or a manifest.
        pattern: Takes file names apart, as in `AudioFolder(target=...)`.
        index: As in `AudioFolder(index=...)`.
        targets: Whether a folder's labels are needed; if not, files of which none can be told have none.
        progress: As in `AudioFolder`.

    Raises:
        ScanError: There is nothing to scan, or a name or a row is wrong.
    """
    remote = not_local(source)
    if remote is not None:
        raise ScanError(f"{source!r} {remote}")
    if not os.path.exists(source):
        raise ScanError(f"{source!r} does not exist; name a folder of audio files, or a manifest")
    begun = time.time_ns()
    try:
        if os.path.isdir(source):
            corpus = _scan_folder(source, pattern, index, targets, progress)
        else:
            corpus = _scan_manifest(source, pattern, index, progress)
    except (ValueError, OSError) as error:
        raise ScanError(" ".join(str(error).split())) from error
    ended = time.time_ns()
    corpus.settled = [is_settled(info.mtime_ns, begun, ended) for info in corpus.infos]
    return corpus


def _scan_folder(source: str, pattern: str | None, index: str | None, targets: bool, progress: bool | None) -> Corpus:
    try:
        names = None if pattern is None else NamePattern(pattern)
    except ValueError as error:
        raise ScanError(f"--target-pattern: {error}") from error
    known = [] if index is None else [ScanIndex(index, source)]
    found = find_files(source, known_extensions(), (), *(own.path for own in known))
    if not found.paths and not found.faults:
        others = count_by_extension(found.passed_over)
        raise ScanError(
            f"{source!r} holds no audio file"
            + (f", only {others}" if others else "")
            + "; name a folder with files that end in one of "
            + ", ".join(known_extensions()[:6])
            + ", ..."
        )
    infos, faults, _ = _split(found.paths, scan(found.paths, progress=progress, known=known))
    paths = [info.path for info in infos]
    labels: Sequence[Any] = []
    columns: dict[str, list[Any]] = {}
    try:
        if names is not None:
            labels, columns = match_names(paths, names)
        else:
            labels = folder_names(paths, source)
    except ValueError as error:
        if names is not None:
            raise ScanError(f"--target-pattern: {error}") from error
        if targets:
            raise ScanError(
                f"--write takes targets from the folders' names, but some files lie in {source!r} itself and others in "
                "folders below; say how to find them with --target-pattern, as in '{target}_{take}'"
            ) from error
    rows: list[dict[str, Any]] = [{} for _ in paths]
    if any(label is not None for label in labels):
        columns = {"target": list(labels), **columns}
    for name, column in columns.items():
        for row, value in zip(rows, column, strict=True):
            row[name] = value
    return Corpus(
        source,
        infos,
        found.faults + faults,
        found.passed_over,
        found.unexpected,
        list(range(len(infos))),
        [(0, info.frames) for info in infos],
        np.array([info.duration for info in infos]),
        rows,
        bare=_bare_classes(source, names, [fault.path or "" for fault in faults], found.empty, set(labels)),
    )


def _bare_classes(
    source: str, pattern: NamePattern | None, bad: Sequence[str], empty: Sequence[str], good: set[Any]
) -> list[str]:
    """Return the classes of a surveyed folder that no good file has; bad files whose names tell none have none."""
    if good <= {None}:
        return []
    found: set[str | None] = set()
    for path in bad:
        with contextlib.suppress(ValueError):
            found.update(folder_names([path], source) if pattern is None else match_names([path], pattern)[0])
    if pattern is None:
        found.update(folder_names([os.path.join(folder, "") for folder in empty], source))
    return sorted(name for name in found - good if name is not None)


def _scan_manifest(source: str, pattern: str | None, index: str | None, progress: bool | None) -> Corpus:
    if pattern is not None:
        raise ScanError(f"--target-pattern is for a folder, and {source!r} is a manifest, which has its own targets")
    if not source.lower().endswith(TABLES):
        raise ScanError(f"{source!r} is neither a folder nor a manifest ({', '.join(TABLES)}); name one of them")
    table = read_table(source)
    folder, column = os.path.dirname(source), table.find("path") or "path"
    paths = [os.path.join(folder, path_in(table, i, column)) for i in range(len(table.rows))]
    start, duration = table.find("start"), table.find("duration")
    columns = ScannedColumns(table, paths)
    known: list[KnownHeaders] = [columns]
    if index is not None:
        known.append(ScanIndex(index, folder))
    files, old = list(dict.fromkeys(paths)), columns.names
    infos, faults, number = _split(files, scan(files, progress=progress, known=known))
    clips: list[int] = []
    spans: list[tuple[int, int]] = []
    rows = []
    for i, path in enumerate(paths):
        if path not in number:
            continue
        info = infos[number[path]]
        span = seconds_in(table, i, start), seconds_in(table, i, duration, "above 0")
        clips.append(number[path])
        spans.append(frames_of(table, i, *span, info))
        rows.append({name: value for name, value in _named(table, i, old).items() if name != column})
    seconds = np.array([frames / infos[file].sample_rate for file, (_, frames) in zip(clips, spans, strict=True)])
    return Corpus(source, infos, faults, {}, False, clips, spans, seconds, rows, text=table.text)


def _named(table: Table, index: int, old: Sequence[str]) -> dict[str, Any]:
    """Return a row of a surveyed manifest without the columns that an earlier survey wrote."""
    return {name: value for name, value in table.rows[index].items() if name not in old}


def _split(
    paths: Sequence[str], results: Sequence[AudioInfo | AudioReadError]
) -> tuple[list[AudioInfo], list[AudioReadError], dict[str, int]]:
    """Return the good files of a surveyed corpus, the bad ones, and the number of each good file."""
    infos: list[AudioInfo] = []
    faults: list[AudioReadError] = []
    number: dict[str, int] = {}
    for path, result in zip(paths, results, strict=True):
        if isinstance(result, AudioInfo):
            number[path] = len(infos)
            infos.append(result)
        else:
            faults.append(result)
    return infos, faults, number
