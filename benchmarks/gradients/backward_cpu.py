"""Gradients of log-mel on a CPU, forward and backward: audiofeed's kernels, its way by torch's FFT, and torchaudio.

    python benchmarks/gradients/backward_cpu.py [--rounds 5] [--check]

Each is called in turn in one process, on 1 and on 2 threads. The error is the largest difference of a gradient from
that of the same features in float64 by torch's FFT, in parts of the largest gradient. Peak memory is what a process of
its own held at most, beyond what it had before, the samples and their gradient. The loss of `examples/vocoder.py`, and
its whole training step, stand for a user of both. `--check` exits 1 where a figure misses its promise: 3 times as fast
as torch's FFT, in a fifth of its memory.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import peers
from features_cpu import FLOOR, Setting, waveform

import audiofeed as af

SETTINGS = (
    Setting(16000, 400, 160, 80, 16, 10.0),
    Setting(22050, 1024, 256, 80, 16, 10.0),
    Setting(22050, 2048, 512, 128, 16, 10.0),
)
FASTER, SHARE = 3.0, 0.2
THREADS = (1, 2)
NAMES = ("audiofeed", "audiofeed, torch's FFT", "torchaudio")


def transform_of(name: str, setting: Setting) -> Callable[[torch.Tensor], torch.Tensor]:
    """The log-mel of a contender."""
    mel = {"n_fft": setting.n_fft, "hop_length": setting.hop_length, "n_mels": setting.n_mels}
    if name == "torchaudio":
        import torchaudio

        theirs = torchaudio.transforms.MelSpectrogram(
            setting.sample_rate, norm="slaney", mel_scale="slaney", pad_mode="constant", **mel
        )
        return lambda x: theirs(x).clamp(min=FLOOR).log()
    method = "auto" if name == "audiofeed" else "fft"
    return af.LogMelSpectrogram(sample_rate=setting.sample_rate, floor=FLOOR, method=method, **mel)


def weight_of(setting: Setting, features: torch.Tensor) -> torch.Tensor:
    """A gradient of the features, as a loss gives it."""
    return torch.randn(features.shape, generator=torch.Generator().manual_seed(1)) / features.numel()


def gradient(transform: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Forward and backward."""
    x = x.detach().requires_grad_()
    transform(x).backward(weight)
    assert x.grad is not None
    return x.grad


def measure(setting: Setting, rounds: int) -> dict:
    """Times on each number of threads, errors and ratios of one setting."""
    x = waveform(setting)
    made = {name: transform_of(name, setting) for name in NAMES}
    with torch.no_grad():
        weight = weight_of(setting, made["audiofeed"](x))
    exact = gradient(transform_of("audiofeed, torch's FFT", setting), x.double(), weight.double())
    size = exact.abs().amax()
    result: dict = {"setting": str(setting), "error": {}, "median_ms": {}, "ratio": {}}
    for name, transform in made.items():
        result["error"][name] = float((gradient(transform, x, weight) - exact).abs().amax() / size)
    for threads in THREADS:
        torch.set_num_threads(threads)
        calls = {name: (lambda transform=transform: gradient(transform, x, weight)) for name, transform in made.items()}
        seconds = peers.in_turn(calls, rounds=rounds, warm_up=0.1)
        result["median_ms"][threads] = {name: 1e3 * sorted(s)[len(s) // 2] for name, s in seconds.items()}
        result["ratio"][threads] = {name: peers.ratio(seconds, name, "audiofeed") for name in NAMES[1:]}
    return result


# ---------------------------------------------------------------- the vocoder


def vocoder() -> tuple[dict[str, Callable[[], object]], dict[str, Callable[[], object]]]:
    """The loss of `examples/vocoder.py` with its gradient, and its training step, by a kernel and by torch's FFT."""
    path = Path(__file__).resolve().parents[2] / "examples" / "vocoder.py"
    spec = importlib.util.spec_from_file_location("vocoder", path)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    mel = {"sample_rate": example.RATE, "n_fft": 1024, "hop_length": example.HOP, "placement": "vocoder"}
    mel |= {"pad_mode": "reflect", "power": 1.0, "root_offset": 1e-9, "n_mels": example.N_MELS, "floor": 1e-5}
    target = 0.1 * torch.randn(16, example.CROP, generator=torch.Generator().manual_seed(0))
    losses: dict[str, Callable[[], object]] = {}
    steps: dict[str, Callable[[], object]] = {}
    for name, method in zip(NAMES, ("auto", "fft"), strict=False):
        torch.manual_seed(0)
        generator = example.Generator()
        optimizer = torch.optim.AdamW(generator.parameters(), lr=2e-3, betas=(0.8, 0.99))
        heard = af.LogMelSpectrogram(**mel, method=method)
        features = af.LogMelSpectrogram(f_max=8000.0, **mel)(target)
        made = generator(features).detach()

        def loss(heard: af.LogMelSpectrogram = heard, made: torch.Tensor = made) -> None:
            wave = made.detach().requires_grad_()
            (heard(wave) - heard(target)).abs().mean().backward()

        def step(
            heard: af.LogMelSpectrogram = heard,
            features: torch.Tensor = features,
            generator: torch.nn.Module = generator,
            optimizer: torch.optim.Optimizer = optimizer,
        ) -> None:
            found = (heard(generator(features)) - heard(target)).abs().mean()
            optimizer.zero_grad()
            found.backward()
            optimizer.step()

        losses[name], steps[name] = loss, step
    return losses, steps


def measure_vocoder(rounds: int) -> list[dict]:
    """Times and ratios of the loss and of the step, on each number of threads."""
    found = []
    for what, calls in zip(("loss and its gradient", "training step"), vocoder(), strict=True):
        result: dict = {"setting": f"examples/vocoder.py, {what}, 16 x 0.37 s", "median_ms": {}, "ratio": {}}
        for threads in THREADS:
            torch.set_num_threads(threads)
            seconds = peers.in_turn(calls, rounds=rounds, warm_up=0.1)
            result["median_ms"][threads] = {name: 1e3 * sorted(s)[len(s) // 2] for name, s in seconds.items()}
            result["ratio"][threads] = {NAMES[1]: peers.ratio(seconds, NAMES[1], NAMES[0])}
        found.append(result)
    return found


# ---------------------------------------------------------------- memory


def resident(field: str) -> int:
    """Bytes of this process in memory, now ("VmRSS") or at most ("VmHWM")."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def peak_memory(name: str, setting: Setting) -> int:
    """Bytes beyond the samples and their gradient that this process holds at most, forward and backward."""
    transform = transform_of(name, setting)
    x = waveform(setting)
    short = x[:1, : 4 * setting.n_fft].clone()
    gradient(transform, short, weight_of(setting, transform(short)))
    frames = 1 + x.shape[1] // setting.hop_length
    weight = weight_of(setting, torch.empty(x.shape[0], setting.n_mels, frames))
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
    gradient(transform, x, weight)
    return resident("VmHWM") - before - x.numel() * 4


def memory_of(name: str, index: int) -> float:
    """Peak memory of a contender in a process of its own, in MB."""
    command = [sys.executable, __file__, "--memory", name, str(index)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout) / 1e6


def main() -> int:
    """Measure, write the table, and with --check hold it against the promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--check", action="store_true", help="exit 1 where a figure misses its promise")
    parser.add_argument("--memory", nargs=2, help="print the peak memory of a contender in a setting's number")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.memory:
        torch.set_num_threads(THREADS[-1])
        print(peak_memory(arguments.memory[0], SETTINGS[int(arguments.memory[1])]))
        return 0
    measured = [measure(setting, arguments.rounds) for setting in SETTINGS]
    users = measure_vocoder(arguments.rounds)
    rows, low = [], []
    for index, result in enumerate(measured):
        result["peak_mb"] = {name: memory_of(name, index) for name in NAMES}
        for threads in THREADS:
            cells = [result["setting"], str(threads)]
            for name in NAMES:
                ratio = result["ratio"][threads].get(name)
                times = "1" if ratio is None else f"x{ratio:.1f}"
                cells.append(
                    f"{result['median_ms'][threads][name]:.1f} ms, {times}, {result['error'][name]:.1e}, "
                    f"{result['peak_mb'][name]:.0f} MB"
                )
            rows.append(cells)
            if result["ratio"][threads][NAMES[1]] < FASTER:
                low.append(f"{result['setting']}, {threads} threads: x{result['ratio'][threads][NAMES[1]]:.2f}")
        if result["peak_mb"][NAMES[0]] > SHARE * result["peak_mb"][NAMES[1]]:
            low.append(f"{result['setting']}: {result['peak_mb']}")
    for result in users:
        for threads in THREADS:
            cells = [result["setting"], str(threads)]
            for name in NAMES[:2]:
                ratio = result["ratio"][threads].get(name)
                times = "1" if ratio is None else f"x{ratio:.1f}"
                cells.append(f"{result['median_ms'][threads][name]:.1f} ms, {times}")
            rows.append([*cells, ""])
    about = peers.versions("torch", "torchaudio", "llvmlite", "numpy")
    text = (
        "Log-mel and its gradient on a CPU, forward and backward: median time; how many times audiofeed's it is "
        "(median of the ratios within a round); largest error of the gradient against float64, in parts of the largest "
        'gradient; peak memory beyond the samples and their gradient, on 2 threads. "torch\'s FFT" is audiofeed with '
        'method="fft", which keeps each frame\'s spectrum.\n\n'
        + peers.markdown(["", "threads", *NAMES], rows)
        + f"\n{peers.machine()}; {', '.join(f'{k} {v}' for k, v in about.items())}; {arguments.rounds} rounds. "
        "Made by `python benchmarks/gradients/backward_cpu.py`.\n"
    )
    peers.write("backward_cpu.md", text)
    peers.RESULTS.joinpath("backward_cpu.json").write_text(
        json.dumps({"machine": peers.machine(), "versions": about, "results": [*measured, *users]}, indent=1) + "\n"
    )
    if not arguments.check:
        return 0
    sys.stderr.write("".join(f"misses its promise: {line}\n" for line in low))
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
