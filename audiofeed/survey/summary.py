"""The figures of a surveyed corpus, as plain numbers and texts that JSON can hold."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np

from audiofeed.survey.corpus import Corpus

_BINS = 12
# lengths that span more than this factor are shown on a logarithmic scale
_WIDE = 40.0


def summarize(corpus: Corpus) -> dict[str, Any]:
    """Count what a surveyed corpus holds.

    Args:
        corpus: The files.

    Returns:
        Counts of files and clips, hours, bytes, and hours by sample rate, channels and format; the durations' quantiles
        and histogram; bad files with reasons; files passed over; the number of classes.
    """
    infos, seconds = corpus.infos, corpus.seconds
    files = len(infos) + len(corpus.faults)
    short = [info for info in infos if info.missing]
    labels = corpus.labels()
    plain = [label for label in labels if isinstance(label, (str, int)) and label != ""]
    classes = Counter(map(str, plain))
    return {
        "source": corpus.source,
        "files": files,
        "good": len(infos),
        "bad": len(corpus.faults),
        "clips": len(corpus.clips),
        "hours": float(seconds.sum()) / 3600,
        "bytes": sum(info.size for info in infos),
        "sample_rates": _by(corpus, [f"{info.sample_rate} Hz" for info in infos]),
        "channels": _by(corpus, [str(info.channels) for info in infos]),
        "formats": _by(corpus, [f"{info.format} {info.subtype}" for info in infos]),
        "durations": _durations(seconds),
        "classes": None if not classes else {"count": len(classes), "fewest": min(classes.values()),
                                             "most": max(classes.values()), "without_good_files": corpus.bare},
        "bad_files": [{"path": fault.path, "cause": fault.cause} for fault in corpus.faults],
        "shorter_than_promised": [info.path for info in short],
        "passed_over": corpus.passed_over,
        "passed_over_may_be_audio": corpus.unexpected,
    }  # fmt: skip


def group_causes(bad_files: list[dict[str, Any]]) -> list[tuple[int, str, str]]:
    """Group the bad files of a survey by cause; causes that differ in numbers and names alone are one.

    Args:
        bad_files: Paths and causes.

    Returns:
        For each cause the number of files, the first one's cause and its path, the most frequent first.

    >>> group_causes([{"path": "a", "cause": "cut at 3"}, {"path": "b", "cause": "cut at 44"}])
    [(2, 'cut at 3', 'a')]
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for bad in bad_files:
        groups.setdefault(re.sub(r"b?'[^']*'|\d+", "", bad["cause"] or ""), []).append(bad)
    found = [(len(group), group[0]["cause"] or "", group[0]["path"] or "") for group in groups.values()]
    return sorted(found, key=lambda entry: -entry[0])


def _by(corpus: Corpus, kinds: list[str]) -> dict[str, dict[str, float]]:
    """Return files and hours of a surveyed corpus by a property of the files, the most hours first."""
    files = Counter(kinds)
    hours: Counter[str] = Counter()
    for file, seconds in zip(corpus.clips, corpus.seconds.tolist(), strict=True):
        hours[kinds[file]] += seconds / 3600
    order = sorted(files, key=lambda kind: (-hours[kind], kind))
    return {kind: {"files": files[kind], "hours": float(hours[kind])} for kind in order}


def _durations(seconds: np.ndarray) -> dict[str, Any] | None:
    """Return quantiles and a histogram of the clips' lengths in a surveyed corpus; None without clips."""
    if not len(seconds):
        return None
    low, middle, high = np.quantile(seconds, [0.05, 0.5, 0.95])
    edges = histogram_edges(float(seconds.min()), float(seconds.max()))
    counts, _ = np.histogram(seconds, edges)
    return {
        "shortest": float(seconds.min()),
        "q05": float(low),
        "median": float(middle),
        "mean": float(seconds.mean()),
        "q95": float(high),
        "longest": float(seconds.max()),
        "histogram": {"edges": edges.tolist(), "clips": counts.tolist()},
    }


def histogram_edges(shortest: float, longest: float) -> np.ndarray:
    """Return round edges for a survey's histogram of durations, at most 13 of them.

    They are equally far apart, or in steps of 1, 2 and 5 where the longest clip has more than 40 times the shortest's
    length.

    Args:
        shortest: Seconds of the shortest clip.
        longest: Seconds of the longest clip.

    >>> histogram_edges(0.7, 3.1)
    array([0.5, 1. , 1.5, 2. , 2.5, 3. , 3.5])
    >>> histogram_edges(0.3, 60.0)
    array([ 0.2,  0.5,  1. ,  2. ,  5. , 10. , 20. , 50. , 100. ])
    """
    if longest > _WIDE * shortest:
        steps = [float(f"{base}e{power}") for power in range(-6, 8) for base in (1, 2, 5)]
        first = max(i for i, edge in enumerate(steps) if edge <= shortest or i == 0)
        last = min(i for i, edge in enumerate(steps) if edge > longest)
        while last - first > _BINS:  # a few clips far below the others share the first bin
            first += 1
        return np.array([0.0 if steps[first] > shortest else steps[first], *steps[first + 1 : last + 1]])
    for step in (float(f"{base}e{power}") for power in range(-6, 7) for base in (1, 2, 5)):
        first, last = int(shortest / step), int(longest / step) + 1
        if last - first <= _BINS:
            return np.round(np.arange(first, last + 1) * step, 9)
    raise AssertionError("no clip is that long")
