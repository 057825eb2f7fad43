"""Files of labeled events: RTTM, tables with or without a header (.tsv, .csv), and Audacity's labels (.txt)."""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

from audiofeed.arguments.checks import warn_caller
from audiofeed.data.listing.tables import is_missing, shown

ENDINGS = (".rttm", ".tsv", ".csv", ".txt", ".lab")

# names of columns in tables of events, as data sets have them, in lower case
ONSETS = ("onset", "start", "begin", "onset_time", "onsettime", "start_time", "onset_s", "start_s")
OFFSETS = ("offset", "end", "stop", "offset_time", "offsettime", "end_time", "offset_s", "end_s")
LABELS = (
    "label",
    "event_label",
    "event",
    "class",
    "note",
    "pitch",
    "midipitch",
    "midi_pitch",
    "speaker",
    "phone",
    "target",
)
RECORDINGS = ("filename", "file", "path", "recording", "audio_filename", "file_name", "uri")
_DURATION = "duration"

# numbers that are labels, as written by numpy.savetxt: 60.000000
_WHOLE = re.compile(r"([+-]?[0-9]+)\.0*")


class EventColumns(NamedTuple):
    """Names that the columns of a table of events may have, in lower case, those looked for first at the front.

    Args:
        onsets: Of the onset, in seconds.
        offsets: Of the offset.
        labels: Of the label.
    """

    onsets: tuple[str, ...] = ONSETS
    offsets: tuple[str, ...] = OFFSETS
    labels: tuple[str, ...] = LABELS


class Event(NamedTuple):
    """Event of a recording: what sounds from when to when.

    Args:
        onset: Seconds, 0 or more.
        offset: Seconds, not before the onset; equal to it for an instant, such as a beat.
        label: Name of its class.
    """

    onset: float
    offset: float
    label: str


def read_events(path: str, columns: EventColumns | None = None) -> dict[str | None, list[Event]]:
    """Read a file of labeled events.

    Args:
        path: An .rttm file, a .tsv or .csv table, or Audacity's labels in a .txt (or .lab) file.
        columns: Names of the columns of a table with a header; None for the usual ones.

    Returns:
        Events by the recording that the file names for them; None where it names none, for a file of one recording.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file has another ending, or a line is wrong (the message names it).

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w+", suffix=".txt") as file:
    ...     _ = file.write("0.5\\t0.75\\tdog\\n")
    ...     file.flush()
    ...     read_events(file.name)
    {None: [Event(onset=0.5, offset=0.75, label='dog')]}
    """
    columns = EventColumns() if columns is None else columns
    ending = PurePath(path).suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(f"{path!r} must end in one of {', '.join(ENDINGS)} to be read as events")
    if not os.path.isfile(path):
        raise FileNotFoundError(f"the file of events {path!r} does not exist")
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error}; save it as UTF-8") from error
    if ending == ".rttm":
        return _read_rttm(path, text)
    if ending in (".txt", ".lab"):
        header = text.lstrip("# ").split(None, 1)
        if not header or header[0].lower() not in (*columns.onsets, *RECORDINGS):
            return {None: _read_audacity(path, text)}
        ending = ".tsv"
    return _read_delimited(path, text, "\t" if ending == ".tsv" else ",", columns)


def event_of(onset: Any, offset: Any, label: Any, place: str, duration: Any = None) -> Event:
    """Make an event of its three values, checked.

    Args:
        onset: Seconds, a number or the text of one.
        offset: Seconds; empty for an instant.
        label: Text or a number; empty is an error.
        place: Where the event stands, for messages.
        duration: Seconds, in place of an offset that is empty.

    Raises:
        ValueError: A value is wrong.

    >>> event_of("0.5", "", 60.0, "line 1")
    Event(onset=0.5, offset=0.5, label='60')
    """
    begin = _seconds(onset, "onset", place)
    if not is_empty(offset):
        end = _seconds(offset, "offset", place)
        if end < begin:
            raise ValueError(
                f"{place}: offset={end:g} lies before onset={begin:g}; an event must not end before it begins"
            )
    else:
        end = begin if is_empty(duration) else begin + _seconds(duration, "duration", place)
    if is_empty(label):
        raise ValueError(f"{place}: the event from {begin:g} s has no label; name its class")
    return Event(begin, end, label_name(label))


def label_name(label: Any) -> str:
    """Return the name of an event's class: text without spaces around it, a whole number without its point.

    >>> label_name("60.000000"), label_name(" dog "), label_name(60.0)
    ('60', 'dog', '60')
    """
    text = str(label).strip()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def events_in(value: Any, place: str) -> list[Event]:
    """Return the events that a list holds: (onset, offset, label) each, or dicts with these names.

    Args:
        value: The list.
        place: Where it stands, for messages.

    Raises:
        ValueError: An entry is none of those, or a value is wrong.

    >>> events_in([(0.5, 1.0, "dog"), {"onset": 2, "label": "cat"}], "row 1")
    [Event(onset=0.5, offset=1.0, label='dog'), Event(onset=2.0, offset=2.0, label='cat')]
    """
    if not isinstance(value, Iterable) or isinstance(value, (str, bytes, Mapping)):
        raise ValueError(
            f"{place}: {shown(value)} must be a list of events, (onset, offset, label) each, or a file of them"
        )
    events = []
    for number, entry in enumerate(value, 1):
        where = f"{place}, event {number}"
        if isinstance(entry, Mapping):
            events.append(event_in_row(entry, where))
        elif isinstance(entry, Sequence) and not isinstance(entry, str) and len(entry) == 3:
            onset, offset, label = entry
            events.append(event_of(onset, offset, label, where))
        else:
            raise ValueError(f"{where}: {shown(entry)} must be (onset, offset, label), in seconds")
    return events


def column_of(row: Iterable[Any], names: Iterable[str]) -> Any:
    """Find the column of a table of events that has one of several names, whatever its case.

    Args:
        row: The names of the table's columns.
        names: Those looked for, in lower case, the first that is there is taken.

    Returns:
        The name as the table has it; None if there is none.

    >>> column_of(["Onset", "note"], ("label", "note"))
    'note'
    """
    known = {str(name).strip().casefold(): name for name in row}
    return next((known[name] for name in names if name in known), None)


def event_in_row(row: Mapping[Any, Any], place: str, columns: EventColumns | None = None) -> Event:
    """Return the event in a row with named columns of a table of events.

    Args:
        row: Values by column name.
        place: Where the row stands, for messages.
        columns: The names that are looked for; None for the usual ones.

    Raises:
        ValueError: There is no onset or no label, or a value is wrong.

    >>> event_in_row({"onset": "1.5", "duration": "1", "event_label": "dog"}, "line 2")
    Event(onset=1.5, offset=2.5, label='dog')
    """
    names = [column_of(row, candidates) for candidates in columns or EventColumns()]
    if names[0] is None or names[2] is None:
        raise ValueError(f"{place}: {shown(dict(row))} must have an onset and a label")
    if names[1] is not None:
        return event_of(row[names[0]], row[names[1]], row[names[2]], place)
    length = column_of(row, (_DURATION,))
    return event_of(row[names[0]], None, row[names[2]], place, None if length is None else row[length])


def is_empty(value: Any) -> bool:
    """Return True for an empty cell of a table of events: nothing, NaN, or RTTM's <NA>.

    >>> is_empty(""), is_empty("0")
    (True, False)
    """
    return is_missing(value) or (isinstance(value, str) and value.strip().lower() in ("", "nan", "<na>"))


def _seconds(value: Any, name: str, place: str) -> float:
    try:
        seconds = math.nan if isinstance(value, bool) or (isinstance(value, str) and "_" in value) else float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"{place}: {name}={shown(value)} must be a number of seconds, 0 or more")
    return seconds


def _read_rttm(path: str, text: str) -> dict[str | None, list[Event]]:
    """Read the events of an RTTM file: the lines of type SPEAKER, by recording."""
    found: dict[str | None, list[Event]] = {}
    others: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        parts = line.split()
        if not parts or line.lstrip().startswith((";", "#")):
            continue
        if parts[0].upper() != "SPEAKER":
            others[parts[0]] = others.get(parts[0], 0) + 1
            continue
        if len(parts) < 8:
            raise ValueError(
                f"line {number} of {path} has {len(parts)} fields; RTTM has type, file, channel, onset, duration, two "
                "more, and the speaker"
            )
        event = event_of(parts[3], None, parts[7], f"line {number} of {path}", parts[4])
        found.setdefault(parts[1], []).append(event)
    if others:
        counted = ", ".join(f"{count} {name}" for name, count in others.items())
        warn_caller(f"{path} has lines of other types than SPEAKER, which are no events and are passed over: {counted}")
    return found


def _read_audacity(path: str, text: str) -> list[Event]:
    """Read the events of Audacity's labels: begin, end and text on each line, with tabs or spaces between."""
    events = []
    for number, line in enumerate(text.splitlines(), 1):
        # a line that begins with a backslash has the frequencies of the label before it
        if not line.strip() or line.startswith("\\"):
            continue
        parts = line.split("\t") if "\t" in line else line.split(None, 2)
        if len(parts) < 3:
            raise ValueError(
                f"line {number} of {path} is {shown(line)}; it must have begin, end and label, with tabs between"
            )
        events.append(event_of(parts[0], parts[1], "\t".join(parts[2:]), f"line {number} of {path}"))
    return events


def _read_delimited(path: str, text: str, delimiter: str, columns: EventColumns) -> dict[str | None, list[Event]]:
    """Read the events of a table with a header, or of one without, that has onset, offset and label."""
    found: dict[str | None, list[Event]] = {}
    names: list[str] | None = None
    recording: str | None = None
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        try:
            values = next(lines)
        except StopIteration:
            return found
        except csv.Error as error:
            raise ValueError(f"line {lines.line_num} of {path} is broken: {error}") from error
        place = f"line {lines.line_num} of {path}"
        if not any(value.strip() for value in values):
            continue
        if names is None:
            # numpy.savetxt puts a mark before its header
            names = [value.strip().lstrip("# ") for value in values]
            recording = column_of(names, RECORDINGS)
            if column_of(names, columns.onsets) is not None and column_of(names, columns.labels) is not None:
                continue
            if not _is_number(values[0]) or len(values) != 3:
                raise ValueError(
                    f"{place} is {shown(delimiter.join(values))}; a table of events has a header with onset, offset "
                    "and "
                    "label, or these three values on each line"
                )
            names, recording = ["onset", "offset", "label"], None
        if len(values) != len(names):
            raise ValueError(f"{place} has {len(values)} values for {len(names)} columns")
        row = dict(zip(names, values, strict=True))
        events = found.setdefault(None if recording is None else row[recording].strip(), [])
        # a line with a recording alone says that nothing sounds in it
        if not (recording is not None and all(is_empty(row[name]) for name in names if name != recording)):
            events.append(event_in_row(row, place, columns))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
