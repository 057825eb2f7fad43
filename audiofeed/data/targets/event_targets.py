"""Events as a dataset's targets: onset, offset and label, cut with the crop and marked in the features' frames."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any, Literal

import numpy as np
import torch

from audiofeed.arguments.checks import check_choice, warn_caller
from audiofeed.data.listing.columns import PackedStrings
from audiofeed.data.listing.tables import Table, is_missing, shown
from audiofeed.data.readers import AudioInfo
from audiofeed.data.targets.classes import ClassNames, given_classes, number_classes
from audiofeed.data.targets.event_files import (
    ENDINGS,
    LABELS,
    OFFSETS,
    ONSETS,
    Event,
    EventColumns,
    column_of,
    event_in_row,
    events_in,
    is_empty,
    read_events,
)
from audiofeed.data.targets.target_column import CropPlace, TargetColumn
from audiofeed.data.targets.timed import CutEvents

MARKS = ("activity", "onset", "offset")
# the column by which a manifest's row names a part of a file, and an event's onset where there is an offset, too
_START = "start"


@dataclass(frozen=True, kw_only=True)
class EventTargets:
    """Targets in time from labeled events: cut with the crop, and marked in the frames of the features.

    A value of `AudioManifest(target_type=)` or `AudioFolder(target=)`. In a batch, `targets` is (batch, classes,
    frames) of 0 and 1, with exactly the features' frames. The classes are the dataset's `classes`: those given to it,
    or all labels in order.

    An instant belongs to the frame whose center is nearest, by the transform's own `times`: a frame's cell reaches half
    the way to the centers beside it, its beginning included, and the first and last cell of a clip reach to its ends.
    So an onset is marked in the frame nearest to it, whatever the hop and however the transform pads.

    Args:
        source: Where the events of a recording are. None: in the manifest; either each row has an onset, an offset and
            a label, and rows of the same path are one example, or the target column holds the path of a file, or a list
            of (onset, offset, label). An ending, such as ".tsv": in a file of the same name beside the recording. A
            path: in one file for all recordings, which names them by path or name. A function of the recording's path
            returns such a list or path.
        marks: "activity" marks the frames in which an event sounds, "onset" the one in which it begins (if that lies in
            the crop), "offset" the one in which it ends. A tuple of them gives a dict of targets by these names.
        rule: "span": an event sounds in each frame whose cell it overlaps. "center": in each frame whose center lies in
            it, the onset included and the offset not, and at least in the frame of its onset.
        onset: Column of the onset in seconds; None for any of the usual names.
        offset: Column of the offset in seconds; None for any of the usual names. Without a column `offset` or
            `duration` events are instants.
        label: Column of the label; None for any of the usual names.
        origin: "file" counts times from the start of the file, "part" from the start of the part that a row names.

    Raises:
        TypeError: `source` or the name of a column is not of its type.
        ValueError: An argument is not one of its values.

    >>> EventTargets(source=".rttm", marks=("onset", "activity"))
    EventTargets(source='.rttm', marks=('onset', 'activity'), rule='span', ...)
    """

    source: str | os.PathLike[str] | Callable[[str], Any] | None = None
    marks: str | tuple[str, ...] = "activity"
    rule: Literal["span", "center"] = "span"
    onset: str | None = None
    offset: str | None = None
    label: str | None = None
    origin: Literal["file", "part"] = "file"

    def __post_init__(self) -> None:
        marks = (self.marks,) if isinstance(self.marks, str) else tuple(self.marks)
        if not marks or len(set(marks)) < len(marks) or not set(marks) <= set(MARKS):
            raise ValueError(f"marks={self.marks!r} must be one of {', '.join(map(repr, MARKS))}, or several of them")
        object.__setattr__(self, "marks", self.marks if isinstance(self.marks, str) else marks)
        check_choice("rule", self.rule, ("span", "center"))
        check_choice("origin", self.origin, ("file", "part"))
        if not (self.source is None or callable(self.source) or isinstance(self.source, (str, os.PathLike))):
            raise TypeError(
                f"source={self.source!r} must be an ending, a path, a function of a recording's path, or None"
            )
        for name in ("onset", "offset", "label"):
            if not isinstance(getattr(self, name), (str, type(None))):
                raise TypeError(
                    f"{name}={getattr(self, name)!r} must be the name of a column, or None for the usual ones"
                )

    def cut(
        self, events: Sequence[Any], *, classes: Sequence[str], start: float, samples: int, sample_rate: int
    ) -> CutEvents:
        """Cut events to a crop: the target of an example that a dataset of your own yields.

        Args:
            events: (onset, offset, label) each, in seconds; a label is one of `classes`.
            classes: Names of the classes, in the order of their numbers.
            start: Seconds from where the times are counted to the waveform's first sample.
            samples: Samples of the waveform, without silence that a crop has added.
            sample_rate: Hz of the waveform.

        Returns:
            The target of an example; a collate marks it in the features' frames.

        Raises:
            ValueError: An event is wrong, or its label is not one of the classes.

        >>> events = [(0.5, 0.7, "b")]
        >>> cut = EventTargets().cut(events, classes=["a", "b"], start=0.25, samples=8000, sample_rate=16_000)
        >>> cut.onsets.tolist(), cut.labels.tolist()
        ([4000.0], [1])
        """
        known = given_classes(classes)
        column = EventColumn([events_in(events, "the events")], replace(self, origin="file"), known, ["the events"], "")
        return column.cut(0, CropPlace(start, 0.0, samples, sample_rate))

    def columns(self) -> EventColumns:
        """Return the names that are looked for in a table of these events."""
        given = (self.onset, self.offset, self.label)
        usual = (ONSETS, OFFSETS, LABELS)
        names = [known if own is None else (own.strip().casefold(),) for own, known in zip(given, usual, strict=True)]
        return EventColumns(*names)

    def columns_in(self, table: Table) -> EventColumns | None:
        """Return the columns of a manifest in which each row has an event; None if it has none.

        Args:
            table: The manifest's rows.

        Raises:
            ValueError: A column that an argument names is not there.
        """
        names = table.columns()
        for argument, name in (("onset", self.onset), ("offset", self.offset), ("label", self.label)):
            if name is not None and self.source is None and column_of(names, (name.strip().casefold(),)) is None:
                raise ValueError(f"{argument}={name!r} is not a column of {table.name}, only {names}")
        onsets, offsets, labels = self.columns()
        if self.onset is None and column_of(names, offsets) is None:
            onsets = tuple(name for name in onsets if name != _START)
        found = [column_of(names, candidates) for candidates in (onsets, offsets, labels)]
        if self.source is not None or found[0] is None or found[2] is None:
            return None
        return EventColumns(*(() if name is None else (str(name).strip().casefold(),) for name in found))

    def gathered(self, table: Table, columns: EventColumns, keys: Sequence[str]) -> tuple[Table, list[list[Event]]]:
        """Gather the rows of a manifest of events, one event each, to one row for each recording.

        Args:
            table: The manifest's rows.
            columns: Those of the event.
            keys: The columns that are the same in all rows of a recording: its path, and start and duration of a part.

        Returns:
            The recordings in the order of their first rows, and the events of each. A column with several values in a
            recording's rows has the list of them.
        """
        own = {column_of(table.columns(), names) for names in columns}
        duration = column_of(table.columns(), ("duration",)) if not columns.offsets and "duration" not in keys else None
        own.add(duration)
        rows: dict[tuple[Any, ...], dict[str, list[Any]]] = {}
        events: dict[tuple[Any, ...], list[Event]] = {}
        numbers: dict[tuple[Any, ...], int] = {}
        for i, row in enumerate(table.rows):
            key = tuple(None if is_empty(row.get(name)) else row[name] for name in keys)
            numbers.setdefault(key, table.numbers[i])
            values = rows.setdefault(key, {})
            for name, value in row.items():
                if name not in own:
                    values.setdefault(name, []).append(value)
            heard = events.setdefault(key, [])
            if not all(name is None or is_empty(row.get(name)) for name in own):
                heard.append(event_in_row(row, table.place(i), columns))
        merged = [
            {name: found[0] if _are_alike(found) else found for name, found in values.items()}
            for values in rows.values()
        ]
        return Table(table.name, table.unit, list(numbers.values()), merged, table.text), list(events.values())

    def read(
        self,
        paths: Sequence[str],
        cells: Sequence[Any] | None,
        place: Callable[[int], str],
        folder: str,
        classes: ClassNames | None,
        owner: str,
        paired: bool = False,
    ) -> EventColumn:
        """Read the events of a dataset's recordings.

        Args:
            paths: One for each clip.
            cells: What the manifest has for each: a list of events, or a file's path; None if there is no such column.
            place: Describes where a clip is listed, for messages.
            folder: The folder of relative paths.
            classes: The classes; None for all labels in order.
            owner: Describes the dataset, for messages.
            paired: Each event stands in a row of its own with the part of the file that it lies in.

        Raises:
            FileNotFoundError: A file of events does not exist.
            ValueError: A file or an event is wrong, no recording is named in the file for all, or there is no source.
        """
        files: dict[str, dict[str | None, list[Event]]] = {}

        def listed(path: str, name: str) -> list[Event]:
            if path not in files:
                files[path] = read_events(path, self.columns())
            named = files[path]
            own = None if None in named else _name_of(named, name)
            if own not in named and len(named) > 1:
                raise ValueError(f"{path} names {len(named)} recordings, and none of them is {name!r}")
            return named[own] if own in named else next(iter(named.values()), [])

        def of_value(i: int, value: Any) -> list[Event]:
            if isinstance(value, (str, os.PathLike)):
                if is_empty(value):
                    return []
                return listed(os.path.join(folder, os.fsdecode(value)), paths[i])
            return [] if value is None else events_in(value, place(i))

        source = self.source
        if source is None:
            if cells is None:
                raise ValueError("EventTargets() has no source; give it one: an ending, a file or a function")
            events = [of_value(i, value) for i, value in enumerate(cells)]
        elif callable(source):
            events = [of_value(i, source(path)) for i, path in enumerate(paths)]
        elif os.fspath(source).lower() in ENDINGS:
            events = [listed(str(PurePath(path).with_suffix(os.fspath(source))), path) for path in paths]
        else:
            events = self._of_all(os.path.join(folder, os.fspath(source)), paths)
        return EventColumn(events, self, classes, [place(i) for i in range(len(paths))], owner, paired)

    def _of_all(self, path: str, paths: Sequence[str]) -> list[list[Event]]:
        """Return the events of each recording from one file of events for all."""
        named = read_events(path, self.columns())
        if None in named:
            raise ValueError(
                f"source={path!r} does not name recordings, and is to hold the events of {len(set(paths))}; add "
                "a column 'filename', or give each recording a file of its own"
            )
        owners: dict[str, str] = {}
        events, silent = [], []
        for audio in paths:
            name = _name_of(named, audio)
            if name is None:
                silent.append(audio)
            elif owners.setdefault(name, audio) != audio:
                raise ValueError(
                    f"{path} has events of {name!r}, which may be {owners[name]!r} or {audio!r}: they have the same "
                    "name; name them by their paths"
                )
            events.append([] if name is None else named[name])
        if len(silent) == len(paths):
            raise ValueError(
                f"{path} has events of {len(named)} recordings, {shown(next(iter(named), None))} for one, and of none "
                f"of the {len(paths)} here, {paths[0]!r} for one; a recording is named by its path or its file's name"
            )
        if silent:
            warn_caller(
                f"{path} has no line for {len(silent)} of {len(paths)} recordings, {silent[0]!r} for one; they are "
                "taken as recordings without events"
            )
        return events

    def __repr__(self) -> str:
        source = self.source if isinstance(self.source, (str, type(None))) else "..."
        return f"EventTargets(source={source!r}, marks={self.marks!r}, rule={self.rule!r}, ...)"


def _are_alike(values: Sequence[Any]) -> bool:
    """Return True if all cells of a column are the same in the rows of an event's recording, or all are empty."""
    first = values[0]
    if is_missing(first):
        return all(map(is_missing, values))
    if isinstance(first, np.ndarray):
        return all(isinstance(value, np.ndarray) and np.array_equal(value, first) for value in values)
    return all(type(value) is type(first) and bool(value == first) for value in values)


def _name_of(named: Mapping[str | None, Any], path: str) -> str | None:
    """Return the name that a file of events has for a recording: its path, the end of it, or its name.

    None if it has none.
    """
    parts = PurePath(path).parts
    ends = ["/".join(parts[i:]) for i in range(1, len(parts))]
    return next((name for name in (path, *ends, PurePath(path).stem) if name in named), None)


class EventColumn(TargetColumn):
    """Column of a dataset's events, packed: those of each clip, cut with its crop.

    Args:
        events: Those of each clip, in seconds.
        settings: How they are marked.
        classes: The classes; None for all labels in order.
        places: Where each clip is listed, for messages.
        owner: Describes the dataset, for messages.
        paired: Each event stands in a row of its own with the part of the file that it lies in.
    """

    in_time = True

    def __init__(
        self,
        events: Sequence[Sequence[Event]],
        settings: EventTargets,
        classes: ClassNames | None,
        places: Sequence[str],
        owner: str,
        paired: bool = False,
    ) -> None:
        owners = [clip for clip, row in enumerate(events) for _ in row]
        names = [event.label for row in events for event in row]
        numbers, known = number_classes(names, classes, lambda i: places[owners[i]], owner)
        if not known:
            raise ValueError("there is no event in any recording, so there are no classes; name them with classes=")
        super().__init__(numbers, known)
        self.settings = settings
        self._paired = paired
        self._places = PackedStrings(places)
        self._ends = np.cumsum([0] + [len(row) for row in events], dtype=np.int64)
        self._onsets = np.array([event.onset for row in events for event in row], dtype=np.float64)
        self._offsets = np.array([event.offset for row in events for event in row], dtype=np.float64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def take(self, clips: Sequence[int]) -> EventColumn:
        """Return the events of some of a dataset's clips."""
        places = [self._places[clip] for clip in clips]
        return EventColumn([self.whole(clip) for clip in clips], self.settings, self.classes, places, "", self._paired)

    def check(self, infos: Sequence[AudioInfo], spans: np.ndarray) -> None:
        """Warn of events of a dataset that no crop holds: those after the end of their file, or outside of their "
        "part."""
        owners = np.repeat(np.arange(len(self)), np.diff(self._ends))
        durations = np.array([info.duration for info in infos], dtype=np.float64)
        begins, ends = np.zeros(len(self)), durations
        if self.settings.origin == "part":
            ends = spans[:, 1] - spans[:, 0]
        elif self._paired:
            begins, ends = spans.T
        onsets, offsets = (np.round(times, 9) for times in (self._onsets, self._offsets))
        begin, end = np.round(begins[owners], 9), np.round(ends[owners], 9)
        lost = np.flatnonzero((onsets >= end) | (offsets < begin) | ((offsets == begin) & (onsets < begin)))
        if lost.size:
            clip, i = int(owners[lost[0]]), lost[0]
            warn_caller(
                f"{lost.size} of {len(owners)} events lie outside of their recording or part, and are in no example: "
                f"that of {self._places[clip]} from {self._onsets[i]:g} to {self._offsets[i]:g} s, where "
                f"{infos[clip].path!r} is heard from {begins[clip]:g} to {ends[clip]:g} s"
            )

    def whole(self, clip: int) -> list[Event]:
        """Return the events of a whole clip of a dataset, in seconds."""
        span = self._span(clip)
        names = [self.classes[number] for number in self.values[span]]
        return [
            Event(*event)
            for event in zip(self._onsets[span].tolist(), self._offsets[span].tolist(), names, strict=True)
        ]

    def cut(self, clip: int, place: CropPlace) -> CutEvents:
        """Return the events that sound in a crop of a dataset's clip."""
        span = self._span(clip)
        origin = place.start - (place.part_start if self.settings.origin == "part" else 0.0)
        onsets = np.round((self._onsets[span] - origin) * place.sample_rate, 6)
        offsets = np.round((self._offsets[span] - origin) * place.sample_rate, 6)
        heard = (onsets < place.samples) & ((offsets > 0) | ((offsets == onsets) & (onsets >= 0)))
        return CutEvents(
            torch.from_numpy(onsets[heard]),
            torch.from_numpy(offsets[heard]),
            torch.from_numpy(self.values[span][heard]),
            place.samples,
            len(self.classes),
            self.settings.marks,
            self.settings.rule,
        )

    def label(self, clip: int) -> list[Event]:
        """Return the events of a dataset's clip, whose labels are names of classes already."""
        return self.whole(clip)

    def _span(self, clip: int) -> slice:
        clip = range(len(self))[clip]
        return slice(int(self._ends[clip]), int(self._ends[clip + 1]))
