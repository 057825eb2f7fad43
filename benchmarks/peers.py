"""Timing peers against each other in one process, in turn, each with its error beside its time."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"


def in_turn(
    peers: dict[str, Callable[[], object]], *, rounds: int, rest: float = 0.05, warm_up: float = 0.2, timed: int = 3
) -> dict[str, list[float]]:
    """Seconds of each peer over `rounds`: in every round each has its turn, so that a noisy minute meets them all.

    A turn begins with a rest, because the threads of one library's pool (OpenBLAS's, OpenMP's) spin for a while after a
    call and would take the cores from the next library. Then the peer is called untimed for `warm_up` seconds, and its
    time in this round is the median of `timed` calls.
    """
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name, call in peers.items():
            time.sleep(rest)
            start = time.perf_counter()
            while time.perf_counter() - start < warm_up:
                call()
            taken = []
            for _ in range(timed):
                start = time.perf_counter()
                call()
                taken.append(time.perf_counter() - start)
            seconds[name].append(statistics.median(taken))
    return seconds


def ratio(seconds: dict[str, list[float]], peer: str, ours: str) -> float:
    """How many times as long the peer took: the median over rounds of the ratio within a round."""
    return statistics.median(theirs / mine for theirs, mine in zip(seconds[peer], seconds[ours], strict=True))


def versions(*packages: str) -> dict[str, str]:
    """Versions of packages that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def machine() -> str:
    """The processor and the number of cores, in words."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores"


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, its first column to the left and the others to the right."""
    lines = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def write(name: str, text: str) -> None:
    """A results file, and the same on the screen."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / name).write_text(text)
    sys.stdout.write(text)
