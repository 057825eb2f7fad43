"""What a report puts first: the main figures, and what its reader should look at, each with what helps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from audiofeed.report.drawing import Element, tag
from audiofeed.report.levels import OFFSET
from audiofeed.report.shown_clips import ShownBatch
from audiofeed.report.speed import best_test
from audiofeed.report.words import count, duration, percent

# shares from which something is worth a line
_IMBALANCE, _PADDING, _SILENCE = 10, 0.3, 0.2
_NAMED = 10


def findings(figures: Mapping[str, Any], batch: ShownBatch | None) -> list[Element]:
    """Return the head of a report: its main figures, then what stands out.

    Args:
        figures: As `write_report` returns them.
        batch: The clips that are shown; None without any.
    """
    levels, labels, rates = figures["levels"], figures["labels"], list(figures["sample_rates"])
    tiles = [
        ("good files", f"{figures['good'] - len(figures['unread']):,}"),
        ("bad files", f"{figures['bad'] + len(figures['unread']):,}"),
        ("clips", f"{figures['clips']:,}"),
        ("length", duration(3600 * figures["hours"])),
        ("sample rate", rates[0] if len(rates) == 1 else f"{len(rates)} of them"),
        ("classes", f"{len(labels):,}" if labels else "none"),
        ("clipped clips", f"{len(levels['clipped']):,} of {levels['clips']:,}"),
        ("silence", percent(levels["silence_share"])),
    ]
    lines = list(_lines(figures, batch))
    return [
        tag("dl", [tag("div", tag("dt", name), tag("dd", value)) for name, value in tiles], class_="tiles"),
        tag("ul", [tag("li", line) for line in lines]) if lines else tag("p", "Nothing stands out."),
    ]


def _lines(figures: Mapping[str, Any], batch: ShownBatch | None) -> Iterator[str]:
    levels, labels = figures["levels"], figures["labels"]
    if figures["bad"]:
        yield (
            f"{count(figures['bad'], 'file')} of {figures['files']:,} cannot be opened: remove or mend them, or read "
            "with on_error='skip'."
        )
    if figures["unread"]:
        yield f"{count(len(figures['unread']), 'file')} with a good header failed when the samples were read."
    if batch is not None and batch.refused:
        yield f"The transform has no features of the clips shown: {batch.refused}"
    if figures["passed_over_may_be_audio"]:
        endings = ", ".join(f"{n:,} {ending}" for ending, n in figures["passed_over"].items())
        yield f"Files passed over by their extension may be audio: {endings}."
    if len(figures["sample_rates"]) > 1:
        yield f"Sample rates differ; those not at {figures['batch_sample_rate']:,} Hz are resampled when read."
    if levels["clipped"]:
        clipped = f"{count(len(levels['clipped']), 'clip')} of {levels['clips']:,} measured {_are(levels['clipped'])}"
        yield (f"{clipped} clipped, in {count(levels['clipped_runs'], 'run')} of samples at full scale.")
    if levels["shifted"]:
        yield (
            f"{count(len(levels['shifted']), 'clip')} {'have' if len(levels['shifted']) > 1 else 'has'} an offset of "
            f"{OFFSET:g} of full scale or more: RemoveMean() or a high-pass takes it away."
        )
    if levels["silent"]:
        yield f"{count(len(levels['silent']), 'clip')} {_are(levels['silent'])} silent from end to end."
    if levels["silence_share"] >= _SILENCE:
        yield f"{percent(levels['silence_share'])} of the time is silence, which a random crop may land in."
    bare = figures["classes"]["without_good_files"] if figures["classes"] else []
    if bare:
        more = f", and {len(bare) - _NAMED:,} more" if len(bare) > _NAMED else ""
        yield (
            f"{len(bare):,} {'classes have' if len(bare) > 1 else 'class has'} no good file: "
            f"{', '.join(bare[:_NAMED])}{more}."
        )
    for one in labels if labels and len(labels) == 1 else ():
        yield (
            f"All labels are of one class, {one!r}: a classifier has nothing to tell apart. A subfolder for each "
            "class, or --target-pattern, makes more."
        )
    if labels and len(labels) > 1:
        most, fewest = (edge["clips"] for edge in (next(iter(labels.values())), list(labels.values())[-1]))
        if most >= _IMBALANCE * fewest:
            yield (
                f"The largest class has {most / fewest:,.0f} times the clips of the smallest: weigh the loss, or draw "
                "by class with a WeightedRandomSampler."
            )
    if figures["duplicates"]:
        spare = sum(len(group) - 1 for group in figures["duplicates"])
        have = "have" if spare > 1 else "has"
        yield f"{count(spare, 'file')} {have} the same bytes as another: keep both on one side of a split."
    random, by_length = figures["batches"][0], figures["batches"][1]
    if random["padding"] >= _PADDING:
        less = by_length["padding"] < random["padding"] - 0.005
        yield (
            f"{percent(random['padding'])} of a batch in random order is padding; "
            + (f"ClipBatchSampler makes it {percent(by_length['padding'])}, and " if less else "")
            + f"a crop of one length {'' if less else 'makes it '}none."
        )
    yield from figures["warnings"]
    tests = figures["speed"]["tests"]
    if tests:
        best = best_test(tests)
        yield f"Speed, with {count(best['workers'], 'worker')}: {best['bottleneck']}."


def _are(found: list[Any]) -> str:
    return "are" if len(found) > 1 else "is"
