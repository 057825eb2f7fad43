"""A dataset from a table of files or parts of files."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from audiofeed.arguments.checks import check_path, warn_caller
from audiofeed.data.crops import Crop
from audiofeed.data.dataset_options import Keep, OnError, check_options, chosen_fields
from audiofeed.data.datasets import AudioFiles
from audiofeed.data.listing.index import ScanIndex
from audiofeed.data.listing.parts import frames_of, path_in, seconds_in
from audiofeed.data.listing.scanned_columns import ScannedColumns
from audiofeed.data.listing.tables import Table, read_table
from audiofeed.data.targets.classes import given_classes
from audiofeed.data.targets.event_files import OFFSETS, column_of
from audiofeed.data.targets.event_targets import EventTargets
from audiofeed.data.targets.frame_targets import FrameTargets
from audiofeed.data.targets.target_column import TargetColumn
from audiofeed.data.targets.target_types import TYPES, TargetType, typed_targets

# the column of the target, as in the items that a collate takes
_TARGET_NAMES = ("target", "label", "labels")


class AudioManifest(AudioFiles):
    """Dataset of the audio files, or parts of files, that a manifest table lists, raw, with a target for each row.

    The columns are `path` and optionally `start` and `duration` in seconds and `target` (or `label`, or `labels`), in
    any case and with spaces around them; all other columns become `fields`. An empty start (or NaN, as pandas has it)
    is 0, an empty duration the rest of the file; an `end` is not read, and one warning says so. A row with a start or a
    duration has the key `path@start` or `path@start-end`, in seconds.

    The columns that `audiofeed scan --write` adds (`sample_rate`, `channels`, `frames`, `format`, `subtype`,
    `data_offset`, `reader`, `size`, `mtime_ns`) are the headers of the files: where all of them are there, a file of
    that size and time of change is not opened, and they are fields only if `fields` names them. A file that changed
    since is read again, and one warning says so. A column `target_type` that it writes beside them says of a CSV that
    its targets are names of classes, though they look like numbers.

    A part is a clip of its own: crops, windows and resampling see nothing beyond it. So a part that is resampled begins
    and ends as a recording does, with silence around it. It differs from the same part of the whole file resampled: at
    its first and last samples by up to the signal's own size, and by more than a thousandth of that only within 80
    samples of its ends, counted at the lower of the two rates (5 ms at 16 kHz). Where that matters, list a wider part
    and take a `CenterCrop`.

    What a target becomes is said by `target_type`:

    | target_type | a cell | the target |
    |---|---|---|
    | None | text | the index of its class, among the sorted `classes`; one warning if it looks like a transcript |
    | | numbers alone (in CSV, too) | integers, or floats if any has a point or an exponent |
    | | lists of numbers, all equally long | a float32 or int64 vector, which stacks in a batch |
    | | anything else | kept |
    | "class" | text or a number | the index of the class that it names |
    | "text" | text | the text as it stands |
    | "number" | a number, or a list of numbers | the number, or a vector |
    | "multi_hot" | "dog,bark", or a list of names | a float32 vector over the classes; empty: none of them |
    | "sequence" | "3 1 2", or a list | an int64 sequence; of names, the indices of their classes |
    | a function | any value | what it returns for the value |
    | `EventTargets(...)` | onset, offset and label; or a list or file of them | events, which follow the crop |
    | `FrameTargets(...)` | a list, or a .npy file | labels at a frame rate, which follow the crop |

    Several files can make one example, as a mixture and its sources do (`path_columns`): they are read as one crop,
    each resampled if it has another rate, and aligned to the sample. Files of a row that differ in length are cut to
    what all of them have, with a warning; more than 0.1 s is an error.

    Args:
        source: A .csv or .tsv file with a header line, a .jsonl or .ndjson file, a .parquet file, or a list of dicts.
        root: The folder of relative paths; None for the manifest's own folder, or the current one for a list.
        path_column: The column of the path.
        path_columns: Columns of the paths of several files, read as one crop: the first is the example's waveform, the
            others become its target, a dict of waveforms by the columns' names, as long as its own, zero-padded in the
            batch. Where there is a target column they become `fields` instead. A dict gives other names, by name:
            column. None: one file, in `path_column`.
        target_column: The column of the target. "target" also takes `label` or `labels`, in this order, if there is no
            `target`; if there is none of them, every target is None, and a warning says so. None: there are no targets.
        target_type: "class", "text", "number", "multi_hot", "sequence", a function of a cell's value, `EventTargets` or
            `FrameTargets`; None takes what the values suggest (see the table).
        separator: What stands between the labels of a cell of text: None for "," of "multi_hot" and any space of
            "sequence".
        classes: Names of the classes in the order of their numbers, a dict of the numbers by name, or another dataset
            (or a Subset or ConcatDataset) whose classes these are, so that a training and a validation set number
            alike; a label that is none of them is an error. None: those of the column, sorted, as numbers if all of
            them are integers.
        fields: Names of the other columns that each example carries as `AudioExample.fields`; None for all.
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
        keep: "memory" keeps each clip as it is first read: whole, decoded, at the dataset's rate and with its channels,
            as int16, in one block of memory for all workers of the dataset. Crops are cut from there. What is float
            (of several channels averaged, resampled, MP3, Vorbis, floats) is rounded, in the first read too, and beyond
            full scale clipped. None reads the crop alone, each time.
        keep_gb: GB (10**9 bytes) that those clips may take; None: half of the memory that is free.
        index: A file that keeps what the scan found, between runs, as in `AudioFolder`.

    Raises:
        FileNotFoundError: The manifest does not exist, or the folder of `index`.
        AudioReadError: A file cannot be read under `on_error="raise"`, or no file can.
        ValueError: A row is wrong (the message has its line, column, value and the rule), a column occurs twice or is
            missing, rates or channels are mixed, an argument is out of range, or the
            clips to keep do not fit into the memory.
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
        path_columns: Sequence[str] | Mapping[str, str] | None = None,
        target_column: str | None = "target",
        target_type: TargetType | Callable[[Any], Any] | EventTargets | FrameTargets | None = None,
        separator: str | None = None,
        classes: Sequence[str] | AudioFiles | None = None,
        fields: Sequence[str] | None = None,
        sample_rate: int | None = None,
        crop: Crop | None = None,
        mono: bool = True,
        on_error: OnError = "raise",
        seed: int | None = 0,
        progress: bool | None = None,
        keep: Keep | None = None,
        keep_gb: float | None = None,
        index: str | os.PathLike[str] | None = None,
    ) -> None:
        check_options(sample_rate, crop, on_error, keep, keep_gb)
        _check_type(target_type, separator)
        table = read_table(source)
        owner, known = f"AudioManifest({table.name!r})", given_classes(classes)
        if root is not None:
            folder = check_path("root", root, "the folder of the files")
        else:
            folder = os.path.dirname(os.fsdecode(source)) if isinstance(source, (str, bytes, os.PathLike)) else ""
        files = _path_columns(table, path_column, path_columns)
        path, *further = files.values()
        spent: set[str | None] = set()
        events, own = None, target_type.columns_in(table) if isinstance(target_type, EventTargets) else None
        if own is not None:
            spent = {column_of(table.columns(), names) for names in own}
        begin, length = (None if found in spent else found for found in (table.find("start"), table.find("duration")))
        if own is not None and isinstance(target_type, EventTargets):
            # "duration" is an event's where there is no offset
            length = length if own.offsets else None
            table, events = target_type.gathered(
                table, own, [name for name in (path, begin, length) if name is not None]
            )
        is_separate = isinstance(target_type, (EventTargets, FrameTargets)) and target_type.source is not None
        is_separate = is_separate or own is not None
        label = None if is_separate else _target_column(table, target_column)
        paths = [os.path.join(folder, path_in(table, i, path)) for i in range(len(table.rows))]
        spans = [(seconds_in(table, i, begin), seconds_in(table, i, length, "above 0")) for i in range(len(table.rows))]
        if label is None and target_column is not None and not is_separate and len(files) == 1:
            warnings.warn(
                f"{table.name} has no column {' or '.join(map(repr, _TARGET_NAMES))}, so every target is None; its "
                f"columns are {table.columns()}: name the one to take with target_column=, or pass target_column=None",
                stacklevel=2,
            )
        if own is None and begin is not None and length is None:
            _warn_of_ends(table, spans)
        cells: list[Any] | None = events
        if cells is None and label is not None:
            cells = [row.get(label) for row in table.rows]
        scanned = ScannedColumns(table, paths)
        marked = scanned.type_column
        targets: TargetColumn
        if isinstance(target_type, EventTargets):
            targets = target_type.read(paths, cells, table.place, folder, known, owner, own is not None)
        elif isinstance(target_type, FrameTargets):
            targets = target_type.read(paths, cells, table.place, folder, known)
        else:
            as_names = marked is not None and target_type in (None, "class") and label == table.find(_TARGET_NAMES[0])
            cells_as_they_stand = dataclasses.replace(table, text=False) if as_names else table
            targets = typed_targets(cells_as_they_stand, label, target_type, separator, known, owner)
        hidden = {*files.values(), label, begin, length, *((*scanned.names, marked) if fields is None else ())}
        names = [name for name in table.columns() if name not in hidden]
        super().__init__(
            paths,
            targets=targets,
            beside={
                name: [os.path.join(folder, path_in(table, i, column)) for i in range(len(table.rows))]
                for name, column in zip(list(files)[1:], further, strict=True)
            },
            fields=chosen_fields({name: [row.get(name) for row in table.rows] for name in names}, fields),
            segment=lambda i, info: frames_of(table, i, *spans[i], info),
            describe=table.place,
            keyed=["span" if length is not None else "" if start is None else "start" for start, length in spans],
            sample_rate=sample_rate,
            crop=crop,
            mono=mono,
            on_error=on_error,
            seed=seed,
            progress=progress,
            keep=keep,
            keep_gb=keep_gb,
            # a list may be a rank's own part
            source=None if table.name == "the list" else {"AudioManifest": table.name, "target_column": target_column},
            known=[scanned] if index is None else [scanned, ScanIndex(index, folder)],
        )


def _warn_of_ends(table: Table, spans: Sequence[tuple[float | None, float | None]]) -> None:
    """Warn if a manifest's parts have a start and, in place of a duration, a column that seems to be their end."""
    end = column_of(table.columns(), OFFSETS)
    if end is not None and any(start is not None for start, _ in spans):
        warn_caller(
            f"{table.name} has a start and no duration, so each part reaches to the end of its file, and its column "
            f"{end!r} is only a field; give a column 'duration', in seconds"
        )


def _check_type(target_type: Any, separator: str | None) -> None:
    """Check the type of a manifest's targets, and that a separator has something to separate."""
    if isinstance(target_type, type) and issubclass(target_type, (EventTargets, FrameTargets)):
        raise ValueError(
            f"target_type={target_type.__name__} is a class; give it its settings: {target_type.__name__}(...)"
        )
    timed = isinstance(target_type, (EventTargets, FrameTargets))
    if not (target_type is None or timed or callable(target_type) or target_type in TYPES):
        raise ValueError(
            f"target_type={target_type!r} must be one of {', '.join(map(repr, TYPES))}, a function, EventTargets, "
            "FrameTargets, or None to take what the values suggest"
        )
    if separator is None:
        return
    if not isinstance(separator, str) or not separator:
        raise ValueError(f"separator={separator!r} must be the text between two labels, such as ',', or None")
    if target_type not in ("multi_hot", "sequence"):
        raise ValueError(
            f"separator={separator!r} splits the cells of target_type='multi_hot' and 'sequence', not of "
            f"{target_type!r}"
        )


def _path_columns(table: Table, column: str, columns: Sequence[str] | Mapping[str, str] | None) -> dict[str, str]:
    """Return the columns of a manifest's paths by the names of their waveforms, the example's own first."""
    if columns is None:
        return {"path": table.find(column) or column}
    if isinstance(columns, str) or not columns:
        raise ValueError(f"path_columns={columns!r} must be a list of one or more columns, or a dict of them by name")
    if column != "path":
        raise ValueError(f"path_column={column!r} and path_columns={columns!r} both name the paths; give one of them")
    named = dict(columns) if isinstance(columns, Mapping) else {name: name for name in columns}
    if len(named) < len(columns):
        raise ValueError(f"path_columns={columns!r} has one name twice; each file has a name of its own")
    found = {}
    for name, wanted in named.items():
        known = table.find(wanted)
        if known is None:
            raise ValueError(
                f"path_columns names {wanted!r}, which is not a column of {table.name}, only {table.columns()}"
            )
        found[name] = known
    return found


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
