"""The options of the command `audiofeed scan`."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from audiofeed.arguments.checks import HIGHEST_RATE, LOWEST_RATE

_EPILOG = """\
examples:
  audiofeed scan speech/
  audiofeed scan speech/ --write speech/train.jsonl --index speech.index
  audiofeed scan train.csv --batch-size 16 --batch-seconds 200 --plot durations.png
  audiofeed scan fsdd/ --target-pattern "{target}_{speaker}_{take}" --write fsdd.csv

exit codes: 0 every file is good, 1 some are bad, 2 the scan could not be made,
130 it was interrupted
"""


def add_corpus(command: argparse.ArgumentParser, whole: Callable, seconds: Callable) -> None:
    """Add what a survey and a report both ask of a corpus: where it is, its labels, its batches, where a scan is kept.

    Args:
        command: The command's own parser.
        whole: Makes a parser of integers from its argument on.
        seconds: Parses a number of seconds.
    """
    command.add_argument(
        "source", metavar="DIR|MANIFEST", help="folder of audio files, or .csv, .tsv, .jsonl, .parquet"
    )
    command.add_argument(
        "--target-pattern",
        metavar="PATTERN",
        help="takes file names apart into the label, {target}, and other fields, such as '{target}_{speaker}_{take}' "
        "(default: the label is the file's folder)",
    )
    command.add_argument("--index", metavar="FILE", help="keep the scan there, so that the next one reads what changed")
    command.add_argument("--batch-size", type=whole(1), metavar="N", help="clips of a batch (default: 32)")
    command.add_argument(
        "--batch-seconds",
        type=seconds,
        metavar="S",
        help="padded seconds of a batch by duration (default: those of a batch of mean length)",
    )


def read_rate(text: str) -> int:
    """Parse the sample rate that a survey or a report is asked for, in Hz.

    Args:
        text: What stands behind `--sample-rate`.

    >>> read_rate("16000")
    16000
    """
    if not (text.isascii() and text.isdigit() and LOWEST_RATE <= int(text[:20]) <= HIGHEST_RATE):
        raise argparse.ArgumentTypeError(
            f"{text!r} must be an integer number of Hz, {LOWEST_RATE} to {HIGHEST_RATE}: 16000, say, not 16"
        )
    return int(text)


def add_scan(commands: argparse._SubParsersAction, whole: Callable, seconds: Callable) -> argparse.ArgumentParser:
    """Add the command `scan`, the survey of a corpus, to the command line.

    Args:
        commands: The commands of `audiofeed`.
        whole: Makes a parser of integers from its argument on.
        seconds: Parses a number of seconds.

    Returns:
        The command's own parser.
    """
    scan = commands.add_parser(
        "scan",
        help="see what a folder or manifest holds, what is bad in it, and what batches would cost",
        description=(
            "Read the header of every audio file in a folder or manifest, and show counts,\nhours, formats, lengths, "
            "bad files, and what batches of it would cost.\nNo audio is decoded."
        ),
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_corpus(scan, whole, seconds)
    scan.add_argument(
        "--write",
        metavar="FILE",
        help="write a manifest (.csv, .tsv, .jsonl, .parquet) that AudioManifest opens without a second scan",
    )
    scan.add_argument("--bad", metavar="FILE", help="write all bad files with their causes, a line of JSON for each")
    scan.add_argument("--duplicates", action="store_true", help="look for files of the same bytes (reads them)")
    scan.add_argument(
        "--sample-rate", type=read_rate, metavar="HZ", help="of the batches (default: that of most files)"
    )
    scan.add_argument("--plot", metavar="FILE", help="draw the lengths as a picture: .png, .pdf, .svg (matplotlib)")
    scan.add_argument("--json", action="store_true", help="print JSON in place of text")
    return scan
