"""Rows from CSV, TSV, JSON Lines and Parquet files, each with the number an editor would show."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from audiofeed.data.listing.local import not_local

# Python makes no integer of more digits from text
_MOST_DIGITS = 4300
# a message shows this much of a value
_SHOWN = 60
# a name in JSON that does not end where its colon stands
_LOOSE_COLON = re.compile(r'"\s+:')


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

    def columns(self) -> list[str]:
        """Return the names of a manifest's columns in the order of their first row, once each."""
        if self.text or not self.rows:
            return list(self.rows[0]) if self.rows else []
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def find(self, name: str) -> str | None:
        """Find a column of a manifest's table by its name, whatever its case and the spaces around it.

        Args:
            name: The column's name.

        Returns:
            The name as the table has it, or None if there is no such column.

        Raises:
            ValueError: Several columns have that name but for case and spaces.

        >>> Table("t.csv", "line", [2], [{"Start": "0.5"}], text=True).find("start")
        'Start'
        """
        wanted = name.strip().casefold()
        found = [known for known in self.columns() if isinstance(known, str) and known.strip().casefold() == wanted]
        if len(found) > 1:
            raise ValueError(
                f"{self.name} has the columns {' and '.join(map(repr, found))}, which differ only in case or spaces; "
                "rename all but one"
            )
        return found[0] if found else None


def shown(value: Any) -> str:
    """Describe a value of a manifest's table in a message, cut to a readable length.

    Args:
        value: Any object.

    Returns:
        Its repr, or the beginning of that.

    >>> shown("a" * 1000)[-20:]
    'aaa... (1002 long)'
    """
    try:
        text = repr(value)
    except ValueError:  # an integer of too many digits
        return f"an integer of {value.bit_length()} bits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} long)"


def is_missing(value: Any) -> bool:
    """Return True for the value of an empty cell of a manifest's table: None, NaN, and pandas' NA and NaT.

    >>> is_missing(float("nan")), is_missing("")
    (True, False)
    """
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def read_table(source: str | os.PathLike[str] | Iterable[Mapping[str, Any]]) -> Table:
    """Read a manifest's table of rows from a CSV, TSV, JSON Lines or Parquet file, or from a list.

    Args:
        source: A .csv, .tsv, .jsonl, .ndjson or .parquet file, or the rows themselves.

    Returns:
        The rows, each with its line or row number.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The extension is not one of those, a line is broken, two columns have one name, text is not Unicode,
            or there are no rows. The message has the file, the line or row, and the column if it is known.
        TypeError: The source is neither, or a row is not a mapping.
        ModuleNotFoundError: The file is Parquet and pyarrow is not installed.

    >>> read_table([{"path": "a.wav"}]).place(0)
    'row 1 of the list'
    """
    if not isinstance(source, (str, bytes, os.PathLike)):
        if not isinstance(source, Iterable):
            raise TypeError(f"source={shown(source)} must be a manifest's path, or a list of dicts with a path each")
        rows = []
        for number, row in enumerate(source, 1):
            if not isinstance(row, Mapping):
                raise TypeError(f"row {number} of the list is {shown(row)}; it must be a dict with a path")
            _check_unicode(row, "row", number, "the list")
            rows.append(dict(row))
        table = Table("the list", "row", list(range(1, len(rows) + 1)), rows, text=False)
    else:
        name = os.fsdecode(source)
        remote = not_local(name)
        if remote is not None:
            raise ValueError(f"source={name!r} {remote}")
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


def _read_text(name: str) -> str:
    """Read the text of a manifest; if it is not UTF-8, name the line."""
    with open(name, "rb") as file:
        data = file.read()
    try:
        # utf-8-sig: spreadsheets put a byte-order mark before the first column's name
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} of {name} is not UTF-8 text: {error}; save it as UTF-8") from error


def _read_delimited(name: str, delimiter: str) -> Table:
    text = _read_text(name)
    names: list[str] = []
    numbers: list[int] = []
    rows: list[dict[str, Any]] = []
    unnamed: list[int] = []
    padded = False
    for number, values in _delimited_lines(name, text, delimiter):
        if not names:
            # "path, target": the spaces are the table's, not the names'
            padded = any(value != value.strip() for value in values)
            if padded:
                _, values = next(_delimited_lines(name, text, delimiter, padded=True))
            names = _checked_names([value.strip() for value in values], f"line {number} of {name}")
            unnamed = [i for i, known in enumerate(names) if not known]
            unnamed = unnamed if len(unnamed) > 1 else []
            break
    lines = _delimited_lines(name, text, delimiter, padded)
    next(lines, None)
    for number, values in lines:
        if len(values) != len(names):
            raise ValueError(
                f"line {number} of {name} has {len(values)} values for {len(names)} columns; put quotes around a value "
                "that holds the delimiter"
            )
        if padded:
            values = [value.strip() for value in values]
        if unnamed:
            odd = [i for i in unnamed if values[i]]
            if odd:
                raise ValueError(
                    f"line {number} of {name}: column {odd[0] + 1} holds {shown(values[odd[0]])} and has no name, as "
                    f"others have none; name it"
                )
        numbers.append(number)
        rows.append(dict(zip(names, values, strict=True)))
    return Table(name, "line", numbers, rows, text=True)


def _delimited_lines(name: str, text: str, delimiter: str, padded: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Split a manifest's text into rows of values, each with the line where it begins; empty lines are left out."""
    taken = 0

    def lines() -> Iterator[str]:
        nonlocal taken
        for line in io.StringIO(text, newline=""):
            taken += 1
            yield line

    reader = csv.reader(lines(), delimiter=delimiter, strict=True, skipinitialspace=padded)
    while True:
        number = taken + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ValueError(
                f"line {number} of {name} is broken: {error}; put quotes around it, or save it as .jsonl"
            ) from error
        if len(values) > 1 or (values and values[0].strip()):
            yield number, values


def _checked_names(names: list[str], place: str) -> list[str]:
    """Return the columns' names of a manifest's header, of which no two are alike."""
    twice = next((name for i, name in enumerate(names) if name and name in names[:i]), None)
    if twice is not None:
        raise ValueError(f"{place} names the column {twice!r} twice; rename one of them")
    return names


class _TwiceError(ValueError):
    """Error about a name that occurs twice in a JSON object of a manifest."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object of a manifest's line, in which no name occurs twice."""
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceError(next(name for i, name in enumerate(names) if name in names[:i]))
    return row


def _read_json_lines(name: str) -> Table:
    numbers: list[int] = []
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(io.StringIO(_read_text(name)), 1):
        if not line.strip():
            continue
        row = _json_row(line, f"line {number} of {name}")
        if "\\u" in line:  # only an escape can stand for half a character
            _check_unicode(row, "line", number, name)
        numbers.append(number)
        rows.append(row)
    return Table(name, "line", numbers, rows, text=False)


def _json_row(line: str, place: str) -> dict[str, Any]:
    """Return the JSON object on a line of a manifest."""
    try:
        row = json.loads(line)
        # an object has a colon for each of its names: only if there are more of them than names, one may occur twice
        if isinstance(row, dict) and line.count(":") != len(row) and not _is_without_twins(line, row):
            row = json.loads(line, object_pairs_hook=_object)
    except _TwiceError as error:
        raise ValueError(f"{place} names the column {str(error)!r} twice; rename one of them") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{place} is not JSON: {error.msg} at character {error.colno}") from error
    except RecursionError as error:
        raise ValueError(f"{place} is not JSON that can be read: lists or objects are nested too deeply") from error
    except ValueError as error:
        row = json.loads(line, parse_int=lambda digits: None if len(digits) > _MOST_DIGITS else int(digits))
        if isinstance(row, dict):
            columns = ", ".join(repr(key) for key, value in row.items() if value is None)
            raise ValueError(
                f"{place}: column {columns} is an integer of more than {_MOST_DIGITS} digits: {error}"
            ) from error
    if not isinstance(row, dict):
        raise ValueError(f"{place} is {line.strip()[:_SHOWN]!r}; it must be an object with a path")
    return row


def _is_without_twins(line: str, row: Any) -> bool:
    """Return True if no object in a manifest's line of JSON can name a column twice, by a count that is quick."""
    return not _LOOSE_COLON.search(line) and line.count('":') == _count_names(row)


def _count_names(value: Any) -> int:
    """Count the names in a manifest's value of JSON and in all values within it."""
    if isinstance(value, dict):
        return len(value) + sum(map(_count_names, value.values()))
    return sum(map(_count_names, value)) if isinstance(value, list) else 0


def _check_unicode(row: Mapping[Any, Any], unit: str, number: int, name: str) -> None:
    """Raise if a row of a manifest holds text that is not Unicode; names of files may hold any bytes."""
    for text in (*row, *row.values()):
        if type(text) is not str or text.isascii():
            continue
        try:
            text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            column = next(key for key, value in row.items() if text is key or text is value)
            raise ValueError(
                f"{unit} {number} of {name}: {column!r} is {shown(text)}, which is not Unicode text: {error}; half of "
                "a surrogate pair stands for no character"
            ) from error


def _read_parquet(name: str) -> Table:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ModuleNotFoundError(
            f"source={name!r} needs the package pyarrow: pip install audiofeed[parquet]", name="pyarrow"
        ) from error
    try:
        file = pyarrow.parquet.ParquetFile(name)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"source={name!r} is not a Parquet file that pyarrow can read: {error}") from error
    with file:
        names = _checked_names(file.schema_arrow.names, f"the schema of {name}")
        try:
            columns = file.read().columns
        except (pyarrow.ArrowException, OSError) as error:  # a damaged page is an OSError without the file's name
            raise ValueError(
                f"{_damaged_part(file, names)} of {name} cannot be read: {error}; write it again"
            ) from error
    values = [_column_values(column, known, name) for known, column in zip(names, columns, strict=True)]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
    return Table(name, "row", list(range(1, len(rows) + 1)), rows, text=False)


def _damaged_part(file: Any, names: list[str]) -> str:
    """Describe the first part of an open Parquet manifest that cannot be read."""
    begin = 1
    for group in range(file.metadata.num_row_groups):
        end = begin + file.metadata.row_group(group).num_rows - 1
        for name in names:
            try:
                file.read_row_group(group, columns=[name])
            except (ValueError, OSError):  # pyarrow's errors are of these kinds
                return f"column {name!r} in rows {begin} to {end}"
        begin = end + 1
    return "a part"


def _column_values(column: Any, name: str, file_name: str) -> list[Any]:
    """Return the values of a Parquet manifest's column as Python objects."""
    kind = re.fullmatch(r"(timestamp|duration|time64)\[ns(?:, tz=.*)?\]", str(column.type))
    try:
        # pyarrow would make nanoseconds objects of pandas if that is installed, and fail if not
        return (column.cast(_microseconds(column.type, kind[1])) if kind else column).to_pylist()
    except (ValueError, OverflowError):
        pass
    # Python's dates and times have microseconds and four digits for a year; as text nothing of them is lost, nor as the
    # integers that are stored where Arrow has no text for them either
    row = 1
    for row, value in enumerate(column, 1):
        try:
            value.as_py()
        except UnicodeDecodeError as error:
            raise ValueError(f"row {row} of {file_name}: {name} is not UTF-8 text: {error}") from error
        except (ValueError, OverflowError):
            break
    try:
        texts = column.cast("string").to_pylist()
        if any(text is not None and text.startswith("<value out of range") for text in texts):
            return column.cast("int64").to_pylist()
        return texts
    except (ValueError, OverflowError, NotImplementedError) as error:
        raise ValueError(
            f"row {row} of {file_name}: {name} is a {column.type}, of which no Python object can be made: {error}; "
            "store it as text"
        ) from error


def _microseconds(kind: Any, name: str) -> Any:
    """Return the type of a Parquet manifest's column of times with microseconds for its nanoseconds."""
    import pyarrow

    return pyarrow.timestamp("us", kind.tz) if name == "timestamp" else getattr(pyarrow, name)("us")
