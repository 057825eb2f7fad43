"""A survey as lines of text for a terminal of 80 columns."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from audiofeed.data.listing.scan import count_by_extension
from audiofeed.survey.summary import group_causes

_WIDTH = 80
_SHOWN = 10
# what moves the cursor, colors, ends a line, or turns the order of the letters around it
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""Return a text of a survey, or of an error, with its control characters escaped: a file's name may have any.

    Args:
        text: The text, which becomes one line.

    >>> print(printable("a\x1b[2Jb\nc.wav"))
    a\x1b[2Jb\nc.wav
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _printable(value: Any) -> Any:
    """Return a part of a survey with the control characters of all its texts escaped."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {_printable(name): _printable(part) for name, part in value.items()}
    return [_printable(part) for part in value] if isinstance(value, list) else value


def lines(survey: Mapping[str, Any], bar: str = "█") -> Iterator[str]:
    """Describe a survey in lines for a terminal.

    Args:
        survey: As `summarize` returns it, with what was asked for beside it.
        bar: The character that bars are made of.

    Yields:
        The lines, without colors, control characters escaped. Those with a path may be longer than 80 characters.
    """
    # before lines are wrapped, which takes a line break for a space
    survey = _printable(survey)
    yield from _heads(survey)
    if survey["durations"] is not None:
        yield from _histogram(survey["durations"], bar)
    yield from _bad(survey)
    if survey.get("duplicates") is not None:
        yield from _duplicates(survey["duplicates"])
    if survey.get("batches"):
        yield from _batches(survey)
    for name in ("written", "bad_list", "plot"):
        if survey.get(name):
            yield f"written: {survey[name]}"


def _heads(survey: Mapping[str, Any]) -> Iterator[str]:
    yield f"{survey['source']}"
    good = f"{survey['good']:,} good, {survey['bad']:,} bad" if survey["bad"] else f"{survey['good']:,}, none bad"
    yield f"  files         {good}"
    if survey["clips"] != survey["good"]:
        yield f"  clips         {survey['clips']:,} (rows of the manifest with a good file)"
    yield f"  length        {_time(3600 * survey['hours'])} in {survey['bytes'] / 1e6:,.1f} MB"
    for title, name in (("sample rates", "sample_rates"), ("channels", "channels"), ("formats", "formats")):
        for i, (kind, found) in enumerate(list(survey[name].items())[:_SHOWN]):
            count = f"{found['files']:,} file{'s' * (found['files'] != 1)}"
            yield f"  {title if i == 0 else '':13} {kind:18} {count:>15} {_time(3600 * found['hours']):>14}"
        if len(survey[name]) > _SHOWN:
            yield f"  {'':13} and {len(survey[name]) - _SHOWN} more"
    if survey["classes"] is not None:
        found = survey["classes"]
        each = f"{found['fewest']:,} to {found['most']:,}" if found["fewest"] < found["most"] else f"{found['most']:,}"
        yield f"  classes       {found['count']:,}, {each} clips each"
        if bare := found["without_good_files"]:
            yield f"                {len(bare):,} more without a good file: {', '.join(bare[:_SHOWN])}" + (
                f", and {len(bare) - _SHOWN:,} more" if len(bare) > _SHOWN else ""
            )
    if survey["shorter_than_promised"]:
        short = survey["shorter_than_promised"]
        yield f"  short         {len(short):,} hold fewer bytes than the header promises; the first:"
        yield f"                {short[0]}"
    if survey["passed_over"]:
        yield f"  passed over   {count_by_extension(survey['passed_over'])}"
        if survey["passed_over_may_be_audio"]:
            yield "                (some of them may be audio in a format that is not read)"


def _histogram(durations: Mapping[str, Any], bar: str) -> Iterator[str]:
    yield ""
    yield "clips by length"
    edges, counts = durations["histogram"]["edges"], durations["histogram"]["clips"]
    digits = max((len(f"{edge:g}".partition(".")[2]) for edge in edges), default=0)
    texts = [f"{edge:.{digits}f}" for edge in edges]
    wide, long = max(map(len, texts)), max(len(f"{count:,}") for count in counts)
    room = _WIDTH - 2 * wide - long - 14
    for begin, end, count in zip(texts, texts[1:], counts, strict=False):
        length = round(room * count / max(counts))
        # the smallest number is not nothing
        drawn = bar * max(length, 1 if count else 0)
        yield f"  {begin:>{wide}} to {end:>{wide}} s  {count:>{long},}  {drawn}".rstrip()
    yield (
        f"  shortest {_time(durations['shortest'])}, 5 % below {_time(durations['q05'])}, "
        f"median {_time(durations['median'])},"
    )
    yield (
        f"  mean {_time(durations['mean'])}, 5 % above {_time(durations['q95'])}, longest {_time(durations['longest'])}"
    )


def _bad(survey: Mapping[str, Any]) -> Iterator[str]:
    if not survey["bad_files"]:
        return
    yield ""
    yield f"bad: {survey['bad']:,} of {survey['files']:,} files"
    groups = group_causes(survey["bad_files"])
    for count, cause, path in groups[:_SHOWN]:
        # never within a word, which may be a name
        yield from textwrap.wrap(
            f"{count:,} x {cause}", _WIDTH, initial_indent="  ", subsequent_indent="      ", break_long_words=False,
            break_on_hyphens=False,
        )  # fmt: skip
        yield f"      {'the first: ' if count > 1 else ''}{path}"
    if len(groups) > _SHOWN:
        yield f"  and {len(groups) - _SHOWN} causes more"
    if not survey.get("bad_list") and len(survey["bad_files"]) > len(groups[:_SHOWN]):
        yield "  all of them, with their causes: --bad FILE"


def _duplicates(groups: list[list[str]]) -> Iterator[str]:
    yield ""
    if not groups:
        yield "duplicates: none"
        return
    spare = sum(len(group) - 1 for group in groups)
    yield f"duplicates: {spare:,} file{'s' * (spare != 1)} with the same bytes as another"
    for group in groups[:_SHOWN]:
        yield f"  {group[0]}"
        for path in group[1:4]:
            yield f"    = {path}"
        if len(group) > 4:
            yield f"    = and {len(group) - 4} more"
    if len(groups) > _SHOWN:
        yield f"  and {len(groups) - _SHOWN} groups more; --json lists all"


def _batches(survey: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield f"what an epoch of batches would cost, at {survey['batch_sample_rate']:,} Hz, float32"
    yield f"  {'':31} {'':>8} {'':>8}   {'largest batch':^25}"
    yield f"  {'':31} {'batches':>8} {'padding':>8} {'clips':>7} {'waveforms':>11} {'log-mel*':>8}"
    for cost in survey["batches"]:
        yield (
            f"  {cost['way']:31} {cost['batches']:>8,} {100 * cost['padding']:>6.1f} % {cost['largest_clips']:>7,}"
            f" {_megabytes(cost['waveforms_mb']):>11} {_megabytes(cost['log_mel_mb']):>8}"
        )
    yield "  * 80 bins every 10 ms"


def _megabytes(value: float) -> str:
    return f"{value:,.1f} MB" if value < 100 else f"{value:,.0f} MB"


def _time(seconds: float) -> str:
    """Describe a length of time in a survey, in the unit that suits it.

    >>> _time(0.25), _time(90.0), _time(7200.0)
    ('0.25 s', '90.0 s', '2.00 h')
    """
    if seconds < 1:
        return f"{seconds:.2g} s"
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:,.1f} min" if seconds < 6000 else f"{seconds / 3600:,.2f} h"
