"""What a report is made of: the figures of a data set, and the batch of the clips that it shows."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from audiofeed.data import AudioManifest, AudioReadError
from audiofeed.data.crops import CenterCrop, Crop
from audiofeed.feed.transform_contract import frame_lengths_of, sample_rate_of
from audiofeed.parallel.interrupts import was_interrupted
from audiofeed.progress import with_progress
from audiofeed.report.levels import ClipLevels, measure_clip, summarize_levels
from audiofeed.report.shown_clips import ShownBatch, make_batch, read_clips
from audiofeed.report.speed import measure_speed
from audiofeed.report.transform_text import TransformText
from audiofeed.survey.corpus import Corpus
from audiofeed.survey.costs import batch_costs
from audiofeed.survey.duplicates import find_duplicates
from audiofeed.survey.settings import ScanError
from audiofeed.survey.summary import group_causes, summarize

# without a crop, clips longer than this are shown by their middle
_SHOWN_SECONDS = 30.0
# a batch of more is not made for the test of speed
_MOST_MB = 2000.0
_WORKERS = (0, 2)
_NUMBER = "clip_of_the_report"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Settings of a report, checked; what they mean stands in `write_report`."""

    crop: Crop | None
    sample_rate: int | None
    batch_size: int | None
    batch_seconds: float | None
    clips: int
    seed: int
    device: torch.device | str | None
    measure_hours: float
    speed_seconds: float
    progress: bool | None


def gather(
    corpus: Corpus, named: TransformText | torch.nn.Module, asked: Asked
) -> tuple[dict[str, Any], ShownBatch | None]:
    """Gather the figures of a report, and the batch that it shows.

    Args:
        corpus: The clips.
        named: The transform, or the text that names it.
        asked: The settings.

    Raises:
        ScanError: There is no good file, or a setting cannot be met.
    """
    figures, crop = summarize(corpus), asked.crop
    if not corpus.clips:
        raise ScanError(_why_none(figures))
    rate, transform = _rate_and_transform(figures, named, asked.sample_rate)
    dataset = _open(corpus, rate, crop, asked.seed)
    numbers = np.array(list(dataset.fields[_NUMBER]), dtype=np.int64)
    order = np.random.default_rng(asked.seed).permutation(len(corpus.clips)).tolist()
    measured, faults = _measure(corpus, order, asked.measure_hours, asked.progress)
    unread = {fault.path: {"path": fault.path or "", "cause": fault.cause or ""} for fault in faults}
    shortened = crop is None and float(corpus.seconds.max()) > _SHOWN_SECONDS
    shown = _open(corpus, rate, CenterCrop(_SHOWN_SECONDS), asked.seed) if shortened else dataset
    # windows make several examples of a clip, in a row
    of_clip: dict[int, list[int]] = defaultdict(list)
    for example, clip in enumerate(numbers.tolist()):
        of_clip[clip].append(example)
    bad = {fault.path for fault in faults}
    chosen = [
        of_clip[clip][0] for clip in order if clip in of_clip and corpus.infos[corpus.clips[clip]].path not in bad
    ]
    indices, examples, failed = read_clips(shown, chosen, asked.clips)
    unread |= {fault.path: {"path": fault.path or "", "cause": fault.cause or ""} for fault in failed}
    if not measured:
        first = next(iter(unread.values()))
        raise ScanError(f"no file of {corpus.source!r} can be read; the first, {first['path']!r}: {first['cause']}")
    batch = make_batch(indices, examples, transform, rate, asked.device) if examples else None
    costs = batch_costs(dataset.durations, rate, asked.batch_size, asked.batch_seconds)
    for cost in costs:
        cost["features_mb"] = _features_mb(cost, batch, transform, rate)
    labels = corpus.labels()
    figures |= {
        "transform": named.text if isinstance(named, TransformText) else type(named).__name__,
        "transform_settings": str(transform),
        "crop": None if crop is None else repr(crop),
        "shown_by_their_middle": _SHOWN_SECONDS if shortened else None,
        "seed": asked.seed,
        "batch_sample_rate": rate,
        "levels": summarize_levels(measured, len(corpus.clips), len(faults)),
        "labels": _by_label(labels, corpus.seconds),
        "duplicates": find_duplicates(corpus.infos, progress=asked.progress),
        "unread": [unread[path] for path in sorted(unread, key=str)],
        "batches": costs,
        "shown": [] if batch is None else _shown(corpus, batch, numbers, labels, rate),
    }
    figures["speed"] = _speed(dataset, transform, costs, asked)
    return figures, batch


def check_device(device: torch.device | str | None) -> None:
    """Check that a report's features can be computed on a device.

    Args:
        device: It; None for the default.

    Raises:
        ScanError: There is no such device here.
    """
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise ScanError(f"--device {str(device)!r} cannot be used: {reason}; leave it out, or take cpu") from error


def _why_none(figures: dict[str, Any]) -> str:
    causes = group_causes(figures["bad_files"])
    count, cause, path = causes[0] if causes else (0, "the manifest has no rows", "")
    more = f", and {figures['bad'] - count} for other reasons" if figures["bad"] > count else ""
    first = f"; the first: {path!r}" if path else ""
    return (
        f"{figures['source']!r} has no file that can be read, so there is nothing to report: {count:,} of "
        f"{figures['files']:,}: {cause}{more}{first}"
    )


def _rate_and_transform(
    figures: dict[str, Any], named: TransformText | torch.nn.Module, sample_rate: int | None
) -> tuple[int, torch.nn.Module]:
    """Return a report's sample rate and its transform, made for that rate if it takes one."""
    usual = sample_rate or int(next(iter(figures["sample_rates"])).split()[0])
    transform = named.make(usual) if isinstance(named, TransformText) else named
    own = sample_rate_of(transform)
    if own is None:
        return usual, transform
    if sample_rate is not None and own != sample_rate:
        raise ScanError(
            f"--sample-rate {sample_rate} differs from the {own:g} Hz that the transform is made for; leave one of "
            "them out"
        )
    return round(own), transform


def _open(corpus: Corpus, rate: int, crop: Crop | None, seed: int) -> AudioManifest:
    """Return a dataset of a report's good clips, from the headers that the scan has read."""
    return AudioManifest(
        [{**row, _NUMBER: clip} for clip, row in enumerate(corpus.written_rows(""))],
        target_column=None,
        fields=[_NUMBER],
        sample_rate=rate,
        crop=crop,
        on_error="skip",
        seed=seed,
        progress=False,
    )


def _measure(
    corpus: Corpus, order: Sequence[int], hours: float, progress: bool | None
) -> tuple[list[tuple[str, ClipLevels]], list[AudioReadError]]:
    """Measure a report's clips in a random order until there are so many hours; return what could not be read, too."""
    ends = np.cumsum(corpus.seconds[list(order)])
    count = min(len(order), int(np.searchsorted(ends, 3600 * hours)) + 1)
    measured: list[tuple[str, ClipLevels]] = []
    faults: list[AudioReadError] = []
    seconds = 0.0
    for clip in with_progress(order, what="measuring clips", total=count, progress=progress):
        if seconds >= 3600 * hours:
            break
        info = corpus.infos[corpus.clips[clip]]
        try:
            measured.append((clip_name(corpus, clip), measure_clip(info, *corpus.spans[clip])))
        except AudioReadError as error:
            faults.append(error)
        else:
            seconds += measured[-1][1].seconds
    return measured, faults


def clip_name(corpus: Corpus, clip: int) -> str:
    """Return the name of a clip in a report: its path below the folder, with its start where it is part of a file.

    Args:
        corpus: The clips.
        clip: Its number.
    """
    info, (first, frames) = corpus.infos[corpus.clips[clip]], corpus.spans[clip]
    root = os.path.join(corpus.source if corpus.text is None else os.path.dirname(corpus.source), "")
    name = info.path[len(root) :] if root and info.path.startswith(root) else info.path
    return name if (first, frames) == (0, info.frames) else f"{name}@{first / info.sample_rate:.3f}"


def _by_label(labels: Sequence[Any], seconds: np.ndarray) -> dict[str, dict[str, float]] | None:
    """Count clips and hours of each class of a report, the most clips first; a list of labels counts for each.

    None where clips have no labels, or numbers with fractions.
    """
    clips: defaultdict[str, int] = defaultdict(int)
    hours: defaultdict[str, float] = defaultdict(float)
    for label, length in zip(labels, seconds.tolist(), strict=False):
        for one in label if isinstance(label, (list, tuple)) else [label]:
            if isinstance(one, (str, int)) and one != "":
                clips[str(one)] += 1
                hours[str(one)] += length / 3600
    order = sorted(clips, key=lambda name: (-clips[name], name))
    return {name: {"clips": clips[name], "hours": hours[name]} for name in order} or None


def _features_mb(cost: dict[str, Any], batch: ShownBatch | None, transform: torch.nn.Module, rate: int) -> float | None:
    """Return MB of the features of the largest batch of a report's setting; None if the transform does not tell."""
    lengths = frame_lengths_of(transform)
    if batch is None or batch.shape is None or lengths is None:
        return None
    samples = torch.tensor([round(cost["largest_seconds"] / cost["largest_clips"] * rate)])
    frames = lengths(samples)
    if not isinstance(frames, torch.Tensor):
        return None
    return cost["largest_clips"] * int(frames[0]) * batch.values_per_frame * batch.item_bytes / 1e6


def _shown(
    corpus: Corpus, batch: ShownBatch, numbers: np.ndarray, labels: Sequence[Any], rate: int
) -> list[dict[str, Any]]:
    """Return what a report says of the clips that it shows."""
    found = []
    for shown in batch.clips:
        clip = int(numbers[shown.index])
        found.append(
            {
                "clip": clip_name(corpus, clip),
                "label": str(labels[clip]) if labels and labels[clip] is not None else None,
                "clip_seconds": float(corpus.seconds[clip]),
                "start": shown.start - corpus.spans[clip][0] / corpus.infos[corpus.clips[clip]].sample_rate,
                "seconds": shown.length / rate,
                "padding": 1 - shown.length / len(shown.waveform),
                "frames": shown.frames,
                "of_frames": None if shown.picture is None else shown.picture.shape[-1],
            }
        )
    return found


def _speed(
    dataset: AudioManifest, transform: torch.nn.Module, costs: list[dict[str, Any]], asked: Asked
) -> dict[str, Any]:
    """Make a report's tests of speed; return them, or why there are none."""
    by_duration = asked.batch_seconds is not None and asked.batch_size is None
    cost = costs[2 if by_duration else 1]
    if not asked.speed_seconds:
        return {"tests": [], "way": cost["way"], "none": "It was not asked for."}
    largest = cost["waveforms_mb"] + (cost["features_mb"] or 0.0)
    if largest > _MOST_MB:
        reason = (
            f"It is left out, because its largest batch would take {largest:,.0f} MB: ask for shorter examples "
            "(--crop) or smaller batches (--batch-size, --batch-seconds)."
        )
        return {"tests": [], "way": cost["way"], "none": reason}
    size = None if by_duration else int(cost["way"].split(", ")[1].split()[0])
    tests: list[dict[str, Any]] = []
    none = ""
    for workers in _WORKERS:
        try:
            test = measure_speed(
                dataset,
                transform,
                batch_size=size,
                batch_seconds=asked.batch_seconds if by_duration else None,
                workers=workers,
                seconds=asked.speed_seconds,
                device=asked.device,
                seed=asked.seed,
            )
        except (AudioReadError, ValueError, TypeError, RuntimeError, OSError) as error:
            if was_interrupted(error):
                raise KeyboardInterrupt from error
            none = f"With {workers} workers it ended: {' '.join(str(error).split())}"
            break
        tests.append({**test, "epoch_seconds": len(dataset) / test["clips_per_second"]})
    return {"tests": tests, "way": cost["way"], "none": none}
