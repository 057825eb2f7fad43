"""Run examples/trainable_bases.py as a user does, and keep its table for the README.

    python benchmarks/trainable_bases.py [--check]

`--check` exits 1 where a trained basis does not beat the fixed one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import peers

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Run the example, write its table, and with --check hold each row against the promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    start = time.perf_counter()
    example = ROOT / "examples" / "trainable_bases.py"
    done = subprocess.run([sys.executable, example], capture_output=True, text=True, check=True)
    minutes = (time.perf_counter() - start) / 60
    about = peers.versions("torch")
    text = (
        f"```\n{done.stdout.rstrip()}\n```\n\n"
        f"Test errors of `python examples/trainable_bases.py`: {minutes:.0f} minutes on {peers.machine()}, "
        f"torch {about['torch']}. `published` is the ratio of the paper's linear models; the example's text says why "
        "ours are others.\n"
    )
    peers.write("trainable_bases.md", text)
    ratios = [float(line.split()[4]) for line in done.stdout.splitlines()[1:]]
    return int(check and min(ratios) <= 1)


if __name__ == "__main__":
    sys.exit(main())
