"""Types of a manifest's targets: what a column of cells becomes, as `target_type` says or as its values suggest."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from audiofeed.arguments.checks import warn_caller
from audiofeed.data.listing.tables import Table, is_missing, shown
from audiofeed.data.targets.classes import ClassNames, index_classes, number_classes
from audiofeed.data.targets.target_column import LabelSets, TargetColumn, Vectors

TargetType = Literal["class", "text", "number", "multi_hot", "sequence"]
TYPES = ("class", "text", "number", "multi_hot", "sequence")

# numbers in a table where every value is text
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
# a column of text that differs in more than half of so many rows, or of rows that are sentences, names no classes
_MANY_ROWS, _SOME_ROWS, _SENTENCE = 100, 10, 3
# separators that a column may have in place of the one that is expected
_SEPARATORS = (",", ";", "|", "\t", "/")


def typed_targets(
    table: Table,
    column: str | None,
    target_type: TargetType | Callable[[Any], Any] | None,
    separator: str | None,
    classes: ClassNames | None,
    owner: str,
) -> TargetColumn:
    """Read the column of a manifest's targets as a type says.

    Args:
        table: The manifest's rows.
        column: Name of the column; None if there are no targets.
        target_type: One of `TYPES`, a function of a cell's value, or None for what the values suggest.
        separator: What stands between the labels of a cell of text; None for the type's own.
        classes: The classes; None for those of the column.
        owner: Describes the dataset, for messages.

    Returns:
        The targets, one for each row.

    Raises:
        ValueError: A cell does not fit the type, or has a label that is not one of the classes given.

    >>> table = Table("t.csv", "line", [2, 3], [{"tags": "b,a"}, {"tags": ""}], text=True)
    >>> typed_targets(table, "tags", "multi_hot", None, None, "a manifest").whole(0)
    tensor([1., 1.])
    """
    if column is None:
        if classes is not None:
            raise ValueError(
                f"classes= is given, but {table.name} has no column of targets; name it with target_column="
            )
        return TargetColumn([None] * len(table.rows))
    cells = _Cells(table, column, classes, owner)
    if callable(target_type):
        return cells.mapped(target_type)
    if target_type == "text":
        return cells.texts()
    if target_type == "multi_hot":
        return cells.sets("," if separator is None else separator)
    if target_type == "sequence":
        return cells.sequences(separator)
    if not cells.are_filled():
        return TargetColumn([None] * len(table.rows))
    if target_type == "number":
        return cells.numbers()
    return cells.named() if target_type == "class" or classes is not None else cells.inferred()


def survive_as_text(names: Sequence[str]) -> bool:
    """Return True if names of classes are the same classes again as a manifest's column of targets in CSV.

    Args:
        names: The names, one for each row.

    >>> survive_as_text(["10", "no"]), survive_as_text(["10", "20"]), survive_as_text([" no", "yes"])
    (True, False, False)
    """
    kinds = set(names)
    return all(name == name.strip() != "" for name in kinds) and not all(_NUMBER.fullmatch(name) for name in kinds)


class _Cells:
    """Cells of a manifest's column of targets, with their places and the classes that they may name."""

    def __init__(self, table: Table, column: str, classes: ClassNames | None, owner: str) -> None:
        self.table, self.column, self.classes, self.owner = table, column, classes, owner
        self.raw: list[Any] = [row.get(column) for row in table.rows]
        self.values: list[Any] = [value.strip() or None for value in self.raw] if table.text else self.raw

    def place(self, index: int) -> str:
        """Describe the place of a cell among a manifest's targets."""
        return self.table.place(index)

    def wrong(self, index: int, rule: str) -> ValueError:
        """Return the error for a cell of a manifest's targets that breaks a rule."""
        return ValueError(f"{self.place(index)}: {self.column}={shown(self.raw[index])} {rule}")

    def are_filled(self) -> bool:
        """Return False if no cell of a manifest's targets has a value; raise if some have and others have not."""
        missing = [i for i, value in enumerate(self.values) if is_missing(value)]
        if missing and len(missing) < len(self.values):
            raise ValueError(
                f"{self.place(missing[0])}: {self.column} is empty, but other rows have one; give every row a "
                f"{self.column}, or none"
            )
        return not missing

    def mapped(self, function: Callable[[Any], Any]) -> TargetColumn:
        """Return a manifest's targets as a user's function makes them of the cells."""
        targets = []
        for i, value in enumerate(self.raw):
            try:
                targets.append(function(value))
            except Exception as error:
                raise self.wrong(i, f"makes target_type={function!r} fail: {type(error).__name__}: {error}") from error
        if self.classes is None:
            return TargetColumn(targets)
        return TargetColumn(*index_classes(targets, self.classes, self.place, self.owner))

    def texts(self) -> TargetColumn:
        """Return a manifest's targets as texts, as they stand."""
        if self.classes is not None:
            raise ValueError("target_type='text' keeps targets as text, and classes= numbers them; omit one of them")
        texts = []
        for i, value in enumerate(self.raw):
            if is_missing(value) or isinstance(value, bool) or not isinstance(value, (str, int, float, np.generic)):
                raise self.wrong(i, 'must be text; write "" where nothing is said')
            texts.append(str(value))
        return TargetColumn(texts)

    def numbers(self) -> TargetColumn:
        """Return a manifest's targets as numbers, or as vectors of them."""
        if self.classes is not None:
            raise ValueError("target_type='number' keeps numbers, and classes= numbers names; omit one of them")
        vectors = self.vectors()
        if vectors is not None:
            return vectors
        if self.table.text:
            for i, value in enumerate(self.values):
                if not _NUMBER.fullmatch(value):
                    raise self.wrong(i, "must be a number")
            return TargetColumn(self.parsed())
        for i, value in enumerate(self.values):
            if not isinstance(value, (int, float, np.number)):
                raise self.wrong(i, "must be a number, or a list of numbers as long as in the other rows")
        if all(isinstance(value, (int, np.integer)) for value in self.values):
            return TargetColumn([int(value) for value in self.values])
        return TargetColumn([float(value) for value in self.values])

    def vectors(self) -> Vectors | None:
        """Return a manifest's targets that are lists of numbers, all equally long, as vectors; else None."""
        lengths = {len(value) if isinstance(value, (list, tuple, np.ndarray)) else -1 for value in self.values}
        if len(lengths) != 1 or lengths <= {-1, 0}:
            return None
        numbers = (int, float, np.integer, np.floating)
        if not all(isinstance(entry, numbers) for value in self.values for entry in value):
            return None
        try:
            found = np.array(self.values)
        except OverflowError:
            return None
        return (
            Vectors(found.astype(np.int64 if found.dtype.kind in "bi" else np.float64))
            if found.dtype != object
            else None
        )

    def parsed(self) -> list[int] | list[float]:
        """Return the numbers that the cells of a manifest's targets hold as text: integers, if all of them are."""
        whole = all(_INTEGER.fullmatch(value) for value in self.values)
        return [self._number(i, value, whole) for i, value in enumerate(self.values)]

    def _number(self, index: int, text: str, whole: bool) -> int | float:
        try:
            number = int(text) if whole else float(text)
        except ValueError:  # too many digits
            number = math.inf
        if number in (math.inf, -math.inf):
            raise self.wrong(
                index,
                "is a number of more digits than can be read; shorten it, or pass target_type='class' to take it as a "
                "name",
            )
        return number

    def named(self) -> TargetColumn:
        """Return a manifest's targets as classes, each named by its text."""
        names = [self._name(i, value) for i, value in enumerate(self.values)]
        return TargetColumn(*number_classes(names, self.classes, self.place, self.owner))

    def _name(self, index: int, value: Any) -> str:
        if not isinstance(value, (str, int, float, np.generic)):
            raise self.wrong(index, "cannot name a class; it must be text or a number")
        return str(value)

    def inferred(self) -> TargetColumn:
        """Return a manifest's targets as their values suggest: text as classes, anything else as it is."""
        if self.table.text and all(_NUMBER.fullmatch(value) for value in self.values):
            return TargetColumn(self.parsed())
        strings = [isinstance(value, str) for value in self.values]
        if any(strings) and not all(strings):
            odd = strings.index(not strings[0])
            raise self.wrong(
                odd,
                f"is {'' if strings[odd] else 'not '}text, unlike {shown(self.values[0])} in {self.place(0)}; write "
                "all "
                "as text, or none, or pass target_type='class'",
            )
        if all(strings):
            self._warn_of_texts()
            return self.named()
        return self.vectors() or TargetColumn(self.values)

    def _warn_of_texts(self) -> None:
        """Warn if a manifest's targets are texts rather than names of classes."""
        rows, kinds = len(self.values), len(set(self.values))
        words = sum(len(value.split()) for value in self.values) / rows
        if kinds * 2 > rows and (rows >= _MANY_ROWS or (rows >= _SOME_ROWS and words >= _SENTENCE)):
            warn_caller(
                f"{self.column!r} of {self.table.name} has {kinds} different values in {rows} rows, and becomes as "
                "many "
                f"classes, {shown(self.values[0])} for one; pass target_type='text' to keep transcripts as text, or "
                "target_type='class' if they are classes"
            )

    def sets(self, separator: str) -> TargetColumn:
        """Return a manifest's targets as sets of classes, multi-hot; an empty cell is an empty set."""
        rows = self._lists(separator)
        if all(len(row) < 2 for row in rows):
            self._warn_of_separators(rows, separator)
        labels, classes = self._numbered([[str(name) for name in row] for row in rows])
        return LabelSets([sorted(set(row)) for row in labels], classes, multi_hot=True)

    def sequences(self, separator: str | None) -> TargetColumn:
        """Return a manifest's targets as sequences of integers, or of the indices of named classes."""
        rows = self._lists(separator)
        if self.classes is None and all(_is_integer(entry) for row in rows for entry in row):
            return LabelSets([[int(entry) for entry in row] for row in rows], multi_hot=False)
        if separator is None:
            self._warn_of_separators(rows, separator)
        labels, classes = self._numbered([[str(name) for name in row] for row in rows])
        return LabelSets(labels, classes, multi_hot=False)

    def _warn_of_separators(self, rows: list[list[Any]], separator: str | None) -> None:
        """Warn if names of classes in a manifest's targets hold what may stand between two of them."""
        if self.classes is not None:
            return
        # of phones and letters, others are names themselves
        marks = _SEPARATORS[:2] if separator is None else [mark for mark in _SEPARATORS if mark != separator]
        split = [row for value, row in zip(self.values, rows, strict=True) if isinstance(value, str)]
        names = [name for row in split for name in row]
        found = next(((mark, name) for mark in marks for name in names if mark in name and name != mark), None)
        if found is not None:
            warn_caller(
                f"{self.column!r} of {self.table.name} is split at {'spaces' if separator is None else repr(separator)}"
                f", so that {shown(found[1])} is one class; pass separator={found[0]!r} to split it"
            )

    def _numbered(self, rows: list[list[str]]) -> tuple[list[list[int]], Sequence[str]]:
        """Number the names in a manifest's rows of targets, and return the classes."""
        owners = [i for i, row in enumerate(rows) for _ in row]
        names = [name for row in rows for name in row]
        numbers, classes = number_classes(names, self.classes, lambda i: self.place(owners[i]), self.owner)
        found = iter(numbers.tolist())
        return [[next(found) for _ in row] for row in rows], classes

    def _lists(self, separator: str | None) -> list[list[Any]]:
        """Split a manifest's targets into lists of labels."""
        rows: list[list[Any]] = []
        for i, value in enumerate(self.values):
            if is_missing(value):
                rows.append([])
            elif isinstance(value, str):
                rows.append([part.strip() for part in value.split(separator) if part.strip()])
            elif isinstance(value, (list, tuple, np.ndarray)):
                rows.append(list(value))
            elif isinstance(value, (int, np.integer)):
                rows.append([value])
            else:
                raise self.wrong(i, "must be text, or a list of labels")
            odd = next((e for e in rows[-1] if isinstance(e, bool) or not isinstance(e, (str, int, np.integer))), None)
            if odd is not None:
                raise self.wrong(
                    i, f"holds {shown(odd)}, which names no class; for vectors of numbers pass target_type='number'"
                )
        return rows


def _is_integer(entry: Any) -> bool:
    """Return True for a label of a sequence in a manifest that is an integer, or the text of one."""
    return isinstance(entry, (int, np.integer)) or bool(_INTEGER.fullmatch(entry) and len(entry) < 19)
