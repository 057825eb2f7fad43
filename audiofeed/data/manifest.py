"""A dataset from a table of files or parts of files."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from audiofeed.data.crops import Crop
from audiofeed.data.datasets import AudioFiles, OnError, check_options
from audiofeed.data.readers import AudioInfo
from audiofeed.data.tables import Table, read_table

# durations in manifests are rounded, often to hundredths: a part may seem to end this many seconds after its file
_ROUNDING = 0.01


class AudioManifest(AudioFiles):
    """Dataset of the audio files, or parts of files, that a manifest table lists, raw, with a target for each row.

    The columns are `path` and optionally `start` and `duration` in seconds and `target`; all other columns become
    `fields`. An empty start is 0, an empty duration the rest of the file. A part is a clip of its own: crops, windows
    and resampling see nothing beyond it. (A part that was cut out of sound is resampled as if there were silence
    around it: its first and last sample differ from those of the file resampled whole by up to two thirds of the
    sound's size, beyond 50 samples of the lower rate by less than 1e-3.) A row with a start or a duration has the key
    `path@start` or `path@start-end`, in seconds.

    Targets that are strings become indices into the sorted `classes`; numbers, lists and other values are kept. In CSV,
    where every value is a string, a target column of integers only becomes integers, kept as they are.

    Args:
        source: A .csv or .tsv file with a header line, a .jsonl or .ndjson file, a .parquet file, or a list of dicts.
        root: The folder of relative paths; None for the manifest's own folder, or the current one for a list.
        path_column: The column of the path.
        target_column: The column of the target; if no row has it, every target is None.
        sample_rate: Hz of every example; files of another rate are resampled in the worker (soxr HQ). None keeps the
            files' own rate, which must then be the same in all of them.
        crop: `RandomCrop`, `CenterCrop` or `Windows`; None for the whole of each row.
        mono: True averages the channels, which gives float32; a single channel stays as it is stored. False gives
            (channel, time) for files of several channels, all of which must have the same number.
        on_error: "raise" raises `AudioReadError` for a bad file. "skip" leaves out files with a bad header, with one
            warning, and replaces an example that fails when it is read by another, always the same one
            (`AudioExample.faults`). A row that contradicts itself or its file raises under "skip" too: the table is
            wrong, not the file.
        seed: Any integer; every random draw depends on it, the epoch and the index.
        progress: True draws a progress bar over the headers; None draws one on a terminal if they take over a second.

    Raises:
        FileNotFoundError: The manifest does not exist.
        AudioReadError: A file cannot be read under `on_error="raise"`, or no file can.
        ValueError: A row is wrong (the message has its line, column, value and the rule), rates or channels are mixed,
            or an argument is out of range.
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
        target_column: str = "target",
        sample_rate: int | None = None,
        crop: Crop | None = None,
        mono: bool = True,
        on_error: OnError = "raise",
        seed: int = 0,
        progress: bool | None = None,
    ) -> None:
        check_options(sample_rate, crop, on_error)
        table = read_table(source)
        if root is not None:
            folder = os.fsdecode(root)
        else:
            folder = os.path.dirname(os.fsdecode(source)) if isinstance(source, (str, bytes, os.PathLike)) else ""
        paths = [os.path.join(folder, _path(table, i, path_column)) for i in range(len(table.rows))]
        spans = [(_seconds(table, i, "start"), _seconds(table, i, "duration")) for i in range(len(table.rows))]
        used = {path_column, target_column, "start", "duration"}
        names = {name: None for row in table.rows for name in row if name not in used}  # in order, once each
        super().__init__(
            paths,
            labels=_targets(table, target_column),
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


def _path(table: Table, index: int, column: str) -> str:
    row = table.rows[index]
    if column not in row:
        raise ValueError(
            f"{table.place(index)} has no column {column!r}, only {sorted(map(str, row))}; name it with path_column="
        )
    value = row[column]
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        raise ValueError(f"{table.place(index)}: {column}={value!r} must be the path of an audio file")
    return os.fsdecode(value)


def _seconds(table: Table, index: int, column: str) -> float | None:
    """Return the start or duration that a manifest's row gives, or None if it gives none."""
    value = table.rows[index].get(column)
    if value is None or value == "":
        return None
    rule = "0 or more" if column == "start" else "above 0"
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0 or (column == "duration" and seconds == 0):
        raise ValueError(f"{table.place(index)}: {column}={value!r} must be a number of seconds, {rule}, or empty")
    return seconds


def _frames(table: Table, index: int, start: float | None, duration: float | None, info: AudioInfo) -> tuple[int, int]:
    """Return the first frame and the number of frames of the part of a file that a manifest's row names."""
    begin = start or 0.0
    first = math.floor(begin * info.sample_rate + 0.5)
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


def _targets(table: Table, column: str) -> list[Any]:
    """Return the target of every row of a manifest, or None for each if no row has one."""
    values: list[Any] = [row.get(column) for row in table.rows]
    if table.text:
        values = [None if value == "" else value for value in values]
    missing = [i for i, value in enumerate(values) if value is None]
    if missing and len(missing) < len(values):
        raise ValueError(
            f"{table.place(missing[0])}: {column} is empty, but other rows have one; give every row a {column}, or none"
        )
    if table.text and not missing and all(re.fullmatch(r"[+-]?[0-9]+", value) for value in values):
        return [int(value) for value in values]
    strings = [isinstance(value, str) for value in values]
    if any(strings) and not all(strings):
        odd = strings.index(not strings[0])
        raise ValueError(
            f"{table.place(odd)}: {column}={values[odd]!r} is {'' if strings[odd] else 'not '}text, unlike "
            f"{values[0]!r} in {table.place(0)}; write all as text, or none"
        )
    return values
