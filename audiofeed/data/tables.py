"""Rows from CSV, TSV, JSON Lines and Parquet files, each with the number an editor would show."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any


@dataclass(frozen=True, slots=True)
class Table:
    """Table of a manifest's rows, each with its line or row number.

    Args:
        name: The file, or "the list" for rows that do not come from a file.
        unit: The unit of `numbers`: "line" of a text file, else "row", both from 1.
        numbers: One per row.
        rows: Values by column name.
        text: True if every value is a string because the format has no other type.
    """

    name: str
    unit: str
    numbers: list[int]
    rows: list[dict[str, Any]]
    text: bool

    def place(self, index: int) -> str:
        """Describe the place of a row in a manifest's table, for messages.

        Args:
            index: Index of the row.

        Returns:
            For example "line 3 of train.csv".
        """
        return f"{self.unit} {self.numbers[index]} of {self.name}"


def read_table(source: str | os.PathLike[str] | Iterable[Mapping[str, Any]]) -> Table:
    """Read a manifest's table of rows from a CSV, TSV, JSON Lines or Parquet file, or from a list.

    Args:
        source: A .csv, .tsv, .jsonl, .ndjson or .parquet file, or the rows themselves.

    Returns:
        The rows, each with its line or row number.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The extension is not one of those, a line is broken, or there are no rows.
        TypeError: A row is not a mapping.
        ModuleNotFoundError: The file is Parquet and pyarrow is not installed.

    >>> read_table([{"path": "a.wav"}]).place(0)
    'row 1 of the list'
    """
    if not isinstance(source, (str, bytes, os.PathLike)):
        rows = []
        for number, row in enumerate(source, 1):
            if not isinstance(row, Mapping):
                raise TypeError(f"row {number} of the list is {row!r}; it must be a dict with a path")
            rows.append(dict(row))
        table = Table("the list", "row", list(range(1, len(rows) + 1)), rows, text=False)
    else:
        name = os.fsdecode(source)
        ending = PurePath(name).suffix.lower()
        readers: dict[str, Callable[[str], Table]] = {
            ".csv": lambda name: _read_delimited(name, ","),
            ".tsv": lambda name: _read_delimited(name, "\t"),
            ".jsonl": _read_json_lines,
            ".ndjson": _read_json_lines,
            ".parquet": _read_parquet,
        }
        if ending not in readers:
            raise ValueError(f"source={name!r} must end in one of {', '.join(readers)}, or be a list of dicts")
        if not os.path.isfile(name):
            raise FileNotFoundError(f"source={name!r} does not exist, or is not a file")
        table = readers[ending](name)
    if not table.rows:
        raise ValueError(f"source={table.name!r} has no rows")
    return table


def _read_delimited(name: str, delimiter: str) -> Table:
    numbers: list[int] = []
    rows: list[dict[str, Any]] = []
    # utf-8-sig: spreadsheets put a byte-order mark before the first column's name
    with open(name, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter, strict=True)
        try:
            for row in reader:
                if None in row or None in row.values():
                    got = len([value for key, value in row.items() if key is not None and value is not None])
                    got += len(row.get(None) or ())
                    raise ValueError(
                        f"line {reader.line_num} of {name} has {got} values for {len(reader.fieldnames or ())} "
                        "columns; put quotes around a value that holds the delimiter"
                    )
                numbers.append(reader.line_num)
                rows.append(row)
        except csv.Error as error:
            raise ValueError(f"line {reader.line_num} of {name} is broken: {error}") from error
        except UnicodeDecodeError as error:
            raise ValueError(f"{name} is not UTF-8 text: {error}; save it as UTF-8") from error
    return Table(name, "line", numbers, rows, text=True)


def _read_json_lines(name: str) -> Table:
    numbers: list[int] = []
    rows: list[dict[str, Any]] = []
    with open(name, encoding="utf-8-sig") as file:
        for number, line in enumerate(_text_lines(file, name), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number} of {name} is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f"line {number} of {name} is {line.strip()[:60]!r}; it must be an object with a path")
            numbers.append(number)
            rows.append(row)
    return Table(name, "line", numbers, rows, text=False)


def _text_lines(file: Iterable[str], name: str) -> Iterator[str]:
    try:
        yield from file
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8 text: {error}; save it as UTF-8") from error


def _read_parquet(name: str) -> Table:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ModuleNotFoundError(
            f"source={name!r} needs the package pyarrow: pip install audiofeed[parquet]", name="pyarrow"
        ) from error
    try:
        rows = pyarrow.parquet.read_table(name).to_pylist()
    except pyarrow.ArrowException as error:
        raise ValueError(f"source={name!r} is not a Parquet file that pyarrow can read: {error}") from error
    return Table(name, "row", list(range(1, len(rows) + 1)), rows, text=False)
