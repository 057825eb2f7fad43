"""The fused kernels on a card: drawn settings against float64, then their time beside torch's FFT and other packages.

    python benchmarks/kernels/fused.py --out benchmarks/results             values and times, under a minute
    python benchmarks/kernels/fused.py --launches --out benchmarks/results  other launches than the default, too

It writes fused_<card>.json and .md, with `--launches` fused_launches_<card>.json and .md. Ours is "auto", which must
take the fused kernel in CUDA; Triton's is timed beside it, and the other launches are of that one. Every case stands
alone: one that fails is named, and the others go on. What the compiler says without a card: `fused_cuda.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
for _folder in (ROOT, ROOT / "benchmarks"):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

from gpu.measured.timing import copy_rate  # noqa: E402
from gpu.results import slug  # noqa: E402

import audiofeed as af  # noqa: E402
from audiofeed.methods.short_time import fused_method  # noqa: E402
from audiofeed.methods.short_time.fused import cuda_launch  # noqa: E402
from audiofeed.methods.short_time.fused import launch as launching  # noqa: E402
from audiofeed.methods.short_time.fused.layout import split_for  # noqa: E402

Row = dict[str, Any]
KEYS = ("FRAMES", "num_warps", "BLOCK", "TAIL", "maxnreg")
FLOOR = 1e-10

# (name, seconds, clips, transform, settings)
SETTINGS: tuple[tuple[str, float, int, str, dict[str, Any]], ...] = (
    (
        "Whisper 400/160, 80 mels, 16 kHz", 30.0, 32, "LogMelSpectrogram",
        {"sample_rate": 16000, "n_fft": 400, "hop_length": 160, "n_mels": 80, "pad_mode": "reflect", "log": "log10"},
    ),
    (
        "Kaldi 512/400/160, 80 mels, 16 kHz", 30.0, 32, "LogMelSpectrogram",
        {
            "sample_rate": 16000, "n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 80, "window": "povey",
            "window_at": "left", "placement": "snip_edges", "remove_dc": True, "preemphasis": 0.97, "log": "ln",
        },
    ),
    (
        "1024/320, 64 mels, 32 kHz", 10.0, 64, "LogMelSpectrogram",
        {"sample_rate": 32000, "n_fft": 1024, "hop_length": 320, "n_mels": 64, "pad_mode": "reflect", "log": "ln"},
    ),
    ("powers 400/160, 16 kHz", 30.0, 32, "Spectrogram", {"n_fft": 400, "hop_length": 160, "pad_mode": "reflect"}),
)  # fmt: skip
# frames of a program, warps, filters at once, filters at last, most registers of a thread: see KEYS
LAUNCHES: dict[str, tuple[tuple[int, int, int, int, int | None], ...]] = {
    "Whisper": ((16, 4, 64, 16, None), (16, 8, 64, 16, None), (8, 4, 64, 16, 128), (8, 2, 16, 0, None)),
    "Kaldi": ((16, 4, 64, 16, None), (16, 8, 64, 16, None), (8, 4, 64, 16, 128), (8, 2, 16, 0, None)),
    "1024": ((8, 4, 64, 0, None), (8, 8, 64, 0, None), (16, 8, 64, 0, None)),
    "powers": ((16, 4, 16, 0, None), (16, 8, 16, 0, None), (8, 4, 16, 0, 128)),
}


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def guarded(name: str, call: Callable[[], object]) -> bool:
    """Call, and say by one line what was raised; False then, and where the call says so."""
    try:
        return call() is not False
    except Exception as error:  # noqa: BLE001  one case must not hide the others
        said = str(error).strip().splitlines() or [""]
        say(f"FAILED {name}: {type(error).__name__}: {said[0][:300]}")
        return False


@contextlib.contextmanager
def triton_alone() -> Iterator[None]:
    """Let Triton's kernel compute what the one in CUDA would."""
    held, cuda_launch.unreachable = cuda_launch.unreachable, lambda device: "Triton's kernel is timed"
    try:
        yield
    finally:
        cuda_launch.unreachable = held


def by_triton(call: Callable[[], Any]) -> Callable[[], Any]:
    """The call, by Triton's kernel."""

    def run() -> Any:
        with triton_alone():
            return call()

    return run


def check_values(draws: int, seed: int, processes: int, patience: float) -> bool:
    """Check drawn settings in processes side by side, since each compiles its own; whether all passed."""
    command = [sys.executable, "-m", "tests.methods.short_time.fused_draws", "--draws", str(draws), "--seed", str(seed)]
    command += ["--device", "cuda", "--every", str(processes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    began = time.perf_counter()
    running = [
        subprocess.Popen(
            [*command, "--first", str(i), "--kernel", kernel], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, cwd=ROOT, env=environment,
        )
        for i in range(processes)
        for kernel in ("cuda", "triton")
    ]  # fmt: skip
    # the programs that are timed are compiled meanwhile; this process then finds them on the disk
    own = [sys.executable, str(Path(__file__).resolve()), "--warm"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
    compiling = [subprocess.Popen([*own, str(i)], **quiet) for i in range(len(SETTINGS))]
    checked = failed = 0
    for process in running:
        try:
            text, _ = process.communicate(timeout=max(1.0, patience - (time.perf_counter() - began)))
        except subprocess.TimeoutExpired:
            process.kill()
            text, _ = process.communicate()
            say(f"FAILED values: a process did not end within {patience:.0f} s")
        for line in text.splitlines():
            if not line.startswith("{"):
                continue
            found = json.loads(line)
            if "draws" in found:
                checked, failed = checked + found["draws"], failed + found["failed"]
            else:
                say(f"FAILED draw {found['draw']}: {found['problem'][:300]} {json.dumps(found['case'])[:500]}")
    for compiler in compiling:
        try:
            compiler.wait(timeout=max(1.0, patience - (time.perf_counter() - began)))
        except subprocess.TimeoutExpired:
            compiler.kill()
            compiler.wait()
    say(f"{failed} of {checked} drawn settings differ from float64, after {time.perf_counter() - began:.0f} s")
    return failed == 0 and checked == 2 * draws


def warm(kind: str, options: dict[str, Any]) -> None:
    """Compile the programs of one setting, by small batches of each form."""
    module = getattr(af, kind)(**options).cuda()
    x = torch.zeros(2, 32000, device="cuda")
    with torch.no_grad():
        for given in ((x,), (x.to(torch.int16),), (x, torch.tensor([32000, 9000], device="cuda"))):
            by_triton(lambda given=given: module(*given))()


def milliseconds(call: Callable[[], object], seconds: float) -> tuple[float, float]:
    """Median and least time of a call by events around it, with the second-level cache written over before."""
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    flush = torch.empty(2**28, dtype=torch.int8, device="cuda")
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


def time_setting(
    rows: list[Row], name: str, length: float, clips: int, kind: str, options: dict[str, Any], asked: Any
) -> bool:
    """Time every way to one setting, and add the rows; whether all went well but peers that are not there."""
    n_samples = int(length * options.get("sample_rate", 16000))
    generator = torch.Generator(device="cuda").manual_seed(0)
    x = 1e-3 * torch.randn(clips, n_samples, device="cuda", generator=generator)
    x = torch.nn.functional.avg_pool1d(x[:, None], 5, 1, 2)[:, 0].contiguous()
    short = (x * 32768 * 30).round().to(torch.int16)
    lengths = torch.linspace(n_samples // 2, n_samples, clips, device="cuda").long()
    auto, exact, named = (getattr(af, kind)(method=method, **options).cuda() for method in ("auto", "fft", "fused"))
    with torch.no_grad():
        want = exact(x[:4].double())
        path = auto.runs_on(x)
        first = exact.wanted(x)
        auto(x[:1])  # which compares the kernel with torch's FFT
        form = fused_method._cuda_form(x, exact.framing, first)
    if path.method != "fused" or isinstance(form, str):
        say(f"FAILED {name}: auto takes {path}; the CUDA kernel: {form}")
        return False
    tens = 2.302585 if options.get("log") == "log10" else 1.0

    def row(way: str, call: Callable[[], torch.Tensor], *, judged: bool = False, launch: Any = None) -> None:
        with torch.no_grad():
            found, error = call(), None
            if judged:
                off = (found[:4].double() - want).abs()
                error = float(off.max()) * tens if "log" in options else float(off.max() / want.max())
            median, least = milliseconds(call, asked.seconds)
        moved = x.numel() * (2 if "int16" in way else 4) + found.numel() * found.element_size()
        one = {
            "setting": name, "batch": f"{clips} x {length:g} s", "way": way, "launch": launch, "median_ms": median,
            "min_ms": least, "hours_per_second": clips * length / 3600 / (median / 1e3), "error": error,
            "share_of_copy": moved / (median / 1e3) / asked.copy,
        }  # fmt: skip
        rows.append(one)
        off = "" if error is None else f", error {error:.1e} {'nats' if 'log' in options else 'of the largest'}"
        speed = f"{one['hours_per_second']:.0f} h/s, {one['share_of_copy']:.0%} of copying"
        say(f"{name}: {way}: {median:.3f} ms (min {least:.3f}), {speed}{off}")

    own = launching.launch_settings(split_for(options["n_fft"]), options.get("n_mels", 0))
    ways: dict[str, Callable[[], None]] = {
        "fused": lambda: row("fused", lambda: auto(x), judged=True),
        "fused, int16": lambda: row("fused, int16", lambda: auto(short)),
        "fused, lengths": lambda: row("fused, lengths", lambda: auto(x, lengths)),
        "fused by Triton": lambda: row("fused by Triton", by_triton(lambda: named(x)), judged=True, launch=own),
        "fft": lambda: row("fft", lambda: exact(x), judged=True),
        "fft, lengths": lambda: row("fft, lengths", lambda: exact(x, lengths)),
    }
    passed = True
    for way, time_it in ways.items():
        passed &= guarded(f"{name} {way}", time_it)
    for way, peer in PEERS.items() if "n_mels" in options else ():
        guarded(f"{name} {way}", lambda way=way, peer=peer: row(way, peer(options, x)))
    held = launching.launch_settings
    for launch in LAUNCHES[name.split()[0].split("/")[0]] if asked.launches else ():
        chosen = {key: value for key, value in zip(KEYS, launch, strict=True) if value is not None}
        launching.launch_settings = lambda split, n_filters, chosen=chosen: chosen
        way = f"fused, launch {launch}"
        guarded(
            way,
            lambda way=way, chosen=chosen: row(way, by_triton(lambda: named(x)), judged=True, launch=chosen),
        )
        launching.launch_settings = held
    return passed


def torchaudio_mel(options: dict[str, Any], x: torch.Tensor) -> Callable[[], torch.Tensor]:
    """torchaudio's mel spectrogram of the same sizes, and a logarithm."""
    mel = importlib.import_module("torchaudio").transforms.MelSpectrogram(
        options["sample_rate"], n_fft=options["n_fft"], win_length=options.get("win_length"),
        hop_length=options["hop_length"], n_mels=options["n_mels"],
    ).cuda()  # fmt: skip
    return lambda: torch.log(mel(x) + FLOOR)


def flashmel_mel(options: dict[str, Any], x: torch.Tensor) -> Callable[[], torch.Tensor]:
    """flashmel's mel spectrogram of the same sizes, and a logarithm."""
    mel = importlib.import_module("flashmel").MelSpectrogram(
        options["sample_rate"], n_fft=options["n_fft"], hop_length=options["hop_length"], n_mels=options["n_mels"],
        pad_mode="constant", norm="slaney", mel_scale="slaney",
    ).cuda()  # fmt: skip
    return lambda: mel(x).clamp(min=FLOOR).log()


PEERS = {"torchaudio MelSpectrogram + log": torchaudio_mel, "flashmel + log": flashmel_mel}


def markdown(result: dict[str, Any]) -> str:
    """The page of a result."""
    values = "equal float64" if result["values_passed"] else "DO NOT ALL equal float64"
    said = (
        f"The fused kernels on {result['card']} (torch {result['torch']}): median time of a batch, hours of audio in a "
        "second, largest error against float64 (nats of log-mel, else parts of the largest power). "
        f"{result['draws']} drawn settings by each kernel {values}. Of copying: the least bytes to read and write, "
        "over what a copy moves in that time. A launch is frames of a program, warps, filters at once and at "
        f"last, most registers of Triton's. By `{result['command']}`{result.get('note', '')}."
    )
    lines = ["| setting | way | launch | ms | h/s | of copying | error |", "|---|---|---|---:|---:|---:|---:|"]
    for row in result["rows"]:
        launch = "" if row["launch"] is None else ", ".join(str(row["launch"].get(key, "any")) for key in KEYS)
        error = "" if row["error"] is None else f"{row['error']:.1e}"
        way = row["way"].split(" (")[0].replace("fused, launch", "fused")
        cells = [row["setting"], way, launch, f"{row['median_ms']:.3f}", f"{row['hours_per_second']:.0f}"]
        cells += [f"{row['share_of_copy']:.0%}", error]
        lines.append("| " + " | ".join(cells) + " |")
    return said + "\n\n" + "\n".join(lines) + "\n"


def write(folder: Path, result: dict[str, Any], *, launches: bool) -> None:
    """Write the JSON file and the page of a result."""
    stem = f"fused_{'launches_' if launches else ''}{slug(result['card'])}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / f"{stem}.md").write_text(markdown(result))


def main() -> int:
    """Run what the command line asks for; return 1 if a value was wrong, or auto took another method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=16)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--processes", type=int, default=max(1, min(8, (os.cpu_count() or 2) // 2)))
    parser.add_argument("--patience", type=float, default=45.0, help="seconds for the drawn settings")
    parser.add_argument("--seconds", type=float, default=0.1, help="of each timing")
    parser.add_argument("--launches", action="store_true", help="time other launches, too")
    parser.add_argument("--out", type=Path, default=None, help="folder for the results")
    parser.add_argument("--warm", type=int, default=None, help="compile what this setting runs, by number, and end")
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("this needs a CUDA device")
    if asked.warm is not None:
        cuda_launch.PROVEN = [torch.cuda.get_device_capability()]
        warm(*SETTINGS[asked.warm][3:])
        return 0
    cuda_launch.PROVEN = [torch.cuda.get_device_capability()]  # what is tried here
    began = time.perf_counter()
    asked.copy = copy_rate(torch.device("cuda"))
    more = " --launches" if asked.launches else ""
    result: dict[str, Any] = {
        "card": torch.cuda.get_device_name(), "torch": torch.__version__, "draws": asked.draws,
        "command": f"python benchmarks/kernels/fused.py{more} --out benchmarks/results",
    }  # fmt: skip
    say(f"{result['card']}; torch {result['torch']}")
    result["values_passed"] = check_values(asked.draws, asked.seed, asked.processes, asked.patience)
    rows: list[Row] = []
    passed = result["values_passed"]
    for setting in SETTINGS:
        done = [False]
        went = guarded(
            setting[0], lambda setting=setting, done=done: done.__setitem__(0, time_setting(rows, *setting, asked))
        )
        passed = passed and went and done[0]
        if asked.out is not None:  # each, since the time on a card may end
            write(asked.out, {**result, "rows": rows}, launches=asked.launches)
    say(f"done after {time.perf_counter() - began:.0f} s")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
