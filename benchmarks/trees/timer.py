"""The process of one tree: times a row each time that it is asked to, a line of JSON in and one out, and else sleeps.

    python timer.py TREE THREADS [SHARED]

`{"row": ..., "blocks": 3, "seconds": 0.05}` is answered by `{"blocks": [...]}`, the seconds of a call in each block, of
the processor with `"cpu": true`, or
by `{"missing": reason}` of a row that this tree cannot make. `{"error": ..., "seed": 0}` is answered by the distance to
the values of float64 that lie in SHARED, which `{"define": ..., "seed": 0}` had the other tree write there.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch


class Timer:
    """Rows of one tree, made when they are first asked for."""

    def __init__(self, package: Any, rows: dict[str, Any], shared: Path) -> None:
        self._package, self._rows, self._shared = package, rows, shared
        self._made: dict[str, Any] = {}

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Do what a line asks."""
        name = asked.get("row") or asked.get("define") or asked.get("error")
        try:
            call, x = self._call(name)
        except (AttributeError, TypeError, ValueError) as fault:
            return {"missing": f"{type(fault).__name__}: {fault}"}
        with torch.set_grad_enabled(not self._rows[name].quiet):
            if "row" in asked:
                clock = time.process_time if asked.get("cpu") else time.perf_counter
                return {"blocks": timed(lambda: call(x), asked["blocks"], asked["seconds"], clock)}
            if not self._rows[name].exact:
                return {"error": None}
            file = self._shared / f"{list(self._rows).index(name)}.pt"
            if "define" in asked:
                torch.save(call(self._rows[name].source(asked["seed"])).detach(), file)
                return {"defined": True}
            return {"error": distance(call(self._input(name, asked["seed"])).detach(), torch.load(file))}

    def _call(self, name: str) -> tuple[Any, torch.Tensor | None]:
        if name not in self._made:
            row = self._rows[name]
            x = self._input(name, 0)
            call = row.make(self._package)
            with torch.set_grad_enabled(not row.quiet):
                call(x)  # what it cannot do shows here, and what it compiles is compiled
            self._made[name] = call, x
        return self._made[name]

    def _input(self, name: str, seed: int) -> torch.Tensor | None:
        source = self._rows[name].source
        if source is None:
            return None
        x = source(seed)
        return x.to(torch.complex64 if x.is_complex() else torch.float32)


def timed(call: Any, blocks: int, seconds: float, clock: Any = time.perf_counter) -> list[float]:
    """Seconds of a call in each of some blocks, a block being as many calls as take `seconds`, the first not timed."""
    begun = clock()
    call()
    calls = max(1, round(seconds / max(clock() - begun, 1e-6)))
    found = []
    for _ in range(blocks):
        begun = clock()
        for _ in range(calls):
            call()
        found.append((clock() - begun) / calls)
    return found


def distance(found: torch.Tensor, expected: torch.Tensor) -> float | None:
    """The relative L2 distance; None where the shapes differ, which only another definition explains."""
    if found.shape != expected.shape:
        return None
    return float((found - expected).abs().norm() / expected.abs().norm())


def main() -> None:
    """Answer lines until there are no more."""
    tree, threads, shared = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3] if len(sys.argv) > 3 else ".")
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    sys.path.insert(0, tree)
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")
    package = importlib.import_module("audiofeed")
    if not Path(package.__file__).is_relative_to(Path(tree).resolve()):
        sys.exit(f"audiofeed is that of {package.__file__}, not of {tree}")
    sys.path.insert(1, str(Path(__file__).resolve().parent))
    timer = Timer(package, importlib.import_module("rows").rows(), shared)
    for line in sys.stdin:
        answers.write(json.dumps(timer.answer(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
