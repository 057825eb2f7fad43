"""What a constant-Q transform costs as a clip grows from seconds to an hour: time, memory, and the same result.

    python benchmarks/constant_q_scaling.py [--check]

Each length runs in a process of its own, so that the peak of its memory is its own. The error is that of one minute in
the middle (of half the clip, if that is shorter) against the same minute computed alone in float64, away from its ends.
`--check` exits 1 where a promise is not kept.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
import peers
import torch

import audiofeed as af

RATE, HOP = 22050, 512
SECONDS = (10, 60, 600, 3600)
# promised: seconds per second of audio against the shortest clip; peak memory; kernels
MOST_GROWTH, MOST_MEMORY, MOST_KERNELS = 1.3, 2e9, 4e6
# the longest wavelets, and what the filters between the octaves see, are shorter than this many seconds
EDGE = 2


def one(seconds: int) -> dict[str, float]:
    """Time, memory and error for one clip of noise."""
    torch.set_num_threads(2)
    transform = af.CQT(sample_rate=RATE, n_bins=84)
    x = torch.randn(1, RATE * seconds, generator=torch.Generator().manual_seed(0))
    taken = []
    with torch.no_grad():
        features = transform(x)
        # as much audio for every length, in at least three calls
        for _ in range(max(3, 600 // seconds)):
            start = time.perf_counter()
            transform(x)
            taken.append(time.perf_counter() - start)
        # in kilobytes on Linux, in bytes on macOS
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        frames = min(60, seconds // 2) * RATE // HOP
        # where every octave has a sample
        first = features.shape[-1] // 2 // 64 * 64
        alone = transform(x[:, first * HOP : (first + frames) * HOP].double())
    edge = EDGE * RATE // HOP
    inner = alone[..., edge : frames - edge]
    error = (features[..., first + edge : first + frames - edge] - inner).norm() / inner.norm()
    return {
        "seconds": seconds,
        "time": float(np.median(taken)),
        "memory": peak,
        "error": float(error),
        "kernels": sum(buffer.numel() * buffer.element_size() for buffer in transform.buffers()),
    }


def main() -> int:
    """Measure every length, write the table, and with --check hold it against the promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--one", type=int, help="measure one length, in seconds, and write it as JSON")
    arguments = parser.parse_args()
    if arguments.one:
        sys.stdout.write(json.dumps(one(arguments.one)))
        return 0
    found = []
    for seconds in SECONDS:
        command = [sys.executable, __file__, "--one", str(seconds)]
        found.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    least = found[0]["time"] / found[0]["seconds"]
    growth = [length["time"] / length["seconds"] / least for length in found]
    rows = [
        [
            f"{length['seconds']} s",
            f"{length['time'] * 1e3:.0f} ms",
            f"{length['time'] / length['seconds'] * 1e3:.2f} ms",
            f"x{more:.2f}",
            f"{length['memory'] / 1e6:.0f} MB",
            f"{length['error']:.1e}",
        ]
        for length, more in zip(found, growth, strict=True)
    ]
    header = ["clip", "time", "per second of audio", "against the shortest", "peak memory of the process", "error"]
    text = (
        f"A constant-Q transform of one clip at {RATE} Hz, hop {HOP}, 84 bins, 2 threads, float32; its kernels and "
        f"filters hold {found[0]['kernels'] / 1e6:.1f} MB. The error is that of a minute in the middle against the "
        "same minute computed alone in float64.\n\n"
        + peers.markdown(header, rows)
        + f"\n{peers.machine()}; torch {torch.__version__}. Made by `python benchmarks/constant_q_scaling.py`.\n"
    )
    peers.write("constant_q_scaling.md", text)
    kept = (
        max(growth) <= MOST_GROWTH
        and max(length["memory"] for length in found) <= MOST_MEMORY
        and found[0]["kernels"] <= MOST_KERNELS
        and max(length["error"] for length in found) <= 1e-5
    )
    return int(arguments.check and not kept)


if __name__ == "__main__":
    sys.exit(main())
