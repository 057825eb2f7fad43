"""How long `import audiofeed` takes beside `import torch`, in processes of their own.

    python benchmarks/import_time.py [--runs 5] [--check]

The time of everything that `import torch` has not loaded, as `python -X importtime` counts it; the best of the runs.
`--check` exits 1 above 0.2 s.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MOST_SECONDS = 0.2
CODE = "import torch, time; start = time.perf_counter(); import audiofeed; print(time.perf_counter() - start)"


def seconds() -> float:
    """One import in a new process."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, cwd=ROOT)
    return float(done.stdout)


def main() -> int:
    """Print the best of several, and with --check hold it against the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    best = min(seconds() for _ in range(arguments.runs))
    print(f"import audiofeed: {best:.3f} s on top of torch, the best of {arguments.runs} (limit {MOST_SECONDS} s)")
    return 1 if arguments.check and best > MOST_SECONDS else 0


if __name__ == "__main__":
    sys.exit(main())
