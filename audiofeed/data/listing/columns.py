"""Columns for a dataset of many files, compact in a pickle and in a forked worker.

A list of a million str is copied page by page into every forked worker, because reading an object writes its reference
count; two arrays are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np


class PackedStrings(Sequence[str]):
    """Immutable sequence of strings packed into two arrays, such as the paths of a dataset.

    Args:
        strings: The strings; file names that are not valid UTF-8 survive.

    >>> words = PackedStrings(["Grüße", "", "x"])
    >>> words[0], words[-1], len(words), list(words[1:])
    ('Grüße', 'x', 3, ['', 'x'])
    """

    def __init__(self, strings: Iterable[str]) -> None:
        # "surrogatepass" brings every str back as it was; "surrogateescape" would join escaped bytes to a character
        encoded = [string.encode("utf-8", "surrogatepass") for string in strings]
        self._ends = np.cumsum([0] + [len(piece) for piece in encoded], dtype=np.int64)
        self._bytes = np.frombuffer(b"".join(encoded), dtype=np.uint8)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        ends, n = self._ends, len(self._ends) - 1
        if not 0 <= index < n:
            index = range(n)[index]
        return self._bytes[ends.item(index) : ends.item(index + 1)].tobytes().decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))


def pack(values: Sequence[Any]) -> Any:
    """Pack a dataset's column into an int64 or float64 array or packed strings, or return it as a list.

    It is a list unless all values are of one of those kinds.

    Args:
        values: A column.

    Returns:
        An array, a `PackedStrings`, or a list.

    >>> pack([1, 2]), pack(["a", 1])
    (array([1, 2]), ['a', 1])
    """
    kinds = {type(value) for value in values}
    if kinds == {str}:
        return PackedStrings(values)
    if kinds and all(issubclass(kind, (int, np.integer)) and kind is not bool for kind in kinds):
        # an integer beyond 64 bits stays what it is
        if all(-(2**63) <= value < 2**63 for value in values):
            return np.array(values, dtype=np.int64)
    elif kinds == {float}:
        return np.array(values, dtype=np.float64)
    return list(values)


def plain(value: Any) -> Any:
    """Return a NumPy scalar from a packed column of a dataset as a Python number, anything else as it is.

    Args:
        value: Any object.

    Returns:
        The Python number, or `value` itself.

    >>> plain(np.int64(3)), plain("x")
    (3, 'x')
    """
    return value.item() if isinstance(value, np.generic) else value


class Fields(Sequence[dict[str, Any]]):
    """Metadata of a dataset's examples in packed columns: a dict by index, a column by name.

    Args:
        columns: Values by column name, one per clip.
        clips: The clip that each example belongs to.

    >>> fields = Fields({"speaker": ["ann", "bob"]}, np.array([0, 1, 1]))
    >>> fields[2], fields["speaker"]
    ({'speaker': 'bob'}, ['ann', 'bob', 'bob'])
    """

    def __init__(self, columns: Mapping[str, Sequence[Any]], clips: np.ndarray) -> None:
        self._columns = columns
        self._clips = clips

    @property
    def names(self) -> list[str]:
        """Names of the packed metadata columns of a dataset."""
        return list(self._columns)

    def __repr__(self) -> str:
        return f"Fields({len(self)} example{'s' * (len(self) != 1)}: {', '.join(self.names) or 'no fields'})"

    def __len__(self) -> int:
        return len(self._clips)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: str | slice) -> list[Any]: ...
    def __getitem__(self, index: int | str | slice) -> dict[str, Any] | list[Any]:
        if isinstance(index, str):
            if index not in self._columns:
                raise KeyError(f"no field {index!r}; there are {self.names}")
            column = self._columns[index]
            return [plain(column[clip]) for clip in self._clips.tolist()]
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        clip = int(self._clips[index])
        return {name: plain(column[clip]) for name, column in self._columns.items()}
