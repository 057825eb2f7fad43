"""`python -m release`, which `make release` runs: build, look into the archives, try them in the environments."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from release import archives, matrix, report
from release.environments import FAILED, NOT_OFFERED, NOT_TRIED, PASSED, Outcome, Workshop

RESULTS = Path(__file__).with_name("results")


def main(arguments: list[str] | None = None) -> int:
    """Make the archives and the report: 0 where nothing failed, else 1.

    Args:
        arguments: Of the command line; None takes the process's own.
    """
    parser = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    parser.add_argument("--only", metavar="WORDS", action="append", help="environments whose names hold these words")
    parser.add_argument("--keep", action="store_true", help="keep the environments, and use those of an earlier run")
    parser.add_argument("--tag", metavar="vX.Y.Z", help="check that this is the version, and is in the changelog")
    parser.add_argument("--list", action="store_true", help="show the environments and stop")
    parser.add_argument("--build", action="store_true", help="build and look into the archives, and stop")
    options = parser.parse_args(arguments)
    listed = matrix.load()
    chosen = [one for one in listed.environments if not options.only or any(w in one.name for w in options.only)]
    if not chosen:
        parser.error(f"--only {options.only} is in no name; --list shows them")
    if options.list:
        print(*(one.name for one in chosen), sep="\n")
        return 0
    try:
        made = archives.built(archives.ROOT / "dist")
        archives.check(made)
        if options.tag is not None:
            changelog = (archives.ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
            archives.check_tag(options.tag, made.version, changelog)
    except archives.ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    print(f"{made.wheel.name}, {made.sdist.name}: good", flush=True)
    if options.build:
        return 0
    folder = archives.ROOT / ".release"
    workshop = Workshop(folder, made, keep=options.keep, disk_gb=listed.disk_gb)
    # a part of the matrix is no report on a release
    results = folder if options.only else RESULTS
    first = [] if options.only else [workshop.resolve(python) for python in listed.pythons]
    rows = {environment.name: Outcome(environment.name, NOT_TRIED) for environment in chosen}
    for _, environments in listed.by_torch:
        for environment in environments:
            if environment in chosen:
                rows[environment.name] = workshop.try_out(environment)
                print(_line(rows[environment.name]), flush=True)
                path = report.write([*first, *rows.values()], results, made.version)
        workshop.forget()
    outcomes = [*first, *rows.values()]
    counts = {state: sum(outcome.state == state for outcome in outcomes) for state in (PASSED, FAILED, NOT_OFFERED)}
    print(f"{', '.join(f'{count} {state}' for state, count in counts.items())}: {path}")
    return int(counts[FAILED] > 0 or counts[PASSED] == 0)


def _line(outcome: Outcome) -> str:
    return f"{outcome.state:8} {outcome.seconds:6.0f} s  {outcome.name}  {outcome.reason}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
