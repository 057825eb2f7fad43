"""The page that a notebook shows of a dataset: counts, hours, classes, settings; no file is read for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from audiofeed.data.datasets import AudioFiles

_CLASSES = 20
_FIRST = 5


def dataset_repr(dataset: AudioFiles) -> str:
    """Return the page that a notebook shows of a dataset of audio files, as its `_repr_html_`.

    Everything in it is known since the dataset was made: no file is opened, no package imported, and it never fails.
    """
    from audiofeed.drawing.pages import guarded

    return guarded(dataset, _page)


def _page(dataset: AudioFiles) -> str:
    from audiofeed.drawing.pages import folded, line, page, table

    table_of, rate = dataset._table, dataset.sample_rate
    seconds = table_of.lengths / rate
    # a selection shares the headers of the whole
    files = int(np.count_nonzero(np.bincount(table_of.file_numbers)))
    counted = f"{len(dataset)} example{'s' * (len(dataset) != 1)} from {files} file{'s' * (files != 1)}"
    head = f"{counted}, {_hours(float(seconds.sum()))}, {rate} Hz"
    parts = []
    if len(seconds):
        parts.append(
            line(
                f"{seconds.min():.4g} to {seconds.max():.4g} s, median {np.median(seconds):.4g} s; "
                f"epoch {dataset.epoch}"
            )
        )
    if dataset.faults:
        count = len(dataset.faults)
        parts.append(line(f"{count} fault{'s' * (count != 1)}, in .faults; the first: {dataset.faults[0]}"))
    classes = _classes(dataset, seconds)
    if classes:
        shown = table(classes[:_CLASSES], ("class", "number", "examples", "hours"))
        more = len(classes) - _CLASSES
        rest = line(f"and {more} more class{'es' * (more != 1)}") if more > 0 else ""
        parts.append(folded(f"{len(classes)} classes", shown + rest) if len(classes) > 6 else shown)
    parts.append(folded("settings", table(_settings(dataset))))
    first = [_row(dataset, i) for i in range(min(_FIRST, len(dataset)))]
    parts.append(folded("first examples", table(first, ("path", "seconds", "target"))))
    return page(type(dataset).__name__, head, *parts)


def _hours(seconds: float) -> str:
    """Return a length for a dataset's page, in hours, or in seconds where there is little."""
    return f"{seconds / 3600:.2f} h" if seconds >= 360 else f"{seconds:.4g} s"


def _classes(dataset: AudioFiles, seconds: np.ndarray) -> list[tuple[str, int, int, str]]:
    """Return each class on a dataset's page with its number, its examples and their length; the largest first."""
    targets = dataset.targets if dataset.classes else None
    if not isinstance(targets, np.ndarray) or targets.ndim != 1 or targets.dtype.kind not in "iu":
        return []
    count = len(dataset.classes)
    examples = np.bincount(targets, minlength=count)
    hours = np.bincount(targets, weights=seconds, minlength=count) / 3600
    order = np.argsort(-examples, kind="stable")
    return [(str(dataset.classes[i]), i, int(examples[i]), f"{hours[i]:.3g}") for i in order.tolist()]


def _settings(dataset: AudioFiles) -> list[tuple[str, Any]]:
    """Return the settings of a dataset for its page."""
    root = getattr(dataset, "root", None)
    rates = sorted(set(dataset.sample_rates.tolist()))
    kept = dataset._loader.kept
    return [
        *([] if root is None else [("root", root)]),
        ("sample_rate", dataset.sample_rate),
        ("rates of the files", ", ".join(map(str, rates))),
        ("crop", dataset.crop),
        ("mono", dataset.mono),
        ("on_error", dataset.on_error),
        ("seed", dataset.seed),
        ("keep", None if kept is None else f"memory, {dataset.kept_clips} clips so far"),
        ("fields", ", ".join(map(str, dataset._table.columns)) or None),
    ]


def _row(dataset: AudioFiles, i: int) -> tuple[str, str, Any]:
    """Return one of the first examples on a dataset's page."""
    row = dataset.row(i)
    return row["path"], f"{row['duration']:.4g}", row["label"]
