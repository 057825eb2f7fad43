"""Every transform of the catalogue on a CPU against the peers that have it, in one process, in turn, with the errors.

    python benchmarks/catalogue_cpu.py [--rounds 9] [--only MFCC,CFP [--merge]] [--check]

The error is the relative L2 distance to the same definition in float64. `--check` exits 1 where a peer was faster. With
`--merge` the rows of `--only` take the place of theirs in the results files, and the others stay as they were measured.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

import catalogue
import peers
from catalogue import Contest


def contests(only: set[str]) -> Iterator[Contest]:
    """The contests of every file of the folder, by file name."""
    for info in sorted(pkgutil.iter_modules(catalogue.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"catalogue.{info.name}")
        for contest in module.contests():
            if not only or contest.transform in only:
                yield contest


def error(result: object, expected: np.ndarray | None) -> float | None:
    """The relative L2 distance over the frames that both have; None without an expectation."""
    if expected is None:
        return None
    values = np.asarray(result.detach() if isinstance(result, torch.Tensor) else result)
    frames = min(values.shape[-1], expected.shape[-1])
    values, wanted = values[..., :frames].squeeze(), expected[..., :frames].squeeze()
    return float(np.linalg.norm(values - wanted) / np.linalg.norm(wanted))


def measure(contest: Contest, rounds: int) -> dict:
    """Times, errors and ratios of one contest."""
    errors = {
        name: error(call(), contest.definitions.get(name, contest.expected)) for name, call in contest.calls.items()
    }
    seconds = peers.in_turn(contest.calls, rounds=rounds, warm_up=0.1)
    return {
        "transform": contest.transform,
        "setting": contest.setting,
        "note": contest.note,
        "median_ms": {name: float(np.median(s) * 1e3) for name, s in seconds.items()},
        "relative_error": errors,
        "baselines": contest.baselines,
        "ratio": {name: peers.ratio(seconds, name, "audiofeed") for name in contest.calls if name != "audiofeed"},
    }


def cell(result: dict, name: str) -> str:
    """Time, ratio and error of one contender."""
    off = result["relative_error"][name]
    ratio = f", x{result['ratio'][name]:.1f}" if name in result["ratio"] else ""
    return f"{result['median_ms'][name]:.1f} ms{ratio}, {'no float64' if off is None else f'{off:.0e}'}"


def merged(known: dict, new: dict) -> dict:
    """Known results, those of the transforms measured anew in their places."""
    if (known["machine"], known["versions"]) != (new["machine"], new["versions"]):
        sys.exit(f"--merge: the results were measured elsewhere: {known['machine']}, {known['versions']}")
    by_row = {(result["transform"], result["setting"]): result for result in new["results"]}
    results = [by_row.pop((result["transform"], result["setting"]), result) for result in known["results"]]
    return {**known, "results": [*results, *by_row.values()]}


def table(results: list[dict], machine: str, about: dict, rounds: int) -> str:
    """All results as a table, with notes."""
    rows = []
    for result in results:
        others = sorted(result["ratio"], key=result["ratio"].__getitem__)
        rest = "; ".join(f"{name} {cell(result, name)}" for name in others)
        rows.append([f"{result['transform']}, {result['setting']}", cell(result, "audiofeed"), rest])
    said = dict.fromkeys(f"- {result['transform']}: {result['note']}\n" for result in results if result["note"])
    notes = "".join(said)
    return (
        "Each transform on a CPU, 2 threads: median time; how many times audiofeed's it is (median of the ratios "
        "within a round); relative L2 error against float64.\n\n"
        + peers.markdown(["", "audiofeed", "peers, the fastest first"], rows)
        + f"\n{notes}\n{machine}; {', '.join(f'{k} {v}' for k, v in about.items())}; {rounds} "
        "rounds. Made by `python benchmarks/catalogue_cpu.py`.\n"
    )


def main() -> int:
    """Measure, write the table, and with --check hold it against the promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", help="transforms, separated by commas; writes no file without --merge")
    parser.add_argument("--check", action="store_true", help="exit 1 where a peer was faster")
    parser.add_argument("--merge", action="store_true", help="keep the other rows of the results files, and write them")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    torch.set_grad_enabled(False)
    warnings.simplefilter("ignore")
    only = set(filter(None, arguments.only.split(",")))
    measured = []
    for contest in contests(only):
        measured.append(measure(contest, arguments.rounds))
        sys.stderr.write(f"{contest.transform}: {', '.join(cell(measured[-1], name) for name in contest.calls)}\n")
    about = peers.versions("torch", "torchaudio", "nnaudio2", "librosa", "numpy", "scipy")
    file = peers.RESULTS / "catalogue_cpu.json"
    kept = {"machine": peers.machine(), "versions": about, "results": measured}
    if arguments.merge:
        kept = merged(json.loads(file.read_text()), kept)
    text = table(kept["results"], kept["machine"], about, arguments.rounds)
    if not only or arguments.merge:
        peers.write("catalogue_cpu.md", text)
        file.write_text(json.dumps(kept, indent=1) + "\n")
    else:
        sys.stdout.write(text)
    if not arguments.check:
        return 0
    slower = [
        f"{result['transform']}, {result['setting']}: {name} x{ratio:.2f}"
        for result in measured
        for name, ratio in result["ratio"].items()
        if ratio < 1.0 and name not in result["baselines"]
    ]
    sys.stderr.write("".join(f"faster than audiofeed: {line}\n" for line in slower))
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
