"""The sections of a report that are figures: files, lengths, levels, classes, faults, batches, speed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from audiofeed.report.drawing import ORANGE, Element, histogram, table, tag
from audiofeed.report.levels import FRAME_SECONDS, LEAST_RUN, SILENCE_DB
from audiofeed.report.speed import best_test
from audiofeed.report.words import count, duration, megabytes, percent
from audiofeed.survey.summary import group_causes

_SHOWN = 10
_CLASSES = 40
_LOWEST_DB, _STEP_DB = -75, 5


def files_section(figures: Mapping[str, Any]) -> list[Element]:
    """Return a report's tables of sample rates, channels and formats.

    Args:
        figures: As `write_report` returns them.
    """
    parts = []
    for title, name in (("sample rate", "sample_rates"), ("channels", "channels"), ("format", "formats")):
        rows = [(kind, f"{found['files']:,}", duration(3600 * found["hours"])) for kind, found in figures[name].items()]
        parts.append(tag("div", table((title, "files", "length"), rows)))
    size = (
        f"{count(figures['files'], 'file')}, {figures['good']:,} of them with a good header, in "
        f"{megabytes(figures['bytes'] / 1e6)}"
    )
    passed = ", ".join(f"{n:,} {ending or 'without one'}" for ending, n in figures["passed_over"].items())
    return [
        tag("p", f"{size}; {count(figures['clips'], 'clip')}, {duration(3600 * figures['hours'])} of sound."),
        tag("p", f"Passed over, by extension: {passed}.") if passed else tag("p", "No file was passed over."),
        tag("div", parts, class_="grid"),
    ]


def lengths_section(figures: Mapping[str, Any]) -> list[Element]:
    """Return a report's histogram and quantiles of the clips' lengths.

    Args:
        figures: As `write_report` returns them.
    """
    found = figures["durations"]
    names = {
        "shortest": "shortest",
        "q05": "5 % are shorter",
        "median": "median",
        "mean": "mean",
        "q95": "5 % are longer",
        "longest": "longest",
    }
    edges = [f"{edge:g}" for edge in found["histogram"]["edges"]]
    rows = [(text, duration(found[name])) for name, text in names.items()]
    return [
        tag(
            "div",
            histogram(edges, found["histogram"]["clips"], "length of a clip (s)"),
            table(("length", ""), rows),
            class_="grid",
        ),
    ]


def levels_section(figures: Mapping[str, Any]) -> list[Element | None]:
    """Return what a report has measured in the samples.

    Args:
        figures: As `write_report` returns them.
    """
    levels = figures["levels"]
    if levels["clips"] == levels["of_clips"]:
        whole = f"All {levels['clips']:,} clips were measured"
    elif levels["clips"] + levels["unread"] == levels["of_clips"]:
        whole = f"{levels['clips']:,} of {levels['of_clips']:,} clips were measured, the others cannot be read"
    else:
        whole = f"{levels['clips']:,} of {levels['of_clips']:,} clips, drawn at random, were measured"
    pictures = [
        tag("div", tag("h3", title), _of_levels(levels[name], color))
        for title, name, color in (
            ("Peak", "peak_db", ORANGE),
            ("RMS", "rms_db", "#0072B2"),
            (f"RMS of what is louder than {SILENCE_DB:g} dB", "sounding_db", "#0072B2"),
        )
    ]
    rows = [
        ("samples at full scale", f"{levels['full_scale_samples']:,}"),
        ("clips with such a sample", f"{levels['full_scale_clips']:,}"),
        (f"runs of {LEAST_RUN} or more of these", f"{levels['clipped_runs']:,}"),
        ("clips with such a run: clipped", f"{len(levels['clipped']):,}"),
        ("longest run", count(levels["longest_run"], "sample")),
        ("largest offset (mean of a channel)", f"{levels['largest_offset']:+.4f}"),
        ("clips with an offset of 0.01 or more", f"{len(levels['shifted']):,}"),
        ("share of time that is silent", percent(levels["silence_share"])),
        ("clips that are silent from end to end", f"{len(levels['silent']):,}"),
    ]
    return [
        tag(
            "p",
            f"{whole}, {duration(3600 * levels['hours'])}, as they are stored, all channels; levels are dB of "
            f"full scale. Silent is a frame of {1000 * FRAME_SECONDS:g} ms with an RMS below {SILENCE_DB:g} dB.",
        ),
        tag("div", pictures, class_="grid"),
        table(("measured", ""), rows),
        _worst(
            "Clipped most",
            ("clip", "runs", "samples at full scale", "longest run"),
            [(at["clip"], f"{at['runs']:,}", f"{at['samples']:,}", f"{at['longest']:,}") for at in levels["clipped"]],
        ),
        _worst(
            "Largest offsets", ("clip", "offset"), [(at["clip"], f"{at['offset']:+.4f}") for at in levels["shifted"]]
        ),
        _worst("Silent from end to end", ("clip",), [(name,) for name in levels["silent"]]),
    ]


def classes_section(figures: Mapping[str, Any]) -> list[Element]:
    """Return a report's table of classes, with a bar for the clips of each.

    Args:
        figures: As `write_report` returns them.
    """
    labels = figures["labels"]
    if not labels:
        return [tag("p", "There are no classes: clips lie in no subfolders, and the manifest has no labels.")]
    names, total = list(labels), sum(found["clips"] for found in labels.values())
    most = labels[names[0]]["clips"]
    if len(names) > _CLASSES and most == 1:
        return [tag("p", f"{len(names):,} labels, each of one clip: texts, it seems, and no classes.")]
    shown = names if len(names) <= _CLASSES else [*names[: _CLASSES - 10], *names[-10:]]
    rows = []
    for name in shown:
        found = labels[name]
        bar = tag("span", class_="bar", style=f"width:{7 * found['clips'] / most:.2f}rem")
        rows.append(
            (name, f"{found['clips']:,}", percent(found["clips"] / total), duration(3600 * found["hours"]), bar)
        )
    said = (
        f"{len(names):,} class{'es' * (len(names) != 1)}; the largest has {percent(most / total)} of the labels: a "
        "guess of it gets as much."
    )
    if len(shown) < len(names):
        said += f" The {_CLASSES - 10} largest and the 10 smallest are shown."
    return [tag("p", said), table(("class", "clips", "share", "length", ""), rows)]


def faults_section(figures: Mapping[str, Any]) -> list[Element]:
    """Return a report's bad files, by cause and one by one, and its duplicates.

    Args:
        figures: As `write_report` returns them.
    """
    bad = [*figures["bad_files"], *figures["unread"]]
    parts = [tag("h3", "Bad files")]
    if bad:
        groups = [(cause, _below(figures, path), f"{n:,}") for n, cause, path in group_causes(bad)]
        rows = [(_below(figures, fault["path"] or ""), fault["cause"] or "") for fault in bad[:200]]
        more = f" The first 200 are shown; audiofeed scan --bad FILE writes all {len(bad):,}." if len(bad) > 200 else ""
        listed = tag("details", tag("summary", f"all, one by one.{more}"), table(("file", "reason"), rows, 2))
        parts += [table(("reason", "the first", "files"), groups, 2), listed]
    else:
        parts.append(tag("p", "None: every header is good, and every file that was read."))
    short = figures["shorter_than_promised"]
    if short:
        parts.append(
            tag("p", f"{count(len(short), 'file')} hold a little less than the header promises, and are read.")
        )
    parts.append(tag("h3", "Duplicates"))
    groups = figures["duplicates"]
    if not groups:
        parts.append(tag("p", "No two files have the same bytes."))
    else:
        names = [[_below(figures, path) for path in group] for group in groups]
        rows = [(own[0], ", ".join(own[1:4]) + (f", {len(own) - 4:,} more" if len(own) > 4 else "")) for own in names]
        parts.append(_worst("", ("file", "same bytes"), rows, 2) or tag("p"))
    return parts


def batches_section(figures: Mapping[str, Any]) -> list[Element]:
    """Return what a report counts of an epoch of batches.

    Args:
        figures: As `write_report` returns them.
    """
    rows = [
        (
            cost["way"],
            f"{cost['batches']:,}",
            percent(cost["padding"]),
            f"{cost['largest_clips']:,} clips, {duration(cost['largest_seconds'] / cost['largest_clips'])} each",
            megabytes(cost["waveforms_mb"]),
            megabytes(cost["features_mb"]),
        )
        for cost in figures["batches"]
    ]
    return [
        tag(
            "p",
            "An epoch, counted from the lengths. Padding is the share of samples that no clip fills. The largest "
            "batch has to fit in memory; its features are those of the transform.",
        ),
        table(("way", "batches", "padding", "largest batch", "waveforms", "features"), rows),
    ]


def speed_section(figures: Mapping[str, Any]) -> list[Element]:
    """Return a report's tests of speed, with the sentence that names the bottleneck.

    Args:
        figures: As `write_report` returns them.
    """
    speed = figures["speed"]
    tests = speed["tests"]
    parts = [tag("p", speed["none"])] if speed["none"] else []
    if not tests:
        return parts
    best = best_test(tests)
    stages = list(tests[0]["ms_per_clip"])
    heads = ["", *(count(test["workers"], "worker") for test in tests)]
    rows: list[Sequence[str]] = [
        ("clips in a second", *(f"{test['clips_per_second']:,.0f}" for test in tests)),
        ("seconds of sound in a second", *(f"{test['audio_per_second']:,.0f}" for test in tests)),
        ("an epoch", *(duration(test["epoch_seconds"]) for test in tests)),
        *((f"{stage}, ms a clip", *(f"{test['ms_per_clip'][stage]:.2f}" for test in tests)) for stage in stages),
    ]
    return [
        *parts,
        tag("p", f"With {count(best['workers'], 'worker')}: {best['bottleneck']}.", class_="binds"),
        tag(
            "p",
            f"A feed of {speed['way']}, without a model. read, decode, resample and "
            "collate count in the process that makes a batch. Files may have come from the system's cache.",
        ),
        table(heads, rows),
        tag("ul", [tag("li", f"{count(test['workers'], 'worker')}: {test['bottleneck']}") for test in tests]),
    ]


def _below(figures: Mapping[str, Any], path: str) -> str:
    """Return a path of a report as it counts from the folder that the report is about."""
    return path.removeprefix(os.path.join(figures["source"], ""))


def _of_levels(values: Sequence[float | None], color: str) -> Element:
    """Draw the histogram of levels in a report; digital silence is the lowest, floats beyond full scale stand apart."""
    edges = np.arange(_LOWEST_DB, 1, _STEP_DB)
    inside = [_LOWEST_DB if value is None else max(value, _LOWEST_DB) for value in values if not (value and value > 0)]
    counts = np.histogram(inside, edges)[0].tolist()
    names = [f"< {edges[1]}", *map(str, edges[1:])]
    if len(inside) < len(values):
        counts.append(len(values) - len(inside))
        names.append("> 0")
    return histogram(names, counts, "dB", color)


def _worst(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], numbers_from: int = 1) -> Element | None:
    """Return a table of the first rows of a report's list, and how many more there are; None without any."""
    if not rows:
        return None
    more = tag("p", f"and {len(rows) - _SHOWN:,} more") if len(rows) > _SHOWN else None
    return tag("div", tag("h3", title) if title else None, table(heads, rows[:_SHOWN], numbers_from), more)
