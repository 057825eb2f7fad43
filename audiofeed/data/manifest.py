"""A dataset from a table of files or parts of files."""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np

from audiofeed.data.crops import Crop
from audiofeed.data.datasets import AudioFiles, OnError, check_options
from audiofeed.data.readers import AudioInfo
from audiofeed.data.tables import Table, read_table, shown

# durations in manifests are rounded, often to hundredths: a part may seem to end this many seconds after its file
_ROUNDING = 0.01
# the column of the target, as in the items that a collate takes
_TARGET_NAMES = ("target", "label", "labels")
# numbers in a table where every value is text
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


class AudioManifest(AudioFiles):
    """Dataset of the audio files, or parts of files, that a manifest table lists, raw, with a target for each row.

    The columns are `path` and optionally `start` and `duration` in seconds and `target` (or `label`, or `labels`), in
    any case and with spaces around them; all other columns become `fields`. An empty start (or NaN, as pandas has it)
    is 0, an empty duration the rest of the file. A row with a start or a duration has the key `path@start` or
    `path@start-end`, in seconds.

    A part is a clip of its own: crops, windows and resampling see nothing beyond it. So a part that is resampled begins
    and ends as a recording does, with silence around it. It differs from the same part of the whole file resampled: at
    its first and last samples by up to the signal's own size, and by more than a thousandth of that only within 80
    samples of its ends, counted at the lower of the two rates (5 ms at 16 kHz). Where that matters, list a wider part
    and take a `CenterCrop`.

    Targets that are strings become indices into the sorted `classes`; numbers, lists and other values are kept. In CSV,
    where every value is a string, a target column of numbers only becomes integers, or floats if any has a point or an
    exponent. `target_type="class"` makes classes of numbers, too.

    Args:
        source: A .csv or .tsv file with a header line, a .jsonl or .ndjson file, a .parquet file, or a list of dicts.
        root: The folder of relative paths; None for the manifest's own folder, or the current one for a list.
        path_column: The column of the path.
        target_column: The column of the target. "target" also takes `label` or `labels`, in this order, if there is no
            `target`; if there is none of them, every target is None, and a warning says so. None: there are no targets.
        target_type: "class" makes every target a class, named by its text. None: strings are classes, numbers stay
            numbers.
        sample_rate: Hz of every example; files of another rate are resampled in the worker (soxr HQ). None keeps the
            files' own rate, which must then be the same in all of them.
        crop: `RandomCrop`, `CenterCrop` or `Windows`; None for the whole of each row.
        mono: True averages the channels, which gives float32; a single channel stays as it is stored. False gives
            (channel, time) for files of several channels, all of which must have the same number.
        on_error: "raise" raises `AudioReadError` for a bad file. "skip" leaves out files with a bad header, with one
            warning, and replaces an example that fails when it is read by another, always the same one
            (`AudioExample.faults`). A row that contradicts itself or its file raises under "skip" too: the table is
            wrong, not the file.
        seed: Any integer; every random draw depends on it, the epoch and the index. None draws one from torch's
            generator; the attribute `seed` has it.
        progress: True draws a progress bar over the headers; None draws one on a terminal if they take over a second.

    Raises:
        FileNotFoundError: The manifest does not exist.
        AudioReadError: A file cannot be read under `on_error="raise"`, or no file can.
        ValueError: A row is wrong (the message has its line, column, value and the rule), a column occurs twice or is
            missing, rates or channels are mixed, or an argument is out of range.
        ModuleNotFoundError: The manifest is Parquet and pyarrow is not installed.

    >>> import tempfile, wave
    >>> root = tempfile.TemporaryDirectory()
    >>> with wave.open(f"{root.name}/a.wav", "wb") as file:
    ...     file.setparams((1, 2, 8000, 0, "NONE", None))
    ...     _ = file.writeframes(bytes(32000))
    >>> rows = [{"path": "a.wav", "target": "yes"}, {"path": "a.wav", "start": 0.5, "duration": 0.25, "target": "no"}]
    >>> dataset = AudioManifest(rows, root=root.name)
    >>> dataset.classes, dataset.durations
    (['no', 'yes'], array([2.  , 0.25]))
    >>> dataset[1].key.removeprefix(root.name)
    '/a.wav@0.500-0.750'
    >>> root.cleanup()
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Iterable[Mapping[str, Any]],
        *,
        root: str | os.PathLike[str] | None = None,
        path_column: str = "path",
        target_column: str | None = "target",
        target_type: Literal["class"] | None = None,
        sample_rate: int | None = None,
        crop: Crop | None = None,
        mono: bool = True,
        on_error: OnError = "raise",
        seed: int | None = 0,
        progress: bool | None = None,
    ) -> None:
        check_options(sample_rate, crop, on_error)
        if target_type not in (None, "class"):
            raise ValueError(f"target_type={target_type!r} must be 'class', or None to keep numbers as they are")
        table = read_table(source)
        if root is not None:
            folder = os.fsdecode(root)
        else:
            folder = os.path.dirname(os.fsdecode(source)) if isinstance(source, (str, bytes, os.PathLike)) else ""
        path, begin, length = table.find(path_column) or path_column, table.find("start"), table.find("duration")
        label = _target_column(table, target_column)
        paths = [os.path.join(folder, _path(table, i, path)) for i in range(len(table.rows))]
        spans = [(_seconds(table, i, begin), _seconds(table, i, length, "above 0")) for i in range(len(table.rows))]
        if label is None and target_column is not None:
            warnings.warn(
                f"{table.name} has no column {' or '.join(map(repr, _TARGET_NAMES))}, so every target is None; its "
                f"columns are {table.columns()}: name the one to take with target_column=, or pass target_column=None",
                stacklevel=2,
            )
        names = [name for name in table.columns() if name not in {path, label, begin, length}]
        super().__init__(
            paths,
            labels=_targets(table, label, target_type == "class"),
            fields={name: [row.get(name) for row in table.rows] for name in names},
            segment=lambda i, info: _frames(table, i, *spans[i], info),
            describe=table.place,
            keyed=["span" if length is not None else "" if start is None else "start" for start, length in spans],
            sample_rate=sample_rate,
            crop=crop,
            mono=mono,
            on_error=on_error,
            seed=seed,
            progress=progress,
        )


def _target_column(table: Table, column: str | None) -> str | None:
    """Return the name of a manifest's column of targets; None if there is none."""
    if column is None:
        return None
    if column != _TARGET_NAMES[0]:
        found = table.find(column)
        if found is None:
            raise ValueError(f"target_column={column!r} is not a column of {table.name}, only {table.columns()}")
        return found
    return next((found for name in _TARGET_NAMES if (found := table.find(name)) is not None), None)


def _path(table: Table, index: int, column: str) -> str:
    row = table.rows[index]
    if column not in row:
        raise ValueError(
            f"{table.place(index)} has no column {column!r}, only {sorted(map(str, row))}; name it with path_column="
        )
    value = row[column]
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        raise ValueError(f"{table.place(index)}: {column}={shown(value)} must be the path of an audio file")
    return os.fsdecode(value)


def _is_missing(value: Any) -> bool:
    """Return True for the value of an empty cell of a manifest: None, NaN, and pandas' NA and NaT."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def _seconds(table: Table, index: int, column: str | None, rule: str = "0 or more") -> float | None:
    """Return the start or duration that a manifest's row gives, or None if it gives none."""
    value = None if column is None else table.rows[index].get(column)
    if _is_missing(value) or (isinstance(value, str) and value.strip().lower() in ("", "nan")):
        return None
    try:
        # Python's own literals have underscores, numbers in tables have not
        odd = isinstance(value, (bool, np.bool_)) or (isinstance(value, str) and "_" in value)
        seconds = math.nan if odd else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0 or (rule == "above 0" and seconds == 0):
        raise ValueError(f"{table.place(index)}: {column}={shown(value)} must be a number of seconds, {rule}, or empty")
    return seconds


def _frames(table: Table, index: int, start: float | None, duration: float | None, info: AudioInfo) -> tuple[int, int]:
    """Return the first frame and the number of frames of the part of a file that a manifest's row names."""
    begin = start or 0.0
    # compared in seconds first: 1e308 of them are more frames than a float holds
    first = math.floor(begin * info.sample_rate + 0.5) if begin <= info.duration else info.frames
    if first >= info.frames:
        raise ValueError(
            f"{table.place(index)}: start={begin:g} must lie before the end of {info.path!r}, "
            f"which is {info.duration:.3f} s long"
        )
    if duration is None:
        return first, info.frames - first
    if begin + duration > info.duration + _ROUNDING:
        raise ValueError(
            f"{table.place(index)}: duration={duration:g} from start={begin:g} ends at {begin + duration:.3f} s, after "
            f"the end of {info.path!r}, which is {info.duration:.3f} s long; leave the duration empty to take the rest"
        )
    # the length is rounded by itself, so that equal durations have equal lengths
    return first, min(max(1, math.floor(duration * info.sample_rate + 0.5)), info.frames - first)


def _targets(table: Table, column: str | None, as_class: bool) -> list[Any]:
    """Return the target of every row of a manifest, or None for each if no row has one."""
    if column is None:
        return [None] * len(table.rows)
    values: list[Any] = [row.get(column) for row in table.rows]
    if table.text:
        values = [value.strip() or None for value in values]
    missing = [i for i, value in enumerate(values) if _is_missing(value)]
    if len(missing) == len(values):
        return [None] * len(values)
    if missing:
        raise ValueError(
            f"{table.place(missing[0])}: {column} is empty, but other rows have one; give every row a {column}, or none"
        )
    if as_class:
        return [_class_name(table, i, column, value) for i, value in enumerate(values)]
    if table.text and all(_NUMBER.fullmatch(value) for value in values):
        whole = all(_INTEGER.fullmatch(value) for value in values)
        return [_number(table, i, column, value, whole) for i, value in enumerate(values)]
    strings = [isinstance(value, str) for value in values]
    if any(strings) and not all(strings):
        odd = strings.index(not strings[0])
        raise ValueError(
            f"{table.place(odd)}: {column}={shown(values[odd])} is {'' if strings[odd] else 'not '}text, unlike "
            f"{shown(values[0])} in {table.place(0)}; write all as text, or none, or pass target_type='class'"
        )
    return values


def _number(table: Table, index: int, column: str, text: str, whole: bool) -> int | float:
    """Return the number that a manifest's row gives as text for its target."""
    try:
        number = int(text) if whole else float(text)
    except ValueError:  # too many digits
        number = math.inf
    if number in (math.inf, -math.inf):
        raise ValueError(
            f"{table.place(index)}: {column}={shown(text)} is a number of more digits than can be read; shorten it, or "
            "pass target_type='class' to take it as a name"
        )
    return number


def _class_name(table: Table, index: int, column: str, value: Any) -> str:
    """Return the name of the class that a manifest's row gives as its target."""
    if not isinstance(value, (str, int, float, np.generic)):
        raise ValueError(
            f"{table.place(index)}: {column}={shown(value)} cannot name a class; it must be text or a number"
        )
    return str(value)
