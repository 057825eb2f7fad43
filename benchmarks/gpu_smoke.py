"""Check and time audiofeed on a GPU: one command, under five minutes, with torch and numpy alone.

    python benchmarks/gpu_smoke.py                    all of it; writes benchmarks/results/gpu_<card>.json and .md
    python benchmarks/gpu_smoke.py --quick            fewer rows; writes only where --out says
    python benchmarks/gpu_smoke.py --device cpu       a dry run of the same code; writes nothing
    python benchmarks/gpu_smoke.py --readme           print the README's table of the newest results

Every section runs, whatever failed before it; the exit code is 1 if any check failed. On a card each check is kept in
gpu_unfinished.jsonl as it ends: where a check loses the card, a new process goes on after it, and where a run hung or
was ended, the same command does. What is checked of each transform stands in gpu/settings.py, and for the rest of the
catalogue in the tests' cases. torchaudio, nnAudio2 and flashmel are timed beside ours where they are installed.
"""

from __future__ import annotations

import argparse
import functools
import os
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
from gpu import catalogue, churn, compiled, correctness, feeding, flags, fused_kernel, octave_kernels, results  # noqa: E402
from gpu.checks import DeviceLostError, Recorder  # noqa: E402
from gpu.journal import Journal  # noqa: E402
from gpu.measured import beside, bus, constant_q, harness, launches, musicnet, step, timing  # noqa: E402

BUDGET = 285.0
# Seconds that the sections after the timings need.
AFTER_TIMING = 110.0
# A check that takes longer hangs: its stacks are printed, and the process ends.
HANGS_AFTER = 100.0
SECTIONS = (
    # a profiler may slow what is launched after it: launches are counted when all is timed that waits for them
    "correctness", "catalogue", "timing", "constant q", "graphs", "step", "beside", "musicnet", "launches", "harness",
    "flags", "feeding", "memory",
    # last: no card has run it yet, and a fault of its would end all that comes after
    "transfer", "bus", "loader", "compile", "cuda kernel",
)  # fmt: skip
# Sections that go on after a check that ended the process; the others are given up there.
GO_ON = ("correctness", "catalogue")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    # clips of a few samples are among the cases
    warnings.filterwarnings("ignore", message="n_fft=.* exceeds the samples of a clip", category=UserWarning)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), help="cpu: a dry run for development")
    parser.add_argument("--quick", action="store_true", help="fewer rows and ways")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="run this section; may be given again")
    parser.add_argument("--out", type=Path, help="folder of the results (default: results, beside this file)")
    parser.add_argument("--journal", type=Path, help="keep each check of a dry run in this file, as on a card")
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
    sections = asked.only or SECTIONS
    card = "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device)
    of_run = {"card": card, "commit": results.commit(), "quick": asked.quick, "sections": list(sections)}
    journal = Journal(folder / "gpu_unfinished.jsonl" if device.type == "cuda" else asked.journal, of_run)
    recorder = Recorder(
        BUDGET,
        functools.partial(print, flush=True),
        journal=journal,
        probe=torch.cuda.synchronize if device.type == "cuda" else lambda: None,
        hangs_after=HANGS_AFTER if device.type == "cuda" else None,
    )
    recorder.say("DRY RUN on the CPU: no result" if device.type == "cpu" else card)
    try:
        tables = _run(recorder, journal, device, sections, quick=asked.quick)
    except DeviceLostError as error:
        recorder.say(f"the device answers no more {error}; a new process goes on")
        os.execv(sys.executable, [sys.executable, str(Path(__file__)), *(arguments or sys.argv[1:])])
    result = results.make_result(recorder, device, tables, quick=asked.quick, partial=bool(asked.only))
    page = results.markdown(result, recorder.checks)  # made in a dry run too, so that it cannot fail on a card
    partial = asked.quick or asked.only
    if device.type == "cpu":
        recorder.say("DRY RUN: nothing written")
    elif partial and asked.out is None:
        recorder.say("only a part was run: nothing written without --out")
    else:
        recorder.say(f"written: {results.write(result, page, folder)}")
    journal.remove()
    return _conclude(recorder)


def _run(
    recorder: Recorder, journal: Journal, device: torch.device, sections: Sequence[str], *, quick: bool
) -> dict[str, Any]:
    tables: dict[str, Any] = {}

    def feed() -> None:
        feeding.run(recorder, device, quick=quick)
        churn.run(recorder, device, quick=quick)

    def kernels() -> None:
        fused_kernel.run(recorder, device)
        octave_kernels.run(recorder, device)

    # what returns rows makes a table of them
    parts: dict[str, tuple[str, Callable[[], Any]]] = {
        "correctness": ("", lambda: correctness.run(recorder, device, quick=quick)),
        "catalogue": ("", lambda: catalogue.run(recorder, device, quick=quick)),
        "launches": ("launches", lambda: launches.run(recorder, device, quick=quick)),
        "harness": ("harness", lambda: harness.run(recorder, device, quick=quick)),
        "timing": ("features", lambda: timing.run_features(recorder, device, AFTER_TIMING, quick=quick)),
        "constant q": ("constant_q", lambda: constant_q.run(recorder, device, AFTER_TIMING - 15, quick=quick)),
        "musicnet": ("musicnet", lambda: musicnet.run(recorder, device, AFTER_TIMING - 30, quick=quick)),
        "graphs": ("graphs", lambda: launches.run_graphs(recorder, device)),
        "step": ("step", lambda: step.run(recorder, device)),
        "beside": ("beside", lambda: beside.run(recorder, tables, device)),
        "flags": ("", lambda: flags.run(recorder, device, quick=quick)),
        "feeding": ("", feed),
        "memory": ("memory", lambda: timing.run_memory(recorder, device)),
        "transfer": ("transfer", lambda: timing.run_transfer(recorder, device)),
        "bus": ("bus", lambda: bus.run(recorder, device, quick=quick)),
        "loader": ("loader", lambda: timing.run_loader(recorder, device, quick=quick)),
        "compile": ("", lambda: compiled.run(recorder, device, quick=quick)),
        "cuda kernel": ("", kernels),
    }
    for name in SECTIONS:
        table, part = parts[name]
        if table:
            tables[table] = []
        if name in journal.finished:
            tables.update(journal.finished[name])
            continue
        if name not in sections:
            continue
        whole = "the section ran to its end"
        if name in journal.started and name not in GO_ON:
            with recorder.check(name, whole) as check:
                check.problem("the process ended in this section, and the rest of it was given up")
        else:
            journal.start(name)
            # a check keeps its own failure; this keeps what goes wrong between checks
            with recorder.check(name, whole, loud=False):
                found = part()
                if table:
                    tables[table] = found
        journal.finish(name, {table: tables[table]} if table else {})
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
