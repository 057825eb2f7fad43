"""Which clips train and which test."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from audiofeed.data import AudioFolder
from audiofeed.demo.settings import DemoError

_TEST_SHARE = 0.2
_RANGE = re.compile(r"([0-9]+)-([0-9]+)")


@dataclass(frozen=True)
class FieldValues:
    """Choice of the demo's test split by one field of the clips' names, as in ``--test take=0-4,7``.

    Args:
        field: The field's name.
        values: Values as written, numbers without leading zeros.
        ranges: First and last integer of each range, both chosen.
    """

    field: str
    values: frozenset[str]
    ranges: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, text: str) -> FieldValues:
        """Read the demo's test split ``FIELD=VALUES``: values and ranges of integers, with commas between.

        Raises:
            DemoError: The text has another form.

        >>> chosen = FieldValues.parse("take=0-4,7")
        >>> [take for take in ("0", "04", "5", "7", "70") if chosen.holds(take)]
        ['0', '04', '7']
        """
        field, equals, listed = text.partition("=")
        field, parts = field.strip(), [part.strip() for part in listed.split(",")]
        if not equals or not field or not all(parts):
            raise DemoError(f"--test {text!r} must be FIELD=VALUES, as in take=0-4,7 or speaker=lucas")
        found = [(part, _RANGE.fullmatch(part)) for part in parts]
        ranges = tuple((int(match[1]), int(match[2])) for _, match in found if match)
        if any(first > last for first, last in ranges):
            raise DemoError(f"--test {text!r} has a range that ends before it begins; write the smaller number first")
        return cls(field, frozenset(_normal(part) for part, match in found if not match), ranges)

    def holds(self, value: Any) -> bool:
        """Return True if a clip with this value is chosen for the demo's test split."""
        text = _normal(str(value))
        return text in self.values or (_is_number(text) and any(a <= int(text) <= b for a, b in self.ranges))


def split_by_field(folder: AudioFolder, chosen: FieldValues) -> np.ndarray:
    """Split the demo's clips by a field of their names, and return a mask of the test clips.

    Raises:
        DemoError: The folder has no such field, or none or all of its clips are chosen.
    """
    names = folder.fields.names
    if chosen.field not in names:
        has = f"the fields are {', '.join(names)}" if names else "there are no fields"
        raise DemoError(
            f"--test names the field {chosen.field!r}, but {has}; "
            "name it in --target-pattern, as in '{target}_{speaker}_{take}'"
        )
    column = folder.fields[chosen.field]
    mask = np.array([chosen.holds(value) for value in column], dtype=bool)
    if mask.all() or not mask.any():
        values = sorted(set(map(str, column)), key=lambda text: (len(text), text) if _is_number(text) else (0, text))
        shown = ", ".join(values) if len(values) <= 6 else f"{', '.join(values[:4])}, ..., {values[-1]}"
        raise DemoError(
            f"--test chooses {'all' if mask.all() else 'none'} of the {len(mask)} clips by {chosen.field!r}, and must "
            f"choose some; its values are {shown}"
        )
    return mask


def split_by_hash(keys: Sequence[str], targets: Sequence[int], seed: int) -> np.ndarray:
    """Split off a fifth of each class to test the demo by a hash of key and seed, and return it as a mask.

    Of two clips or more at least one is chosen.

    A clip's side hardly changes when others are added, and not when the folder moves.

    Args:
        keys: One per clip, such as the path inside the folder.
        targets: Each clip's class.
        seed: Any integer.

    >>> split_by_hash(["a", "b", "c", "d"], [0, 0, 1, 1], seed=0).sum()
    np.int64(2)
    """
    mask = np.zeros(len(keys), dtype=bool)
    marks = [hashlib.blake2b(f"{seed}:{key}".encode("utf-8", "surrogateescape")).digest() for key in keys]
    for target in sorted(set(targets)):
        members = sorted((i for i, t in enumerate(targets) if t == target), key=marks.__getitem__)
        if len(members) > 1:
            mask[members[: max(1, round(_TEST_SHARE * len(members)))]] = True
    return mask


def split_folder(folder: AudioFolder, test: str | None, seed: int) -> np.ndarray:
    """Split a folder into the demo's training and test clips, by field if one is named, else by hash.

    Returns a mask of the test clips.

    Args:
        folder: All clips, with classes as targets.
        test: ``FIELD=VALUES`` or None.
        seed: Decides the split by hash.

    Raises:
        DemoError: The split leaves nothing to train or to test with, or tests a class that is not trained.
    """
    targets = [int(target) for target in folder.targets]
    if test is not None:
        mask = split_by_field(folder, FieldValues.parse(test))
    else:
        keys = [os.path.relpath(path, folder.root) for path in folder.paths]
        mask = split_by_hash(keys, targets, seed)
        if not mask.any():
            raise DemoError(f"--data {folder.root!r} has one clip of each class; it takes two to train and test")
    untrained = {targets[i] for i in np.flatnonzero(mask)} - {targets[i] for i in np.flatnonzero(~mask)}
    if untrained:
        names = ", ".join(repr(folder.classes[target]) for target in sorted(untrained)[:6])
        raise DemoError(f"--test {test!r} leaves no training clip of class {names}; choose fewer clips to test")
    return mask


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _normal(text: str) -> str:
    return str(int(text)) if _is_number(text) else text
