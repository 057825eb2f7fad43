"""The options of the command `audiofeed report`, and what it prints."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from audiofeed.survey.options import add_corpus, read_rate
from audiofeed.survey.text import printable

_EPILOG = """\
examples:
  audiofeed report speech/
  audiofeed report speech/ --transform whisper --batch-size 16
  audiofeed report birds/ --transform "CQT(n_bins=72)" --crop 5 --out birds.html
  audiofeed report train.csv --transform "MelSpectrogram(sample_rate=16000, n_mels=80)"

exit codes: 0 the page is written, bad files or not; 2 it could not be made;
130 it was interrupted
"""


def add_report(commands: argparse._SubParsersAction, whole: Callable, seconds: Callable) -> argparse.ArgumentParser:
    """Add the command `report` to the command line.

    Args:
        commands: The commands of `audiofeed`.
        whole: Makes a parser of integers from its argument on.
        seconds: Parses a number above 0.

    Returns:
        The command's own parser.
    """
    report = commands.add_parser(
        "report",
        help="write a page that shows a data set as a model will see it: levels, clips with sound, speed",
        description=(
            "Write one HTML page about a folder or manifest as a model will see it: counts,\nlengths, levels, "
            "clipping, silence, classes, bad files, duplicates, clips with\nsound and features, what batches cost, and "
            "what binds the speed. The page needs\nno other file and no network."
        ),
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_corpus(report, whole, seconds)
    report.add_argument(
        "--transform",
        default="mel",
        metavar="NAME",
        help="transform or preset, with settings or without: mel, whisper, 'MelSpectrogram(n_mels=64)' "
        "(default: mel, log-mel of 80 bins every 10 ms)",
    )
    report.add_argument("--out", default="report.html", metavar="FILE", help="the page to write (default: %(default)s)")
    report.add_argument("--crop", type=seconds, metavar="S", help="seconds of each clip, from anywhere (default: all)")
    report.add_argument(
        "--sample-rate", type=read_rate, metavar="HZ", help="of the batches (default: the transform's, or most files')"
    )
    report.add_argument("--clips", type=whole(0), default=20, metavar="N", help="to show (default: %(default)s)")
    report.add_argument(
        "--seed", type=whole(0), default=0, metavar="N", help="decides which clips (default: %(default)s)"
    )
    report.add_argument("--device", metavar="D", help="cpu, cuda, mps, ... (default: the accelerator, else cpu)")
    report.add_argument(
        "--measure-hours",
        type=seconds,
        default=2.0,
        metavar="H",
        help="hours of clips, drawn at random, whose samples are measured (default: %(default)s)",
    )
    report.add_argument(
        "--speed-seconds",
        type=_zero_or(seconds),
        default=2.0,
        metavar="S",
        help="length of each of two tests of speed, 0 for none (default: %(default)s)",
    )
    return report


def run_report(options: dict[str, Any]) -> int:
    """Write a report as the command line asks for it, and print where it is.

    Args:
        options: The arguments of `write_report` by name.

    Returns:
        0.

    Raises:
        ValueError: As `write_report`.
    """
    from audiofeed.report.run import write_report
    from audiofeed.report.speed import best_test

    progress = None if sys.stdout.isatty() else False
    figures = write_report(**options, progress=progress)
    bad = figures["bad"] + len(figures["unread"])
    clips = f"{figures['clips']:,} clip{'s' * (figures['clips'] != 1)}"
    for warning in figures["warnings"]:
        sys.stderr.write(f"audiofeed report: {printable(warning)}\n")
    text = (
        f"{figures['out']}: {figures['page_bytes'] / 1e6:.1f} MB about {clips}, {bad:,} bad files; open it in a browser"
    )
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(printable(text).encode(encoding, "backslashreplace").decode(encoding) + "\n")
    tests = figures["speed"]["tests"]
    if tests:
        best = best_test(tests)
        sys.stdout.write(f"speed with {best['workers']} workers: {best['bottleneck']}\n")
    return 0


def _zero_or(seconds: Callable) -> Callable[[str], float]:
    """Return a parser of a number, 0 or more, from one of a number above 0."""

    def read(text: str) -> float:
        return 0.0 if text.strip() in ("0", "0.0") else seconds(text)

    return read
