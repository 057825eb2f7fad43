"""Files that a survey writes: a manifest with the headers of its files, and the list of bad files."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from audiofeed.data.listing.scanned_columns import (
    HEADER_COLUMNS,
    LENGTH_COLUMN,
    NAMED,
    TYPE_COLUMN,
    ScannedColumns,
)
from audiofeed.data.listing.tables import read_table
from audiofeed.data.targets.target_types import survive_as_text
from audiofeed.survey.corpus import Corpus
from audiofeed.survey.settings import ScanError

_TEXT, _TYPED = (".csv", ".tsv"), (".jsonl", ".ndjson", ".parquet")


def check_manifest_path(path: str, text: bool | None) -> None:
    """Check, before a survey begins, that a manifest can be written there.

    Args:
        path: The manifest to write.
        text: True if its rows come from a table that holds text alone, False from one with types, None from a folder.

    Raises:
        ScanError: The ending is not a manifest's, the folder does not exist, or the kind of table does not suit.
    """
    ending = PurePath(path).suffix.lower()
    if ending not in (*_TEXT, *_TYPED):
        raise ScanError(f"--write {path!r} must end in one of {', '.join((*_TEXT, *_TYPED))}")
    if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
        raise ScanError(f"--write {path!r} lies in a folder that does not exist; make the folder first")
    if text is not None and (ending in _TEXT) != text:
        kinds = " or ".join(_TEXT if text else _TYPED)
        raise ScanError(
            f"--write {path!r}: a number in CSV is text elsewhere, and the other way around, so this manifest is "
            f"written as {kinds} only"
        )
    if ending == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise ScanError("--write of .parquet needs pyarrow: pip install 'audiofeed[parquet]'") from error


def write_manifest(corpus: Corpus, path: str) -> None:
    """Write a manifest of the good files of a surveyed corpus, with the columns that spare a second scan.

    Args:
        corpus: The files.
        path: The manifest; its ending selects the format. An older one there is written over if no column is lost.

    Raises:
        ScanError: A column of the corpus or of the file that is there would be lost, a name cannot be written in that
            format, or the file cannot be written.
    """
    check_manifest_path(path, corpus.text)
    taken = {LENGTH_COLUMN, *HEADER_COLUMNS}
    clash = sorted({name for row in corpus.rows for name in row if str(name).strip().casefold() in taken})
    if clash:
        raise ScanError(f"--write: the manifest has a column {clash[0]!r} of its own, which a scan writes; rename it")
    rows = corpus.written_rows(os.path.dirname(os.path.abspath(path)))
    ending = PurePath(path).suffix.lower()
    if corpus.text is None and ending in _TEXT:
        rows = _with_types(rows)
    names = list(dict.fromkeys(name for row in rows for name in row))
    _check_overwritten(path, names)
    if ending not in (".jsonl", ".ndjson"):
        _check_cells(rows, path, plain=ending in _TEXT)
    if ending == ".parquet":
        data = _parquet(rows)
    elif ending in _TEXT:
        text = io.StringIO()
        table = csv.DictWriter(text, names, delimiter="," if ending == ".csv" else "\t", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        data = text.getvalue().encode()
    else:
        data = "".join(json.dumps(row, default=str) + "\n" for row in rows).encode()
    write_whole(path, data, "--write")


def bad_list(bad_files: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the list of a survey's bad files: a line of JSON for each, with its path and cause."""
    return "".join(json.dumps(bad) + "\n" for bad in bad_files).encode()


def write_whole(path: str, data: bytes, option: str) -> None:
    """Write a file of a survey whole or not at all.

    Args:
        path: The file.
        data: All of its bytes.
        option: The option that named it, for the message.

    Raises:
        ScanError: The file cannot be written.
    """
    path = os.path.realpath(path)
    folder, name = os.path.split(path)
    partial = os.path.join(folder, f".{name}.{os.getpid()}.{secrets.token_hex(4)}.partial")
    try:
        with open(partial, "xb") as file:
            file.write(data)
        os.replace(partial, path)
    except OSError as error:
        raise ScanError(f"{option} {path!r} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(partial)


def _check_overwritten(path: str, names: Sequence[Any]) -> None:
    """Raise if a file stands where a survey is to write its manifest, and is no manifest of those columns."""
    if not os.path.exists(path):
        return
    try:
        table = read_table(path)
        there = table.columns()
    except (ValueError, OSError) as error:
        raise ScanError(
            f"--write {path!r} exists and is no manifest; it is left as it is: name another file"
        ) from error
    lost = [name for name in there if name not in names and name != ScannedColumns(table, []).type_column]
    if lost:
        raise ScanError(
            f"--write {path!r} exists and has a column {lost[0]!r} that would be lost; name another file, or scan that "
            "manifest itself, which keeps its columns"
        )


def _with_types(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of a surveyed folder's manifest with a column that says what its targets are, if text cannot."""
    names = [row["target"] for row in rows if "target" in row]
    if not names or survive_as_text(names):
        return rows
    if any(TYPE_COLUMN in row for row in rows):
        raise ScanError(
            f"--write: the pattern has a field {TYPE_COLUMN!r}, which CSV needs for targets that look like numbers; "
            "rename it, or write .jsonl or .parquet"
        )
    return [{**row, TYPE_COLUMN: NAMED} for row in rows]


def _check_cells(rows: Sequence[Mapping[Any, Any]], path: str, plain: bool) -> None:
    """Raise if a cell of a survey's manifest is nothing that CSV or Parquet can hold."""
    for row in rows:
        for name, value in row.items():
            if isinstance(value, str):
                if not value.isascii():
                    try:
                        value.encode()
                    except UnicodeEncodeError as error:
                        raise ScanError(
                            f"--write {path!r}: {name} is {value!r}, which is no Unicode text; write .jsonl, which can "
                            "hold names of any bytes"
                        ) from error
            elif plain and isinstance(value, (list, dict)):
                raise ScanError(f"--write {path!r}: {name} is a {type(value).__name__}; write .jsonl or .parquet")


def _parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    sink = io.BytesIO()
    try:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), sink)
    except (pyarrow.ArrowException, ValueError, TypeError) as error:
        raise ScanError(f"--write: {' '.join(str(error).split())}; write .jsonl, which can hold any column") from error
    return sink.getvalue()
