"""The command `audiofeed`."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from audiofeed.starting import INTERRUPTED, interrupt_as_usual

if TYPE_CHECKING:
    from audiofeed.demo.settings import Settings

_EPILOG = """\
examples:
  audiofeed demo
  audiofeed demo --data fsdd/recordings --target-pattern "{target}_{speaker}_{take}" --test take=0-4
  audiofeed demo --data birds/ --seconds 5 --device cuda --workers 8
"""


class _Parser(argparse.ArgumentParser):
    """Command-line parser that reports a mistake of the user in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `audiofeed`: return its exit code.

    0; 1 where `scan` finds bad files; 2 for a mistake of the user; 130 after Ctrl-C.

    Args:
        arguments: What stands after the command's name; None takes the process's own.
    """
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        # a second Ctrl-C must not break into the clean end of the first
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("audiofeed: interrupted", file=sys.stderr)
        # CPython under -m remembers a KeyboardInterrupt that left an exec of a string, as imports do, though it was
        # caught since, and dies of it at the end; the next exec forgets it
        exec("")
        return INTERRUPTED


def _run(arguments: Sequence[str] | None) -> int:
    from audiofeed import __version__
    from audiofeed.demo.settings import Settings, cpu_count
    from audiofeed.report.options import add_report
    from audiofeed.survey.options import add_scan

    parser = _Parser(prog="audiofeed", description="Train audio models straight from raw files.")
    parser.add_argument("--version", action="version", version=f"audiofeed {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    demo = commands.add_parser(
        "demo",
        help="train a small classifier from raw files and see where the time goes",
        description=(
            "Train a small classifier from raw audio files, with log-mel features computed\non the fly, and show its "
            "test accuracy, the speed, and where the time went.\nWithout --data it first writes a few hundred sounds "
            "of eight instruments, in\nseveral formats, and learns to tell them apart."
        ),
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    demo.add_argument("--data", type=Path, metavar="DIR", help="folder of audio files (default: sounds made here)")
    demo.add_argument(
        "--target-pattern",
        metavar="PATTERN",
        help="takes file names apart into the label, {target}, and other fields, such as '{target}_{speaker}_{take}' "
        "(default: the label is the file's folder)",
    )
    demo.add_argument(
        "--test",
        metavar="FIELD=VALUES",
        help="test split by a field of the pattern: values and ranges, such as take=0-4,7 or speaker=lucas "
        "(default: a fifth of each class, by a hash of the path and the seed)",
    )
    demo.add_argument(
        "--out", type=Path, default=Settings.out, metavar="DIR", help="folder for results (default: %(default)s)"
    )
    demo.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1, mps, ... (default: the accelerator, else cpu)")
    demo.add_argument(
        "--workers",
        type=_whole(0),
        default=min(2, cpu_count()),
        metavar="N",
        help="processes that read files (default: %(default)s)",
    )
    demo.add_argument("--epochs", type=_whole(1), metavar="N", help="passes over the data (default: by its size)")
    demo.add_argument(
        "--batch-size", type=_whole(1), default=Settings.batch_size, metavar="N", help="clips (default: %(default)s)"
    )
    demo.add_argument(
        "--seconds",
        type=_seconds,
        default=Settings.seconds,
        metavar="S",
        help="longest part of a clip to use; anywhere in training, the middle in the test (default: %(default)s)",
    )
    demo.add_argument(
        "--seed",
        type=_whole(0),
        default=Settings.seed,
        metavar="N",
        help="the same seed gives the same accuracy, with any number of workers (default: %(default)s)",
    )
    demo.add_argument(
        "--no-open", dest="open", action="store_false", help="do not show the report in a browser at the end"
    )
    scan = add_scan(commands, _whole, _seconds)
    report = add_report(commands, _whole, _seconds)
    info = commands.add_parser(
        "info",
        help="show the versions, readers, methods, threads and devices here, for a bug report",
        description="Show what is installed here and works, how features would be computed, and on what.",
    )
    info.add_argument("--json", action="store_true", help="as one object of JSON")
    options = vars(parser.parse_args(arguments))
    command = options.pop("command")
    if command == "info":
        return _info(__version__, **options)
    if command == "scan":
        return _scan(options, scan.prog)
    if command == "report":
        return _report(options, report.prog)
    return _demo(Settings(**options), demo.prog)


def _info(version: str, *, json: bool) -> int:
    from audiofeed.info import as_text, describe

    lines = describe(version)
    try:
        print(dumps(lines, indent=2) if json else as_text(lines), flush=True)
    except BrokenPipeError:
        return _unread_output()
    return 0


def _scan(options: dict[str, Any], prog: str) -> int:
    from audiofeed.survey.run import run_survey
    from audiofeed.survey.settings import ScanError, SurveySettings
    from audiofeed.survey.text import printable

    interrupt_as_usual()
    try:
        code = run_survey(SurveySettings(**options))
        sys.stdout.flush()
    except ScanError as error:
        print(f"{prog}: {printable(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return _unread_output()
    return code


def _unread_output() -> int:
    """Return the exit code after the reader of the pipe, such as head, had what it wanted."""
    # Python's own flush at the end must not complain
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def _report(options: dict[str, Any], prog: str) -> int:
    from audiofeed.report.options import run_report
    from audiofeed.report.run import ReportError
    from audiofeed.survey.text import printable

    interrupt_as_usual()
    try:
        code = run_report(options)
        sys.stdout.flush()
    except ReportError as error:
        print(f"{prog}: {printable(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return _unread_output()
    return code


def _demo(settings: Settings, prog: str) -> int:
    from audiofeed.data import AudioReadError
    from audiofeed.data.errors import LEAVE_OUT
    from audiofeed.demo.run import run
    from audiofeed.demo.settings import DemoError
    from audiofeed.survey.text import printable

    interrupt_as_usual()
    try:
        run(settings)
    except AudioReadError as error:
        # from a worker the text holds a traceback; path and cause are the error
        # a dataset's way out is no option of the command
        cause = printable(str(error.cause).removesuffix(f"; {LEAVE_OUT}"))
        what = f"cannot read {error.path!r}: {cause}" if error.path is not None else str(error)
        print(f"{prog}: {what}; remove or replace the file", file=sys.stderr)
        return 2
    except DemoError as error:
        print(f"{prog}: {printable(str(error))}", file=sys.stderr)
        return 2
    return 0


def _whole(least: int) -> Callable[[str], int]:
    """Return a parser of integers from `least` on, for options of the command line."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text) < 2**63):
            raise argparse.ArgumentTypeError(f"{text!r} must be an integer, {least} or more")
        return int(text)

    return read


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number of seconds above 0")
    return value
