"""The fused kernel on a card: its values against float64, and its time beside the bandwidth of a copy.

    python benchmarks/kernels/fused.py                  all of it, under two minutes
    python benchmarks/kernels/fused.py --draws 8 --seconds 1     less of it
    python benchmarks/kernels/fused.py --dry            the same code in Triton's interpreter, tiny batches, no result

Every case stands alone: one that fails is named, and the others go on. Programs are compiled by several processes at
once, which also check the values; what is timed runs alone.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

# (name, seconds, clips, settings of LogMelSpectrogram)
SETTINGS: tuple[tuple[str, float, int, dict[str, Any]], ...] = (
    (
        "Whisper 400/160, 80 mels, 16 kHz",
        30.0,
        32,
        {"sample_rate": 16000, "n_fft": 400, "hop_length": 160, "n_mels": 80, "pad_mode": "reflect", "log": "log10"},
    ),
    (
        "Kaldi 512/400/160, 80 mels, 16 kHz",
        30.0,
        32,
        {
            "sample_rate": 16000, "n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 80, "window": "povey",
            "window_at": "left", "placement": "snip_edges", "remove_dc": True, "preemphasis": 0.97, "log": "ln",
        },
    ),
    (
        "1024/320, 64 mels, 32 kHz",
        10.0,
        64,
        {"sample_rate": 32000, "n_fft": 1024, "hop_length": 320, "n_mels": 64, "pad_mode": "reflect", "log": "ln"},
    ),
)  # fmt: skip
# frames of a program, warps, filters at once, filters at last, most registers of a thread
LAUNCHES: tuple[tuple[int, int, int, int, int | None], ...] = (
    (16, 4, 64, 16, None),
    (16, 8, 64, 16, None),
    (16, 4, 128, 128, None),
    (16, 8, 128, 128, None),
    (16, 8, 128, 128, 128),
    (16, 8, 64, 16, 128),
    (32, 8, 128, 128, None),
    (32, 16, 128, 128, None),
    (8, 4, 64, 16, None),
    (8, 4, 64, 16, 128),
    (8, 2, 16, 0, None),
)
LONGEST_LAUNCHES = (
    (8, 4, 64, 0, None),
    (8, 8, 64, 0, None),
    (8, 8, 64, 0, 128),
    (16, 8, 64, 0, None),
    (8, 8, 16, 0, 128),
)


def launches_of(name: str) -> tuple[tuple[int, int, int, int, int | None], ...]:
    """The launch settings that are tried for a setting."""
    return LONGEST_LAUNCHES if name.startswith("1024") else LAUNCHES


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def guarded(name: str, call: Callable[[], object]) -> object:
    """Call, and say by one line what was raised."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001  one case must not hide the others
        said = str(error).strip().splitlines() or [""]
        say(f"FAILED {name}: {type(error).__name__}: {said[0][:300]}")
        if not isinstance(error, (ValueError, TypeError)):
            say("    " + traceback.format_exc().strip().splitlines()[-3].strip()[:200])
        return None


def launched_with(launch: tuple[int, int, int, int, int | None]) -> None:
    """Let the operator launch with other settings than its own."""
    from audiofeed.methods.short_time.fused import launch as module

    frames, warps, block, tail, registers = launch
    found: dict[str, Any] = {"FRAMES": frames, "BLOCK": block, "TAIL": tail, "num_warps": warps}
    if registers is not None:
        found["maxnreg"] = registers
    module.launch_settings = lambda split, n_filters: found  # type: ignore[assignment]


def warm(asked: argparse.Namespace) -> None:
    """Compile and run once what falls to this process: the launches of all settings, dealt out."""
    import torch

    import audiofeed as af

    jobs = [(name, options, launch) for name, _, _, options in SETTINGS for launch in (None, *launches_of(name))]
    for number, (name, options, launch) in enumerate(jobs):
        if number % asked.parts != asked.part:
            continue

        def once(options: Any = options, launch: Any = launch) -> None:
            if launch is not None:
                launched_with(launch)
            module = af.LogMelSpectrogram(method="fused", **options).to(asked.device)
            with torch.no_grad():
                # as long as what is timed, since Triton compiles anew for sizes that 16 divides
                module(torch.zeros(2, 32000, device=asked.device))
                if launch is None:
                    module(torch.zeros(2, 32000, device=asked.device, dtype=torch.int16))
                    module(torch.zeros(2, 32000, device=asked.device), torch.tensor([32000, 9000], device=asked.device))

        guarded(f"compiling {name} {launch}", once)
        if launch is not None:
            _reset()


def _reset() -> None:
    from audiofeed.methods.short_time.fused import launch as module

    module.launch_settings = OWN_SETTINGS  # type: ignore[assignment]


OWN_SETTINGS: Any = None


def check_in_processes(asked: argparse.Namespace) -> bool:
    """Check drawn settings and compile what is timed, in processes side by side; whether all passed."""
    n = asked.processes
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    draws = [sys.executable, "-m", "tests.methods.short_time.fused_draws", "--draws", str(asked.draws), "--seed", "3"]
    jobs = [("values", [*draws, "--device", asked.device, "--every", str(n), "--first", str(i)]) for i in range(n)]
    if not asked.dry:
        own = [sys.executable, str(Path(__file__).resolve()), "--device", asked.device, "--parts", str(n)]
        jobs += [("compile", [*own, "--part", str(i)]) for i in range(n)]
    began = time.perf_counter()
    running = []
    for kind, command in jobs:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, env=environment
        )
        running.append((kind, process))
    checked = failed = 0
    for kind, process in running:
        try:
            text, _ = process.communicate(timeout=max(5.0, asked.patience - (time.perf_counter() - began)))
        except subprocess.TimeoutExpired:
            process.kill()
            text, _ = process.communicate()
            say(f"FAILED {kind}: a process did not end within {asked.patience:.0f} s")
        for line in text.splitlines():
            if not line.startswith("{"):
                if kind == "compile" or "Error" in line:
                    say(f"    {kind}: {line[:400]}")
                continue
            found = json.loads(line)
            if "draws" in found:
                checked, failed = checked + found["draws"], failed + found["failed"]
            else:
                say(f"FAILED draw {found['draw']}: {found['problem'][:300]} {json.dumps(found['case'])[:500]}")
    say(f"{failed} of {checked} drawn settings differ from float64, after {time.perf_counter() - began:.0f} s")
    return failed == 0 and checked == asked.draws


def milliseconds(call: Callable[[], object], device: Any, seconds: float) -> tuple[float, float]:
    """Median and least time of a call: events around it on a card, with the second-level cache written over before."""
    import torch

    for _ in range(3):
        call()
    if device.type != "cuda":
        began = time.perf_counter()
        call()
        return (1e3 * (time.perf_counter() - began),) * 2
    torch.cuda.synchronize()
    flush = torch.empty(2**28, dtype=torch.int8, device=device)
    events = []
    began = time.perf_counter()
    while len(events) < 10 or (time.perf_counter() - began < seconds and len(events) < 100):
        flush.zero_()
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        call()
        end.record()
        events.append((start, end))
        if len(events) % 10 == 0:
            torch.cuda.synchronize()
    torch.cuda.synchronize()
    times = [start.elapsed_time(end) for start, end in events]
    return statistics.median(times), min(times)


def time_settings(asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Time every way to every setting, with its largest error on quiet noise; print and return the rows."""
    import torch

    device = torch.device(asked.device)
    rows: list[dict[str, Any]] = []
    copied = guarded("copy", lambda: copy_bandwidth(device, asked.seconds))
    bandwidth = copied if isinstance(copied, float) else None
    if bandwidth is not None:
        say(f"copy on the device: {bandwidth / 1e9:.0f} GB/s, read and written")
    for setting in SETTINGS:
        guarded(setting[0], lambda setting=setting: time_setting(asked, bandwidth, rows, *setting))
    return rows


def time_setting(
    asked: argparse.Namespace,
    bandwidth: float | None,
    rows: list[dict[str, Any]],
    name: str,
    seconds: float,
    clips: int,
    options: dict[str, Any],
) -> None:
    """Time every way to one setting, and add the rows."""
    import torch

    import audiofeed as af

    device = torch.device(asked.device)
    if asked.dry:
        seconds, clips = 0.2, 2
    time_samples = int(seconds * options["sample_rate"])
    generator = torch.Generator(device=device).manual_seed(0)
    x = 1e-3 * torch.randn(clips, time_samples, device=device, generator=generator)
    x = torch.nn.functional.avg_pool1d(x[:, None], 5, 1, 2)[:, 0].contiguous()
    short = (x * 32768 * 30).round().to(torch.int16)
    lengths = torch.linspace(time_samples // 2, time_samples, clips, device=device).long()
    exact = af.LogMelSpectrogram(method="fft", **options).to(device)
    fused = af.LogMelSpectrogram(method="fused", **options).to(device)
    with torch.no_grad():
        want = exact(x[:4].double())
    tens = 2.302585 if options["log"] == "log10" else 1.0

    def row(way: str, call: Callable[[], torch.Tensor], element: int, *, judged: bool = True) -> None:
        with torch.no_grad():
            found = call()
            error = None if not judged else float((found[:4].double() - want).abs().max()) * tens
            median, least = milliseconds(call, device, asked.seconds)
        moved = x.numel() * element + found.numel() * 4
        one: dict[str, Any] = {
            "setting": name, "batch": f"{clips} x {seconds:g} s", "way": way, "median_ms": median, "min_ms": least,
            "hours_per_second": clips * seconds / 3600 / (median / 1e3), "error_nats": error,
            "share_of_copy": None if bandwidth is None else moved / (median / 1e3) / bandwidth,
        }  # fmt: skip
        rows.append(one)
        share = "" if one["share_of_copy"] is None else f", {100 * one['share_of_copy']:.0f} % of a copy"
        off = "" if error is None else f", error {error:.1e} nats"
        say(f"{name}: {way}: {median:.3f} ms (min {least:.3f}), {one['hours_per_second']:.0f} h/s{share}{off}")

    guarded(f"{name} fused", lambda: row("fused", lambda: fused(x), 4))
    guarded(f"{name} int16", lambda: row("fused, int16", lambda: fused(short), 2, judged=False))
    guarded(f"{name} lengths", lambda: row("fused, lengths", lambda: fused(x, lengths), 4, judged=False))
    guarded(f"{name} fft", lambda: row("fft", lambda: exact(x), 4))
    guarded(f"{name} fft", lambda: row("fft, lengths", lambda: exact(x, lengths), 4, judged=False))
    guarded(
        f"{name} torchaudio", lambda: row("torchaudio MelSpectrogram + log", peer(options, device, x), 4, judged=False)
    )
    guarded(f"{name} graph", lambda: row("fused, CUDA graph", replayed(fused, x), 4))
    for launch in launches_of(name):

        def one(launch: Any = launch) -> None:
            launched_with(launch)
            row(f"fused, frames/warps/filters/last/registers {launch}", lambda: fused(x), 4)

        guarded(f"{name} {launch}", one)
        _reset()


def replayed(module: Any, x: Any) -> Callable[[], Any]:
    """A call that replays a CUDA graph of a module."""
    import torch

    with torch.no_grad():
        module(x)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            found = module(x)

    def call() -> Any:
        graph.replay()
        return found

    return call


def peer(options: dict[str, Any], device: Any, x: Any) -> Callable[[], Any]:
    """torchaudio's mel spectrogram of the same sizes, and a logarithm."""
    import torch
    import torchaudio

    mel = torchaudio.transforms.MelSpectrogram(
        options["sample_rate"], n_fft=options["n_fft"], win_length=options.get("win_length"),
        hop_length=options["hop_length"], n_mels=options["n_mels"],
    ).to(device)  # fmt: skip
    return lambda: torch.log(mel(x) + 1e-10)


def copy_bandwidth(device: Any, seconds: float) -> float:
    """Bytes read and written a second by a copy on the device."""
    import torch

    a = torch.empty(2**28 if device.type == "cuda" else 2**20, dtype=torch.float32, device=device)
    b = torch.empty_like(a)
    median, _ = milliseconds(lambda: b.copy_(a), device, seconds)
    return 2 * a.numel() * 4 / (median / 1e3)


def main() -> int:
    """Run what the command line asks for; return 1 if a value was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry", action="store_true", help="in Triton's interpreter, on tiny batches")
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--processes", type=int, default=max(1, min(8, (os.cpu_count() or 2) // 2)))
    parser.add_argument("--seconds", type=float, default=0.1, help="of each timing")
    parser.add_argument("--patience", type=float, default=90.0, help="seconds for the checks and compilers")
    parser.add_argument("--device", default=None)
    parser.add_argument("--part", type=int, default=None, help="compile this part of what is timed, and end")
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None, help="JSON file of the rows")
    asked = parser.parse_args()
    if asked.dry:
        os.environ["TRITON_INTERPRET"] = "1"
    asked.device = asked.device or ("cpu" if asked.dry else "cuda")
    global OWN_SETTINGS
    from audiofeed.methods.short_time.fused import launch as module

    OWN_SETTINGS = module.launch_settings
    if asked.part is not None:
        warm(asked)
        return 0
    import torch

    began = time.perf_counter()
    name = "DRY RUN: no result" if asked.dry else torch.cuda.get_device_name()
    say(f"{name}; torch {torch.__version__}")
    passed = guarded("values", lambda: check_in_processes(asked))
    rows = guarded("timing", lambda: time_settings(asked))
    if asked.out is not None and isinstance(rows, list):
        asked.out.write_text(json.dumps({"card": name, "values_passed": bool(passed), "rows": rows}, indent=1) + "\n")
    say(f"done after {time.perf_counter() - began:.0f} s")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
