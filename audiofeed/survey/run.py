"""Run a survey of a corpus: scan, count, look for duplicates, price batches, write what was asked for."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any, TextIO

from audiofeed.survey.corpus import Corpus, open_corpus
from audiofeed.survey.costs import batch_costs
from audiofeed.survey.duplicates import find_duplicates
from audiofeed.survey.picture import plot_durations
from audiofeed.survey.settings import ScanError, SurveySettings
from audiofeed.survey.summary import summarize
from audiofeed.survey.text import lines, printable
from audiofeed.survey.written import bad_list, check_manifest_path, write_manifest, write_whole


def run_survey(settings: SurveySettings, out: TextIO | None = None) -> int:
    """Run a survey and print it.

    Args:
        settings: What was asked for.
        out: Where it is printed; None for the standard output.

    Returns:
        0, 1 if there are bad files, or 2 if a file that was asked for could not be written.

    Raises:
        ScanError: The settings cannot be met, or there is nothing to scan.
    """
    out = sys.stdout if out is None else out
    # into a pipe there is no bar
    progress = None if out.isatty() else False
    if settings.write is not None and os.path.isdir(settings.source):
        check_manifest_path(settings.write, None)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        corpus = open_corpus(
            settings.source,
            settings.target_pattern,
            settings.index,
            targets=settings.write is not None,
            progress=progress,
        )
    survey = summarize(corpus)
    survey["warnings"] = [str(warning.message) for warning in warned]
    if corpus.clips:
        # the rate of most clips' hours
        rate = settings.sample_rate or int(next(iter(survey["sample_rates"])).split()[0])
        survey["batch_sample_rate"] = rate
        survey["batches"] = batch_costs(corpus.seconds, rate, settings.batch_size, settings.batch_seconds)
    if settings.duplicates:
        survey["duplicates"] = find_duplicates(corpus.infos, progress=progress)
    errors = _write(settings, corpus, survey)
    for warning in survey["warnings"]:
        sys.stderr.write(f"audiofeed scan: {printable(warning)}\n")
    if settings.json:
        out.write(json.dumps({**survey, "errors": errors}, indent=1) + "\n")
    else:
        _print(survey, out)
    for error in errors:
        sys.stderr.write(f"audiofeed scan: {printable(error)}\n")
    return 2 if errors else 1 if survey["bad"] else 0


def _print(survey: dict[str, Any], out: TextIO) -> None:
    encoding = out.encoding or "utf-8"
    for line in lines(survey, "█" if _can_encode("█", encoding) else "#"):
        out.write(line.rstrip().encode(encoding, "backslashreplace").decode(encoding) + "\n")


def _write(settings: SurveySettings, corpus: Corpus, survey: dict[str, Any]) -> list[str]:
    """Write the files that a survey was asked for; return what went wrong, so that the survey itself is not lost."""
    bad = bad_list(survey["bad_files"])
    title = os.path.basename(os.path.abspath(settings.source))
    asked: list[tuple[str, str | None, Callable[[str], None]]] = [
        ("bad_list", settings.bad, lambda path: write_whole(path, bad, "--bad")),
        ("written", settings.write, lambda path: write_manifest(corpus, path)),
        ("plot", settings.plot, lambda path: plot_durations(corpus.seconds, path, title)),
    ]
    errors = []
    for name, path, write in asked:
        if path is None:
            continue
        if name != "bad_list" and not corpus.clips:
            errors.append(f"{path!r} is not written, because there is no good file")
            continue
        try:
            write(path)
            survey[name] = path
        except ScanError as error:
            errors.append(str(error))
    return errors


def _can_encode(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
