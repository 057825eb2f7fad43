"""Rows of a manifest that name a file or a part of one: its path, start and duration."""

from __future__ import annotations

import math
import os

import numpy as np

from audiofeed.data.listing.local import not_local
from audiofeed.data.listing.tables import Table, is_missing, shown
from audiofeed.data.readers import AudioInfo

# durations in manifests are rounded, often to hundredths: a part may seem to end this many seconds after its file
_ROUNDING = 0.01


def path_in(table: Table, index: int, column: str) -> str:
    """Return the path that a row of a manifest names, as it stands there.

    Args:
        table: The manifest.
        index: Index of the row.
        column: Name of the column.

    Raises:
        ValueError: The column is missing, or its value is no path of a local file.
    """
    row = table.rows[index]
    if column not in row:
        raise ValueError(
            f"{table.place(index)} has no column {column!r}, only {sorted(map(str, row))}; call the one with the "
            "files so, or name it with path_column= of AudioManifest"
        )
    value = row[column]
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        raise ValueError(f"{table.place(index)}: {column}={shown(value)} must be the path of an audio file")
    path = os.fsdecode(value)
    remote = not_local(path)
    if remote is not None:
        raise ValueError(f"{table.place(index)}: {column}={shown(path)} {remote}")
    return path


def seconds_in(table: Table, index: int, column: str | None, rule: str = "0 or more") -> float | None:
    """Return the start or duration that a manifest's row gives, or None if it gives none.

    Args:
        table: The manifest.
        index: Index of the row.
        column: Name of the column; None for no such column.
        rule: "0 or more", or "above 0".

    Raises:
        ValueError: The value is no such number of seconds.
    """
    value = None if column is None else table.rows[index].get(column)
    if is_missing(value) or (isinstance(value, str) and value.strip().lower() in ("", "nan")):
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


def frames_of(
    table: Table, index: int, start: float | None, duration: float | None, info: AudioInfo
) -> tuple[int, int]:
    """Return the first frame and the number of frames of the part of a file that a manifest's row names.

    Args:
        table: The manifest.
        index: Index of the row.
        start: Its start in seconds, or None.
        duration: Its duration in seconds, or None.
        info: The file's header.

    Raises:
        ValueError: The part does not lie in the file.
    """
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
