"""The constant-Q kernels on a card: their error, and their time beside torch's products, which they replace.

    python benchmarks/kernels/octaves.py           some 20 s on a CUDA card

Times are of the device, of calls that a CUDA graph repeats, and of a call from Python, which waits for nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import audiofeed as af  # noqa: E402
from audiofeed.methods.short_time.fused import cuda_launch  # noqa: E402

BATCHES = ((16, 10), (64, 30), (1, 10))  # clips, and seconds of each
SETTINGS = {
    "84 bins": {"sample_rate": 22050},
    "84 bins, complex": {"sample_rate": 22050, "power": None},
    "252 bins": {"sample_rate": 22050, "n_bins": 252, "bins_per_octave": 36},
}


def on_device(run: Callable[[], torch.Tensor], repeats: int = 20) -> float:
    """Microseconds of the device for a call, as a CUDA graph repeats it."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    graph.replay()
    best = float("inf")
    for _ in range(5):
        begin.record()
        for _ in range(repeats):
            graph.replay()
        end.record()
        end.synchronize()
        best = min(best, begin.elapsed_time(end) / repeats)
    return 1000.0 * best


def on_host(run: Callable[[], torch.Tensor], repeats: int = 20) -> float:
    """Microseconds that a call keeps Python, with the device's queue empty at first."""
    best = float("inf")
    for _ in range(10):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(repeats):
            run()
        best = min(best, (time.perf_counter() - begin) / repeats)
    return 1e6 * best


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    if not torch.cuda.is_available():
        print("No CUDA device here: nothing measured.")
        return 0
    warnings.simplefilter("error", RuntimeWarning)  # of a self-check that fails
    print(torch.cuda.get_device_name())
    for name, settings in SETTINGS.items():
        for clips, seconds in BATCHES:
            x = torch.randn(clips, 22050 * seconds, device="cuda") / 8
            line = [f"{name}, {clips} x {seconds} s"]
            some = x[:1].cpu()
            with torch.no_grad():
                want = af.CQT(**settings).double()(some.double())
                for proven in ((), [torch.cuda.get_device_capability()]):
                    cuda_launch.PROVEN = proven
                    module = af.CQT(**settings).cuda()
                    found = module(x)[:1].cpu()
                    error = float((found - want).abs().square().sum().sqrt() / want.abs().square().sum().sqrt())
                    said = "kernels" if proven else "torch"
                    device, host = on_device(lambda: module(x)), on_host(lambda: module(x))  # noqa: B023
                    line.append(f"{said}: device {device:.0f} us, host {host:.0f} us, error {error:.1e}")
            print("; ".join(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
