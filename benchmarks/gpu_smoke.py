"""Check and time audiofeed on a GPU: one command, under five minutes, with torch and numpy alone.

    python benchmarks/gpu_smoke.py                    all of it; writes benchmarks/results/gpu_<card>.json and .md
    python benchmarks/gpu_smoke.py --quick            fewer rows; writes only where --out says
    python benchmarks/gpu_smoke.py --device cpu       a dry run of the same code; writes nothing
    python benchmarks/gpu_smoke.py --readme           print the README's table of the newest results

Every section runs, whatever failed before it; the exit code is 1 if any check failed. What is checked of each transform
stands in gpu/settings.py, and for the rest of the catalogue in the tests' cases.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
for place in (str(HERE), str(HERE.parent)):
    if place not in sys.path:
        sys.path.insert(0, place)

import torch  # noqa: E402
from gpu import catalogue, churn, compiled, correctness, feeding, flags, results, timing  # noqa: E402
from gpu.checks import Recorder  # noqa: E402

BUDGET = 285.0
# Seconds that memory, transfer and loader need after the timings.
AFTER_TIMING = 30.0
SECTIONS = ("correctness", "catalogue", "flags", "feeding", "timing", "memory", "transfer", "loader", "compile")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    # clips of a few samples are among the cases
    warnings.filterwarnings("ignore", message="n_fft=.* exceeds the samples of a clip", category=UserWarning)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), help="cpu: a dry run for development")
    parser.add_argument("--quick", action="store_true", help="fewer rows and ways")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="run this section; may be given again")
    parser.add_argument("--out", type=Path, help="folder of the results (default: results, beside this file)")
    parser.add_argument("--readme", action="store_true", help="print the README's table of the newest results")
    asked = parser.parse_args(arguments)
    folder = asked.out or HERE / "results"
    if asked.readme:
        print(results.readme_table(results.newest(folder)))
        return 0
    if asked.device != "cpu" and not torch.cuda.is_available():
        if asked.device == "cuda":
            parser.error("--device cuda: torch sees no CUDA device")
        print("No CUDA device here: nothing checked, nothing measured (--device cpu makes a dry run).")
        return 0
    device = torch.device("cpu") if asked.device == "cpu" else torch.device("cuda", torch.cuda.current_device())
    recorder = Recorder(BUDGET)
    recorder.say("DRY RUN on the CPU: no result" if device.type == "cpu" else torch.cuda.get_device_name(device))
    tables = _run(recorder, device, asked.only or SECTIONS, quick=asked.quick)
    result = results.make_result(recorder, device, tables, quick=asked.quick, partial=bool(asked.only))
    page = results.markdown(result, recorder.checks)  # made in a dry run too, so that it cannot fail on a card
    partial = asked.quick or asked.only
    if device.type == "cpu":
        recorder.say("DRY RUN: nothing written")
    elif partial and asked.out is None:
        recorder.say("only a part was run: nothing written without --out")
    else:
        recorder.say(f"written: {results.write(result, page, folder)}")
    return _conclude(recorder)


def _run(recorder: Recorder, device: torch.device, sections: Sequence[str], *, quick: bool) -> dict[str, Any]:
    tables: dict[str, Any] = {"features": [], "memory": [], "transfer": [], "loader": []}

    def feed() -> None:
        feeding.run(recorder, device, quick=quick)
        churn.run(recorder, device, quick=quick)

    parts: dict[str, Callable[[], object]] = {
        "correctness": lambda: correctness.run(recorder, device, quick=quick),
        "catalogue": lambda: catalogue.run(recorder, device, quick=quick),
        "flags": lambda: flags.run(recorder, device, quick=quick),
        "feeding": feed,
        "timing": lambda: tables.update(features=timing.run_features(recorder, device, AFTER_TIMING, quick=quick)),
        "memory": lambda: tables.update(memory=timing.run_memory(recorder, device)),
        "transfer": lambda: tables.update(transfer=timing.run_transfer(recorder, device)),
        "loader": lambda: tables.update(loader=timing.run_loader(recorder, device, quick=quick)),
        "compile": lambda: compiled.run(recorder, device, quick=quick),
    }
    for name in SECTIONS:
        if name not in sections:
            continue
        # a check keeps its own failure; this keeps what goes wrong between checks
        with recorder.check(name, "the section ran to its end", loud=False):
            parts[name]()
    return tables


def _conclude(recorder: Recorder) -> int:
    failed = recorder.failed
    for check in failed:
        print(f"\nFAIL {check.section}: {check.name}")
        for problem in check.problems[:10]:
            print("    " + problem.replace("\n", "\n    "))
        if len(check.problems) > 10:
            print(f"    and {len(check.problems) - 10} more")
    recorder.say(f"{len(failed)} of {len(recorder.checks)} checks failed" if failed else "no check failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
