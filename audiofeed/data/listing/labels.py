"""Labels from the names of audio files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePath
from string import Formatter
from typing import Any


class NamePattern:
    """Pattern such as `"{target}_{speaker}_{take}"` that splits a file's stem into its label and other fields.

    Each field stands for one or more characters, as few as possible, so the last field takes the rest.

    Args:
        pattern: Literal text and named fields, one of them `{target}`; `{{` and `}}` stand for braces.

    Raises:
        ValueError: `{target}` is missing, or a field is not a plain name, or occurs twice.

    >>> NamePattern("{target}_{speaker}").match("7_george_b")
    {'target': '7', 'speaker': 'george_b'}
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        names: list[str] = []
        literals = [""]  # before the first field, between two, after the last
        try:
            parts = list(Formatter().parse(pattern))
        except ValueError as error:
            raise ValueError(f"target={pattern!r} is not a pattern: {error}; write {{{{ for a brace") from error
        for text, name, form, conversion in parts:
            literals[-1] += text
            if name is None:
                continue
            if not name.isidentifier() or form or conversion or name in names:
                raise ValueError(
                    f"target={pattern!r}: field {{{name}}} must be a plain name that occurs once, "
                    "as in '{target}_{speaker}'"
                )
            names.append(name)
            literals.append("")
        if "target" not in names:
            raise ValueError(
                f"target={pattern!r} must contain {{target}}, as in '{{target}}_{{speaker}}'; "
                "for labels from folder names leave target out"
            )
        self._names, self._literals = names, literals

    def match(self, stem: str) -> dict[str, str] | None:
        """Split the stem of an audio file into its label and other fields.

        Args:
            stem: A file's name without its extension.

        Returns:
            The fields by name, or None if the stem does not match.
        """
        first, *others, last = self._literals
        if not stem.startswith(first) or not stem.endswith(last):
            return None
        # the first place of each literal leaves the fields after it the most room: if that does not fit, nothing does,
        # and no place is tried twice, as a regular expression would on a long name
        found: dict[str, str] = {}
        begin, end = len(first), len(stem) - len(last)
        for name, literal in zip(self._names, others, strict=False):
            at = stem.find(literal, begin + 1, end)
            if at < 0:
                return None
            found[name] = stem[begin:at]
            begin = at + len(literal)
        if begin >= end:
            return None
        found[self._names[-1]] = stem[begin:end]
        return found


def folder_names(paths: Sequence[str], root: str) -> list[str] | list[None]:
    """Return the labels of audio files: the path of each one's folder below `root`, or None if all lie in `root`.

    Args:
        paths: The files.
        root: The folder that was scanned.

    Raises:
        ValueError: Some lie in `root` itself and some do not.

    >>> folder_names(["set/a/1.wav", "set/b/c/2.wav"], "set")
    ['a', 'b/c']
    """
    folders = [os.path.dirname(path) for path in paths]
    name_of = {folder: PurePath(os.path.relpath(folder, root)).as_posix() for folder in set(folders)}
    names = [name_of[folder] for folder in folders]
    if "." not in names:
        return names
    if any(name != "." for name in names):
        inside = paths[next(i for i, name in enumerate(names) if name != ".")]
        raise ValueError(
            f"target=None takes targets from folders, but {paths[names.index('.')]!r} lies in root itself and "
            f"{inside!r} does not; pass a pattern or a function as target"
        )
    return [None] * len(paths)


def match_names(paths: Sequence[str], pattern: NamePattern) -> tuple[list[str], dict[str, list[Any]]]:
    """Match the names of a folder's audio files to a pattern; return their labels and other fields.

    Args:
        paths: The files.
        pattern: The pattern.

    Raises:
        ValueError: A name does not match.

    >>> match_names(["set/7_ann.wav"], NamePattern("{target}_{speaker}"))
    (['7'], {'speaker': ['ann']})
    """
    labels: list[str] = []
    fields: dict[str, list[Any]] = {}
    for path in paths:
        found = pattern.match(PurePath(path).stem)
        if found is None:
            raise ValueError(
                f"target={pattern.pattern!r} does not match the name of {path!r}; pass a function as target"
            )
        labels.append(found.pop("target"))
        for name, value in found.items():
            fields.setdefault(name, []).append(value)
    return labels, fields
