"""Two trees of the repository on every row of benchmarks/trees/rows.py: how many times as long the new one takes.

    python benchmarks/trees/before_after.py OLD_TREE [--threads 1] [--seconds 50] [--rows 20] [--only CQT,CFP] [--check]

A process of each tree is asked in turn to time one row, while the other sleeps; a round is one answer of each, in an
order drawn anew. Each turn over the rows has processes of its own: where memory comes to lie changes a time by up to a
tenth, for as long as a process lives. The ratio of a row is the median over rounds of the ratio within a round, with
the interval that holds it with 95 % by order statistics. Rows that it does not put on one side of 1.03 get the next
rounds.
What is measured is kept in benchmarks/results/before_after.json, and a later call goes on from there, so that short
calls on a quiet machine add up, until the code of a tree or the machine changes; `--anew` forgets the rows of its
number of threads. OLD_TREE may be this tree: that is kept beside, and shows what noise alone gives. `--cpu` takes the
processor's time, which a busy machine disturbs less; `--errors` compares the values instead. A row that one tree lacks
is named with the reason. `--check` exits 1 where a row is slower or an error larger.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import peers

from trees import verdicts

HERE = Path(__file__).resolve().parents[2]
FILE = peers.RESULTS / "before_after.json"
MOST, CAP = 1.03, 40
BLOCKS, SECONDS = 3, 0.05
# inputs whose errors are compared, and of a row whose error seems to have grown: rounding varies with the input
SEEDS, SEEDS_OF_LARGER = 5, 25


class Tree:
    """A process of one tree, which sleeps until it is asked."""

    def __init__(self, tree: Path, threads: int, shared: str) -> None:
        timer = HERE / "benchmarks" / "trees" / "timer.py"
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(tree)}
        self._process = subprocess.Popen(
            [sys.executable, str(timer), str(tree), str(threads), shared],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=tree,
            env=environment,
        )

    def ask(self, **what: Any) -> dict[str, Any]:
        """The answer to a line, once it is there and no thread of the process spins any longer."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of a tree ended with {self._process.wait()} when asked for {what}")
        self._fall_asleep()
        return json.loads(line)

    def _fall_asleep(self, most: float = 1.0) -> None:
        end = time.monotonic() + most
        while time.monotonic() < end and any(state == b"R" for state in self._states()):
            time.sleep(0.002)

    def _states(self) -> list[bytes]:
        states = []
        for task in Path(f"/proc/{self._process.pid}/task").glob("*/stat"):
            with contextlib.suppress(OSError):
                states.append(task.read_bytes().rpartition(b") ")[2][:1])
        return states

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def commit(tree: Path) -> str:
    """The commit of a tree, in short."""
    asked = ["git", "-C", str(tree), "log", "-1", "--format=%h of %cs"]
    return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=20).stdout.strip()


def fingerprint(tree: Path) -> str:
    """A digest of a tree's package: rounds of other code are none of it."""
    digest = hashlib.sha256()
    for file in sorted((tree / "audiofeed").rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def of_these_trees(known: dict[str, Any], old: Path, new: Path) -> dict[str, Any]:
    """What is known of two trees: nothing yet where the code of one, or the machine, was another, which is told."""
    code, machine = [fingerprint(old), fingerprint(new)], peers.machine()
    if known and (known.get("code"), known.get("machine")) != (code, machine):
        sys.stderr.write("the code or the machine has changed since the last rounds: they are forgotten\n")
        known = {}
    about = {"before": commit(old), "after": commit(new), "machine": machine, "code": code}
    return {"rounds": {}, "missing": {}, "errors": {}, **known, **about}


@contextlib.contextmanager
def processes(old: Path, threads: int, shared: str) -> Iterator[tuple[Tree, Tree]]:
    """A process of the tree before, and one of this tree."""
    pair = Tree(old, threads, shared), Tree(HERE, threads, shared)
    try:
        yield pair
    finally:
        for tree in pair:
            tree.close()


def time_rows(
    begin: Callable[[], contextlib.AbstractContextManager[tuple[Tree, Tree]]],
    known: dict[str, Any],
    names: list[str],
    seconds: float,
    *,
    cpu: bool = False,
) -> None:
    """Add rounds to `known` until the seconds are over or no row needs one."""
    end, draw = time.monotonic() + seconds, random.Random()
    missing = known["missing"]
    rounds = {name: known["rounds"].setdefault(name, []) for name in names if name not in missing}
    while time.monotonic() < end:
        needy = verdicts.neediest(rounds, MOST, CAP)
        if not needy:
            return
        fewest = len(rounds[needy[0]])
        turn = [name for name in needy if len(rounds[name]) == fewest]
        draw.shuffle(turn)
        with begin() as pair:
            for name in turn:
                if time.monotonic() >= end:
                    return
                order = draw.sample((0, 1), 2)
                found = {side: pair[side].ask(row=name, blocks=BLOCKS, seconds=SECONDS, cpu=cpu) for side in order}
                lacking = {("before", "after")[side]: of["missing"] for side, of in found.items() if "missing" in of}
                if lacking:
                    missing[name] = lacking
                    del rounds[name], known["rounds"][name]
                    continue
                rounds[name].append([min(found[side]["blocks"]) for side in (0, 1)])


def compare_values(pair: tuple[Tree, Tree], known: dict[str, Any], names: list[str]) -> None:
    """The distance of each tree's float32 to the float64 of the tree after, the median of some inputs, into `known`."""
    for name in names:
        known["errors"].pop(name, None)
        errors: list[list[float]] = []
        for seed in range(SEEDS_OF_LARGER):
            if seed == SEEDS and not verdicts.larger_error(*known["errors"][name]):
                break
            defined = pair[1].ask(define=name, seed=seed)
            found = [tree.ask(error=name, seed=seed).get("error") for tree in pair] if "defined" in defined else [None]
            if None in found:
                break
            errors.append(found)
            if len(errors) >= SEEDS:
                known["errors"][name] = [statistics.median(of) for of in zip(*errors, strict=True)]


def page(kept: dict[str, Any]) -> str:
    """All that is known, as tables."""
    text = (
        "How many times as long a call takes after as before: the median of the ratios within a round, and the "
        "interval that holds it with 95 % by order statistics. The errors are the relative L2 distances of float32, "
        f"before and after, to the float64 of the tree after: medians of {SEEDS} inputs, or of "
        f"{SEEDS_OF_LARGER} where these say that an error has grown by more than a tenth.\n"
    )
    for title, known in kept["runs"].items():
        rows = []
        for name, rounds in known["rounds"].items():
            of = verdicts.summary(rounds, MOST)
            if not of["rounds"]:
                continue
            low, high = of["interval"]
            errors = known["errors"].get(name, [None, None])
            said = ", ".join("-" if error is None else f"{error:.1e}" for error in errors)
            times = [f"{of[key]:.2f} ms" for key in ("before_ms", "after_ms")]
            rows.append([name, *times, f"{of['ratio']:.3f}", f"{low:.3f} to {high:.3f}", of["verdict"], said])
        text += f"\n## {title}\n\nBefore {known['before']}, after {known['after']}; {known['machine']}.\n\n"
        header = ["", "before", "after", "ratio", "interval", f"of {MOST}", "errors"]
        text += peers.markdown(header, sorted(rows, key=lambda row: -float(row[3])))
        text += "".join(
            f"\n- not timed: {name}, {', '.join(f'{side} lacks it ({why})' for side, why in lacking.items())}"
            for name, lacking in known["missing"].items()
        )
        text += "\n"
    return text + "\nMade by `python benchmarks/trees/before_after.py OLD_TREE`.\n"


def faults(known: dict[str, Any], names: list[str]) -> list[str]:
    """What a check does not let through."""
    slower = {name: verdicts.summary(known["rounds"].get(name, []), MOST) for name in names}
    told = [f"{name}: {of['ratio']:.3f}" for name, of in slower.items() if of["verdict"] == "slower"]
    return told + [
        f"{name}: error {known['errors'][name]}"
        for name in names
        if name in known["errors"] and verdicts.larger_error(*known["errors"][name])
    ]


def main() -> int:
    """Measure for some seconds, and write what is known so far."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path, help="the tree before; this tree to see what noise gives")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=50.0, help="after which no new row is begun")
    parser.add_argument("--rows", type=int, default=0, help="at most so many, those that need rounds most; 0: all")
    parser.add_argument("--cpu", action="store_true", help="time of the processor, not of the clock")
    parser.add_argument("--only", default="", help="rows whose names begin so, separated by commas")
    parser.add_argument("--errors", action="store_true", help="compare the values instead of the times")
    parser.add_argument("--anew", action="store_true", help="forget the rounds of these rows")
    parser.add_argument("--check", action="store_true", help="exit 1 where a row is slower or an error larger")
    arguments = parser.parse_args()
    old = arguments.old.resolve()
    threads = f"{arguments.threads} thread{'s' * (arguments.threads > 1)}"
    title = threads + ", time of the processor" * arguments.cpu + ", this tree twice" * (old == HERE)
    kept = json.loads(FILE.read_text()) if FILE.exists() else {"runs": {}}
    known = kept["runs"][title] = of_these_trees(kept["runs"].get(title, {}), old, HERE)
    with tempfile.TemporaryDirectory(prefix="trees-") as shared:
        begin = functools.partial(processes, old, arguments.threads, shared)
        try:
            names = row_names(arguments.only)
            if arguments.anew:
                known["rounds"] = {name: of for name, of in known["rounds"].items() if name not in names}
                known["missing"] = {name: of for name, of in known["missing"].items() if name not in names}
            if arguments.errors:
                with begin() as pair:
                    compare_values(pair, known, names)
            else:
                had = {name: known["rounds"].get(name, []) for name in names if name not in known["missing"]}
                wanted = verdicts.neediest(had, MOST, CAP)[: arguments.rows or None]
                time_rows(begin, known, wanted, arguments.seconds, cpu=arguments.cpu)
        finally:
            FILE.write_text(json.dumps(kept, indent=1) + "\n")
    text = page(kept)
    peers.write("before_after.md", text)
    told = faults(known, names)
    sys.stderr.write("".join(f"{line}\n" for line in told))
    return int(arguments.check and bool(told))


def row_names(only: str) -> list[str]:
    """Rows whose names begin with one of the words, all without."""
    from trees.rows import rows

    words = tuple(filter(None, only.split(",")))
    return [name for name in rows() if not words or name.startswith(words)]


if __name__ == "__main__":
    sys.exit(main())
