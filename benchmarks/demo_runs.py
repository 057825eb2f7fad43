"""Run the demo as a user does, on its own sounds and on the spoken digits, and keep what it printed for the README.

    python benchmarks/demo_runs.py [--fsdd DIR] [--check]

The spoken digits are the 3,000 recordings of the Free Spoken Digit Dataset, in `../shared/data/fsdd/recordings` unless
`--fsdd` says otherwise; takes 0 to 4 are the test set by its own convention. `--check` exits 1 below 90 % on the demo's
own sounds or above 60 s there, below 97 % on the digits, or above 120 s.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import peers

ROOT = Path(__file__).resolve().parents[1]


def run(title: str, *arguments: str) -> tuple[str, float, float]:
    """What a run printed as Markdown, its test accuracy in percent, and its wall time in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "audiofeed", "demo", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
            encoding="utf-8",
        )
        seconds = time.perf_counter() - start
    lines = done.stdout.splitlines()
    table = [line.rstrip() for line in lines if line.startswith(("┌", "│", "├", "└"))]
    accuracy = next(float(line.split("│")[2].strip(" %")) for line in table if "test accuracy" in line)
    text = "```\n" + "\n".join(table) + "\n```\n\n" + f"{title}: {seconds:.0f} s from the command to its end, imports "
    return text + f"included, on {peers.machine()}, without a GPU.\n", accuracy, seconds


def main() -> int:
    """Run both, write both, and with --check hold them against the promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fsdd", default=str(ROOT.parent / "shared" / "data" / "fsdd" / "recordings"))
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    text, accuracy, seconds = run("`audiofeed demo`")
    peers.write("demo.md", text)
    good = accuracy >= 90 and seconds <= 60
    if Path(arguments.fsdd).is_dir():
        split = ("--target-pattern", "{target}_{speaker}_{take}", "--test", "take=0-4")
        text, accuracy, seconds = run("The 3,000 spoken digits", "--data", arguments.fsdd, *split)
        peers.write("fsdd.md", text)
        good &= accuracy >= 97 and seconds <= 120
    else:
        sys.stderr.write(f"no recordings in {arguments.fsdd}: only the demo's own sounds were run\n")
    return 1 if arguments.check and not good else 0


if __name__ == "__main__":
    sys.exit(main())
