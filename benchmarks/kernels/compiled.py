"""What torch.compile and CUDA graphs make of every transform and preset, found without a card.

    python benchmarks/kernels/compiled.py --out benchmarks/results

Each is compiled on a CPU with fullgraph=True and called twice, with other clips of other lengths in one shape of batch:
graphs are counted, and values are compared with those of the module as it is. That a CUDA graph can be captured is seen
from tensors without values on a CUDA device: no wait of the host, no copy from it, and the very same operations in the
next call. It writes compiled.json and compiled.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.device.calls import WAITS, Call, of_presets, of_transforms  # noqa: E402
from benchmarks.device.counts import counts  # noqa: E402

CLIPS = 2
SECONDS = 0.6
# of the largest value
CLOSE = 2e-4


def compiled(call: Call, backend: str) -> dict[str, Any]:
    """What compiling a call gives: graphs, why it is not one, the largest difference of values in the largest value."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    module = call.build()
    torch.manual_seed(0)
    first, second = (call.batch(module, clips=CLIPS, seconds=SECONDS) for _ in range(2))
    found: dict[str, Any] = {"graphs": 0, "why": "", "difference": None}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        call.run(module, first, None)  # what is found at the first call, from values
        whole = torch.compile(module, backend=backend, fullgraph=True)
        worst = 0.0
        try:
            for x, cut in ((first, 7), (second, 99)):
                length = x.shape[-1]
                lengths = torch.tensor([length, max(1, length - cut * length // 400)])
                worst = max(worst, _difference(call.run(whole, x, lengths), call.run(module, x, lengths)))
        except Exception as error:  # noqa: BLE001  the reason is the result
            found["why"] = _reason(error)
        else:
            found["difference"] = worst
        found["graphs"] = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    return found


def _difference(ours: Any, theirs: Any) -> float:
    """The largest difference of two features, or dicts of them, in the largest value."""
    if isinstance(theirs, dict):
        return max(_difference(ours[name], theirs[name]) for name in theirs)
    if isinstance(theirs, (tuple, list)):
        return max(_difference(one, other) for one, other in zip(ours, theirs, strict=True))
    if theirs.numel() == 0 or not (theirs.is_floating_point() or theirs.is_complex()):
        return float(not torch.equal(ours, theirs))
    largest = float(theirs.abs().nan_to_num(posinf=0.0).max()) or 1.0
    return float((ours - theirs).abs().nan_to_num().max()) / largest


def _reason(error: Exception) -> str:
    """What the compiler says, without where."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = next((line for line in lines if line.startswith("Explanation:")), lines[0] if lines else "")
    return f"{type(error).__name__}: {told}"[:200]


def capturable(call: Call) -> str:
    """Why a CUDA graph of a call cannot be captured, or nothing."""
    if call.name in WAITS:
        return WAITS[call.name]
    found = counts(call, clips=4, ways=("lengths",))["lengths"]
    problems = [f"the host waits {found.waits} times"] if found.waits else []
    problems += [f"{found.copies} arrays of the host are copied"] if found.copies else []
    problems += [] if found.repeats else ["the next call starts other operations"]
    return "; ".join(problems)


def table(result: dict[str, Any]) -> str:
    """The page of a result."""
    rows = result["calls"]
    whole = sum(row["graphs"] == 1 and not row["why"] for row in rows.values())
    captured = sum(not row["capture"] for row in rows.values())
    lines = [
        f"Every transform and preset under torch.compile(fullgraph=True, backend={result['backend']!r}) on a CPU, "
        f"called with {CLIPS} clips of {SECONDS} s and lengths, and again with others of other lengths in the same "
        f"shape (torch {result['torch']}); and whether a CUDA graph of it can be captured, by tensors without values: "
        f"no wait of the host, no copy from it, the same operations in the next call. {whole} of {len(rows)} are "
        f"one graph for both batches, {captured} can be captured. By `python benchmarks/kernels/compiled.py --out "
        "benchmarks/results`.",
        "",
        "| call | graphs | difference, of the largest value | CUDA graph | why not |",
        "|---|---:|---:|---|---|",
    ]
    for name, row in rows.items():
        difference = "" if row["difference"] is None else f"{row['difference']:.0e}"
        reasons = "; ".join(part for part in (row["why"], row["capture"]) if part)
        lines.append(
            f"| {name} | {row['graphs']} | {difference} | {'no' if row['capture'] else 'yes'} | "
            f"{reasons.replace('|', '/')} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Compile, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=None, help="folder of the results; none: the table is printed")
    parser.add_argument("--only", default="", help="calls to try anew, by name, separated by commas; others are kept")
    parser.add_argument("--backend", default="aot_eager", help="of torch.compile")
    asked = parser.parse_args()
    only = [name for name in asked.only.split(",") if name]
    rows = json.loads((asked.out / "compiled.json").read_text())["calls"] if only else {}
    for call in (*of_transforms(), *of_presets()):
        if only and call.name not in only:
            continue
        rows[call.name] = {**compiled(call, asked.backend), "capture": capturable(call)}
        print(call.name, rows[call.name], file=sys.stderr, flush=True)
    result = {"torch": torch.__version__, "backend": asked.backend, "calls": rows}
    page = table(result)
    if asked.out is None:
        print(page)
        return 0
    (asked.out / "compiled.md").write_text(page)
    (asked.out / "compiled.json").write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
