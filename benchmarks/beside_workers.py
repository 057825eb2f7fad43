"""Every transform on a CPU beside processes that want its cores, as a DataLoader's workers do, and on a quiet machine.

    python benchmarks/beside_workers.py [--busy 2] [--seconds 2] [--only CQT,RMS] [--check]

Each transform computes eight clips, forward, and forward and backward where it has a gradient, with one of torch's
threads and with as many as there are cores: first alone, then beside busy processes. `--check` exits 1 where all
threads take more than twice the time of one beside the same processes.
"""

from __future__ import annotations

import argparse
import inspect
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import peers
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import audiofeed as af

CLIPS, SECONDS, RATE = 8, 5.0, 16_000
MOST = 2.0
# arguments that classes are made with where they have them; 84 bins of a CQT lie above half of this rate
GIVEN = {"sample_rate": RATE, "n_bins": 72, "intervals": "ji5"}


def settings_of(cls: type) -> dict[str, object]:
    """The arguments that a class is made with."""
    parameters = inspect.signature(cls).parameters
    octaves = "bins_per_octave" in parameters
    return {name: value for name, value in GIVEN.items() if name in parameters and (name != "n_bins" or octaves)}


def contests(only: set[str]) -> dict[str, tuple[torch.nn.Module, torch.Tensor]]:
    """name -> (a transform, eight clips of what it takes)."""
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((CLIPS, int(SECONDS * RATE))) * 0.1).float()
    power = af.Spectrogram(1024)(noise)
    made: dict[str, tuple[torch.nn.Module, torch.Tensor]] = {
        "AmplitudeToDB": (af.AmplitudeToDB(), power),
        "PCEN": (af.PCEN(sample_rate=RATE, hop_length=256), power),
        "CMVN": (af.CMVN(), power),
        "CMVN, window 300": (af.CMVN(window=300), power),
        "Deltas": (af.Deltas(), power),
        "Normalize": (af.Normalize(-4.0, 2.0), power),
        "NormalizeClips": (af.NormalizeClips(), power),
        "PadFrames": (af.PadFrames(multiple=64), power),
        "LogCompression": (af.LogCompression(), power),
        "Rescale": (af.Rescale(add=4.0, divide=4.0), power),
        "GriffinLim": (af.GriffinLim(1024, n_iter=4), power.sqrt()),
        "InverseSTFT": (af.InverseSTFT(1024), af.STFT(1024)(noise)),
        "TimeStretch": (af.TimeStretch(rate=1.2), af.STFT(1024)(noise)),
        "InverseMel": (
            af.InverseMel(sample_rate=RATE, n_fft=1024),
            af.MelSpectrogram(sample_rate=RATE, n_fft=1024)(noise),
        ),
        "InverseMFCC": (af.InverseMFCC(n_mels=128), af.MFCC(sample_rate=RATE)(noise)),
        "InverseCQT": (
            af.InverseCQT(sample_rate=RATE, n_bins=72),
            af.CQT(sample_rate=RATE, n_bins=72, power=None)(noise),
        ),
        "Stack": (af.Stack(mel=af.MelSpectrogram(sample_rate=RATE), mfcc=af.MFCC(sample_rate=RATE)), noise),
    }
    invertible = af.InvertibleCQT(sample_rate=RATE)
    made["InvertibleCQTInverse"] = (af.InvertibleCQTInverse(sample_rate=RATE), invertible(noise))
    for name in af.transforms.__all__:
        cls = getattr(af, name)
        if name in made or name in ("Transform", "FeatureTransform", "ShortTime", "Chain", "Stack"):
            continue
        if issubclass(cls, af.FeatureTransform):
            raise SystemExit(f"{name} takes features: give it a place in contests()")
        made[name] = (cls(**settings_of(cls)), noise)
    return {name: made[name] for name in sorted(made) if not only or name in only}


def once(transform: torch.nn.Module, clips: torch.Tensor, *, graph: bool) -> Callable[[], None]:
    """A call of the transform, with its way back if there is a graph."""
    x = clips.clone().requires_grad_(graph)
    ones: list[torch.Tensor] = []

    def call() -> None:
        with torch.set_grad_enabled(graph):
            result = transform(x)
            if graph:
                found = [r for r in (result.values() if isinstance(result, dict) else [result]) if r.requires_grad]
                ones.extend(torch.ones_like(r) for r in found[len(ones) :])
                torch.autograd.grad(found, x, ones)

    return call


def has_gradient(transform: torch.nn.Module, clips: torch.Tensor) -> bool:
    """Whether the result depends on the clips by a gradient."""
    result = transform(clips[:1].clone().requires_grad_())
    return any(r.requires_grad for r in (result.values() if isinstance(result, dict) else [result]))


def seconds_of(call: Callable[[], None], budget: float) -> float:
    """The mean of a call's seconds, of as many calls as fit, three at least: one that waits long counts."""
    call()
    taken, begun = [], time.perf_counter()
    while len(taken) < 3 or (time.perf_counter() - begun < budget and len(taken) < 5000):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.fmean(taken)


@contextmanager
def busy_processes(number: int):
    """Processes that want a core each."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    time.sleep(0.5)
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def main() -> int:
    """Measure, write the table, and with --check hold it against the promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--busy", type=int, default=2, help="busy processes")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each cell of the table")
    parser.add_argument("--only", default="", help="transforms, separated by commas; writes no file")
    parser.add_argument("--check", action="store_true", help=f"exit 1 where a ratio is above {MOST}")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    cores = torch.get_num_threads()
    only = set(filter(None, arguments.only.split(",")))
    jobs = [
        (name, graph, once(transform, clips, graph=graph))
        for name, (transform, clips) in contests(only).items()
        for graph in ([False, True] if has_gradient(transform, clips) else [False])
    ]
    found: dict[tuple[str, bool, str, int], float] = {}
    for place in ("quiet", "busy"):
        with busy_processes(0 if place == "quiet" else arguments.busy):
            for name, graph, call in jobs:
                for threads in (1, cores):
                    torch.set_num_threads(threads)
                    found[name, graph, place, threads] = seconds_of(call, arguments.seconds)
    rows, worst = [], []
    for name, graph, _ in jobs:
        cell = [found[name, graph, place, threads] for place in ("quiet", "busy") for threads in (1, cores)]
        ratio = cell[3] / cell[2]
        rows.append([f"{name}{', and backward' if graph else ''}", *(f"{s * 1e3:.1f}" for s in cell), f"{ratio:.2f}"])
        if ratio > MOST:
            worst.append(f"{rows[-1][0]}: {ratio:.2f} times one thread beside the same processes")
    header = [
        "",
        "quiet, 1 thread",
        f"quiet, {cores}",
        f"beside {arguments.busy}, 1 thread",
        f"beside {arguments.busy}, {cores}",
        "ratio",
    ]
    text = (
        f"{CLIPS} clips of {SECONDS:g} s at {RATE} Hz, mean milliseconds of a call, on a quiet machine and beside "
        f"{arguments.busy} busy processes, with one of torch's threads and with {cores}; the ratio is the last column "
        "of times to the one before.\n\n"
        + peers.markdown(header, rows)
        + f"\n{peers.machine()}; torch {torch.__version__}. Made by `python benchmarks/beside_workers.py`.\n"
    )
    if only:
        sys.stdout.write(text)
    else:
        peers.write("beside_workers.md", text)
    sys.stderr.write("".join(f"above its promise: {line}\n" for line in worst))
    return int(arguments.check and bool(worst))


if __name__ == "__main__":
    sys.exit(main())
