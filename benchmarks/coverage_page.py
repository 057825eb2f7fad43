"""Write docs/coverage.md from what `make coverage` has measured.

python benchmarks/coverage_page.py > docs/coverage.md
"""

from __future__ import annotations

import sys
from pathlib import Path

import coverage

ROOT = Path(__file__).resolve().parents[1]
PAGE = """# Line coverage

Made by `make coverage`, which runs the tests and the doctests without a GPU, and follows the processes that they start.

**{percent:.1f} %** of {statements} statements; {missing} were never run. {excluded} statements are left out of both
counts, by the patterns under `[tool.coverage.report]` in pyproject.toml: imports for type checkers, and branches that
only a CUDA device reaches. They are listed too.

| file | statements | never run | left out |
|---|---:|---|---|
{rows}
| all the others | {other} | | |
"""


def lines(numbers: list[int]) -> str:
    """Numbers of lines, with runs of neighbors as `first-last`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def main() -> None:
    measured = coverage.Coverage(config_file=str(ROOT / "pyproject.toml"))
    measured.load()
    counts = {"statements": 0, "missing": 0, "excluded": 0, "other": 0}
    rows = []
    for path in sorted((ROOT / "audiofeed").rglob("*.py")):
        _, statements, excluded, missing, _ = measured.analysis2(str(path))
        counts["statements"] += len(statements)
        counts["missing"] += len(missing)
        counts["excluded"] += len(excluded)
        if missing or excluded:
            name = path.relative_to(ROOT / "audiofeed")
            rows.append(f"| {name} | {len(statements)} | {lines(missing)} | {lines(excluded)} |")
        else:
            counts["other"] += len(statements)
    percent = 100 * (1 - counts["missing"] / counts["statements"])
    sys.stdout.write(PAGE.format(percent=percent, rows="\n".join(rows), **counts))


if __name__ == "__main__":
    main()
