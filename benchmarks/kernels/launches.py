"""Launches and traffic of every transform and preset on a CUDA device, counted without one.

    python benchmarks/kernels/launches.py --out benchmarks/results

Tensors without values go through each call, and the operations that would start on the device are counted: views,
allocations and copies from the host apart. Bytes are summed from shapes. `tests/transforms/contract/test_launches.py`
holds every call under the table that this writes, launches.json and launches.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.device.calls import CLIPS, LIMITS, SECONDS, WAITS, of_presets, of_transforms  # noqa: E402
from benchmarks.device.counts import WAYS, as_row, count_collate, counts  # noqa: E402


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The counts as a page."""
    lines = [
        "Operations that a call starts on a CUDA device, counted with tensors without values (torch "
        f"{torch.__version__}), in a batch of {CLIPS} clips of {SECONDS} s: views, allocations, copies from the host "
        "and constants that a module keeps on the device from its first call on apart. An operation is one or a few "
        "kernels: a padding fills and copies, an FFT may take several. MB are read and "
        "written with lengths and without a graph, by shapes alone; the least is input and result, once. "
        '`method="fft"` stands for what torch alone does; the fused kernel of log-mels is one operation. By `python '
        "benchmarks/kernels/launches.py --out benchmarks/results`.",
        "",
        f"| call | {' | '.join(WAYS)} | limit | MB | least MB | ratio |",
        "|---|" + "---:|" * (len(WAYS) + 4),
    ]
    for name, row in rows.items():
        moved, least = row["moved"] / 1e6, row["least"] / 1e6
        launches = " | ".join(str(row["launches"].get(way, "")) for way in WAYS)
        limit = LIMITS.get(name, "")
        lines.append(f"| {name} | {launches} | {limit} | {moved:.1f} | {least:.1f} | {moved / max(least, 1e-9):.1f} |")
    lines += ["", *(f"{name} is not counted: {why}." for name, why in WAITS.items())]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Count, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=None, help="folder of the results; none: the table is printed")
    parser.add_argument("--only", default="", help="calls to count anew, by name, separated by commas; others are kept")
    arguments = parser.parse_args()
    only = [name for name in arguments.only.split(",") if name]
    rows = json.loads((arguments.out / "launches.json").read_text())["calls"] if only else {}
    for call in (*of_transforms(), *of_presets()):
        if call.name not in WAITS and (not only or call.name in only):
            rows[call.name] = as_row(counts(call))
            print(call.name, rows[call.name]["launches"], file=sys.stderr, flush=True)
    collate = count_collate()
    rows["GPUSpecCollate(presets.whisper())"] = {
        "launches": {"lengths": collate.launches}, "moved": collate.moved, "least": collate.least
    }  # fmt: skip
    page = table(rows)
    if arguments.out is None:
        print(page)
        return 0
    (arguments.out / "launches.md").write_text(page)
    kept = {"torch": torch.__version__, "clips": CLIPS, "seconds": SECONDS, "calls": rows}
    (arguments.out / "launches.json").write_text(json.dumps(kept, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
