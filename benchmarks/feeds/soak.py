"""Whether a long training leaks: memory, descriptors, threads and shared memory over 50 epochs of a feed with workers.

python benchmarks/feeds/soak.py                 # 50 epochs over 1,000 short WAVs at 2 workers; writes results/soak.md
python benchmarks/feeds/soak.py --check         # the same, and fails if anything grows
python benchmarks/feeds/soak.py --epochs 10 --clips 100 --check --out /tmp/soak.md
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import threading
import time
import wave
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import torch

import audiofeed as af

RESULTS = Path(__file__).parents[1] / "results" / "soak.md"
# growth from the first line to the last that is no leak: an allocator's slack, and a descriptor of a moment
MEMORY_MB, DESCRIPTORS, THREADS, SHARED = 24.0, 4, 0, 0


@dataclass(frozen=True)
class Line:
    """What the process and its workers hold after an epoch."""

    epoch: int
    memory: float
    workers: float
    descriptors: int
    threads: int
    shared: int
    seconds: float


def write_clips(folder: Path, count: int) -> None:
    noise = np.random.default_rng(0)
    for index in range(count):
        path = folder / ("ab"[index % 2]) / f"{index:05}.wav"
        path.parent.mkdir(exist_ok=True)
        samples = noise.integers(-8000, 8000, 4000 + 37 * (index % 200), dtype=np.int16)
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", None))
            file.writeframes(samples.tobytes())


def resident(pid: int | None) -> float:
    """Return the megabytes of a process that are in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def line_of(epoch: int, start: float) -> Line:
    children = [child.pid for child in multiprocessing.active_children()]
    return Line(
        epoch,
        resident(os.getpid()),
        sum(map(resident, children)),
        len(os.listdir("/proc/self/fd")),
        threading.active_count(),
        len([name for name in os.listdir("/dev/shm") if name.startswith("torch_")]),
        time.perf_counter() - start,
    )


def soak(epochs: int, clips: int, workers: int, every: int) -> list[Line]:
    """Train a small model for so many epochs, and look at what the processes hold after every few."""
    lines = []
    with tempfile.TemporaryDirectory() as root:
        write_clips(Path(root), clips)
        folder = af.AudioFolder(root, crop=af.RandomCrop(0.2))
        transform = af.LogMelSpectrogram(sample_rate=16000, n_fft=400, hop_length=160, n_mels=40)
        model = torch.nn.Linear(40, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        start = time.perf_counter()
        with af.Feed(folder, transform, batch_size=16, workers=workers, device="cpu") as feed:
            for epoch in range(1, epochs + 1):
                for batch in feed:
                    loss = torch.nn.functional.cross_entropy(model(batch.features.mean(-1)), batch.targets)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                feed.state_dict(), feed.stats()
                if epoch % every == 0:
                    lines.append(line_of(epoch, start))
    return lines


def table(lines: list[Line], epochs: int, clips: int, workers: int) -> str:
    rows = [
        f"| {at.epoch} | {at.memory:.1f} | {at.workers:.1f} | {at.descriptors} | {at.threads} | {at.shared} | "
        f"{at.seconds:.1f} |"
        for at in lines
    ]
    return "\n".join(
        [
            f"{epochs} epochs over {clips} WAVs of 0.25 to 0.7 s, crops of 0.2 s, {workers} workers, log-mel on a CPU,",
            f"torch {torch.__version__}; `python benchmarks/feeds/soak.py`.",
            "",
            "| epoch | resident MB | workers MB | descriptors | threads | files in /dev/shm | seconds |",
            "|--:|--:|--:|--:|--:|--:|--:|",
            *rows,
            "",
        ]
    )


def growth(lines: list[Line]) -> list[str]:
    """Return what has grown from the first line to the last by more than a limit."""
    first, last = lines[0], lines[-1]
    limits = (MEMORY_MB, MEMORY_MB, DESCRIPTORS, THREADS, SHARED)
    names = ("resident MB", "workers MB", "descriptors", "threads", "files in /dev/shm")
    pairs = zip(names, astuple(first)[1:6], astuple(last)[1:6], limits, strict=True)
    return [f"{name}: {before} -> {after}" for name, before, after, limit in pairs if after - before > limit]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--every", type=int, default=5, help="epochs between two lines")
    parser.add_argument("--check", action="store_true", help="fail if anything grows")
    parser.add_argument("--out", type=Path, default=RESULTS)
    settings = parser.parse_args()
    torch.set_num_threads(1)
    lines = soak(settings.epochs, settings.clips, settings.workers, settings.every)
    text = table(lines, settings.epochs, settings.clips, settings.workers)
    print(text)
    settings.out.write_text(text)
    grown = growth(lines)
    if settings.check and grown:
        sys.exit("grows: " + "; ".join(grown))


if __name__ == "__main__":
    main()
