"""The CUDA kernel on paper: what the compiler makes of it for cards that are not here, and what that allows.

    python benchmarks/kernels/fused_cuda.py --out benchmarks/results           the table, some 20 s
    python benchmarks/kernels/fused_cuda.py --draws 300 --out benchmarks/results  and drawn settings against float64

It writes fused_cuda.json and .md. Instructions are read from the listing of a block inside a clip, with its loops as
often as they run; kinds are those that share a part of a multiprocessor. No card is needed, and none was: the hours of
audio are bounds, and what is left of them where as large a share is reached as the Triton kernel reaches of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
for _folder in (ROOT, ROOT / "benchmarks"):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

import audiofeed as af  # noqa: E402
from audiofeed.methods.filterbank import FilterBank  # noqa: E402
from audiofeed.methods.short_time import fused_method  # noqa: E402
from audiofeed.methods.short_time.fused import cuda_filters, cuda_launch, nvrtc  # noqa: E402
from audiofeed.methods.short_time.fused.cuda_text import Form  # noqa: E402

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
KALDI = {
    "window": "povey", "window_at": "left", "placement": "snip_edges", "remove_dc": True, "preemphasis": 0.97,
}  # fmt: skip
# the transform, its settings, and its name in the table of `fused.py`, where flashmel was timed
SETTINGS: dict[str, tuple[str, dict[str, Any], str]] = {
    "Whisper 400/160, 80 mels": (
        "LogMelSpectrogram",
        {"sample_rate": 16000, "n_fft": 400, "hop_length": 160, "n_mels": 80, "pad_mode": "reflect", "log": "log10"},
        "Whisper 400/160, 80 mels, 16 kHz",
    ),
    "Kaldi 512/400/160, 80 mels": (
        "LogMelSpectrogram",
        {"sample_rate": 16000, "n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 80, **KALDI},
        "Kaldi 512/400/160, 80 mels, 16 kHz",
    ),
    "1024/320, 64 mels": (
        "LogMelSpectrogram",
        {"sample_rate": 32000, "n_fft": 1024, "hop_length": 320, "n_mels": 64, "pad_mode": "reflect"},
        "1024/320, 64 mels, 32 kHz",
    ),
    "2048/512, 128 mels": (
        "LogMelSpectrogram", {"sample_rate": 22050, "n_fft": 2048, "hop_length": 512, "n_mels": 128}, "",
    ),
    "4096/1024, 128 mels": (
        "LogMelSpectrogram", {"sample_rate": 44100, "n_fft": 4096, "hop_length": 1024, "n_mels": 128}, "",
    ),
    "powers 400/160": (
        "Spectrogram", {"n_fft": 400, "hop_length": 160, "pad_mode": "reflect"}, "powers 400/160, 16 kHz",
    ),
}  # fmt: skip
# an H200, which is an H100 with faster memory: multiprocessors, their clock, and of each in a cycle: instructions of a
# warp, and lines of 128 bytes that shared memory and the first cache give
MULTIPROCESSORS, CLOCK, ISSUED, LINES = 132, 1.98e9, 4.0, 1.0
MEMORY = 4.8e12
# of a multiprocessor: registers, warps, and KB of shared memory, of which each block takes one more than it asks for
REGISTERS, MOST_WARPS, SHARED = 2**16, 64, {"sm_80": 164, "sm_90": 228, "sm_100": 228}
# of the Triton kernel: 1,000 instructions for a frame of 400, and what it reaches; see `fused/layout.py`
TRITON = {"instructions": 1000.0, "setting": "Whisper 400/160, 80 mels, 16 kHz"}
MEMORY_KINDS = ("LDG", "LDS", "STS", "STG")
ARITHMETIC = ("FADD", "FMUL", "FFMA", "MUFU", "FSETP", "FSEL", "FMNMX")
Line = tuple[int, str, str]  # address, instruction, operands
# of the text: what the listing of a block inside a clip is made without
INSIDE = (
    ("inside && (size_t)(own + begin) % sizeof(SAMPLES_OF_FOUR) == 0) {", "true) {"),
    ("  if (inside) {", "  if (true) {"),
    ("if (PARTS > 1 && u > 0) {", "if (PARTS > 1) {"),
    ("if (first >= count) {", "if (false) {"),
)


def module_of(name: str) -> Any:
    """The transform of a setting."""
    kind, options, _ = SETTINGS[name]
    return getattr(af, kind)(method="fft", **options)


def form(name: str) -> Form:
    """The form of the CUDA kernel that a setting takes on a card."""
    held = cuda_launch.unreachable
    cuda_launch.unreachable = lambda device: None  # no card is asked for
    try:
        module, x = module_of(name), torch.zeros(1, 8000)
        found = fused_method._cuda_form(x, module.framing, module.wanted(x))
    finally:
        cuda_launch.unreachable = held
    if isinstance(found, str):
        raise ValueError(f"{name}: {found}")
    return found


def tool(code: bytes, *options: str) -> str:
    """What Triton's copy of cuobjdump says of machine code."""
    import triton

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(code)
        name = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
        return subprocess.run([name, *options, file], capture_output=True, text=True, check=True).stdout


def listing(code: bytes) -> list[Line]:
    """The instructions of machine code, without those after the last exit."""
    pattern = r"^\s+/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\d+ )?([A-Z0-9_.]+)([^;]*);"
    found = [(int(at, 16), name, rest) for at, name, rest in re.findall(pattern, tool(code, "-sass"), re.MULTILINE)]
    return [one for one in found if one[1] != "NOP"]


def usage(of: Form, architecture: str) -> dict[str, int]:
    """Registers, stack, spills, instructions of the whole kernel, and shared memory of a block."""
    code = nvrtc.compiled(of.text(), architecture)
    registers, stack = re.search(r"REG:(\d+) STACK:(\d+)", tool(code, "-res-usage")).groups()  # type: ignore[union-attr]
    lines = listing(code)
    warps = of.plan.threads // 32
    of_each = -(-int(registers) // 8) * 8 * 32  # registers of a warp
    blocks = min(
        REGISTERS // of_each // warps, MOST_WARPS // warps, int(SHARED[architecture] // (1 + of.shared / 1024))
    )
    return {
        "registers": int(registers), "stack": int(stack), "warps": blocks * warps,
        "spills": sum(name.startswith(("LDL", "STL")) for _, name, _ in lines), "instructions": len(lines),
        "shared": of.shared, "threads": of.plan.threads, "frames": of.plan.frames,
    }  # fmt: skip


def executed(of: Form, architecture: str, steps: list[float]) -> tuple[Counter[str], float]:
    """Instructions by name that a warp of a block inside a clip executes for each of its frames, and lines it moves.

    Lines of 128 bytes of shared memory and the first cache: as many as 32 lanes take that move 4, 8 or 16 bytes each.
    What is loaded as a constant is the same for all frames of a warp, and lies side by side for its parts of a frame.

    Args:
        of: the kernel.
        architecture: compiled for.
        steps: of the loop of each round of filters that has one.
    """
    text = of.text()
    for old, new in INSIDE:
        if old not in text:
            raise ValueError(f"the kernel's text has no {old!r} any more")
        text = text.replace(old, new)
    lines = listing(nvrtc.compiled(text, architecture))
    loops = []
    for at, name, rest in lines:
        target = re.search(r"0x([0-9a-f]+)", rest) if name.startswith("BRA") else None
        if target and int(target[1], 16) < at:
            loops.append((int(target[1], 16), at))
    warps, waiting = of.plan.threads / 32, list(steps)
    times = {loop: _times(loop, lines, of, waiting) for loop in sorted(loops)}
    if waiting:
        raise ValueError(f"{len(waiting)} rounds of filters have no loop in the listing")
    found: Counter[str] = Counter()
    moved = 0.0
    for at, name, _ in lines:
        often = 1.0
        for (begin, end), count in times.items():
            if begin <= at <= end:
                often *= count
        kind, *suffixes = name.split(".")
        found[kind] += often  # type: ignore[assignment]
        if kind in MEMORY_KINDS:
            wide = 4 if "128" in suffixes else 2 if "64" in suffixes else 1
            moved += often * (max(1, wide // of.plan.frames) if "CONSTANT" in suffixes else wide)
    per_frame = warps / of.plan.frames
    return Counter({name: count * per_frame for name, count in found.items()}), moved * per_frame  # type: ignore[misc]


def _times(loop: tuple[int, int], lines: list[Line], of: Form, steps: list[float]) -> float:
    """How often a loop runs for a thread: known by what it loads and stores, and its steps taken from those left."""
    kinds = Counter(name.split(".")[0] for at, name, _ in lines if loop[0] <= at <= loop[1])
    if kinds["STG"]:  # the powers themselves
        return of.n_values / of.plan.parts / kinds["STG"]
    if kinds["LDG"] and kinds["STS"]:  # the samples one by one: whole rounds of the unrolled loop, and the rest
        rounds, most = of.plan.samples / of.plan.threads, 8
        return rounds // most if kinds["LDG"] >= most else rounds % most
    if kinds["LDG"] and kinds["LDS"] and steps:
        return steps.pop(0)
    raise ValueError(f"a loop of {dict(kinds)} is not known")


def steps_of(name: str, of: Form) -> list[float]:
    """Steps of the loop of each round of filters that has one: the most of a warp's filters, on average."""
    module, x = module_of(name), torch.zeros(1, 8000)
    taken = module.wanted(x).steps
    if not taken or not isinstance(taken[0], FilterBank):
        return []
    spans = cuda_launch.packed(taken[0], of.plan, module.wanted(x).power)[1].numpy() >> cuda_filters.FIRST_BITS
    spans = spans.transpose(1, 0, 2).reshape(of.plan.parts, -1)
    together = max(1, 32 // of.plan.frames)  # parts of a warp
    most = np.stack([spans[at : at + together].max(axis=0) for at in range(0, of.plan.parts, together)])
    wide = [number for number, width in enumerate(of.rounds) if width > cuda_filters.MOST_AT_ONCE]
    return [float(most[:, number].mean()) for number in wide]


def timed(setting: str, way: str) -> float | None:
    """Hours of audio in a second that were measured on an H200, from the table of `fused.py`."""
    rows = json.loads((ROOT / "benchmarks/results/fused_nvidia-h200.json").read_text())["rows"]
    found = [row["hours_per_second"] for row in rows if row["setting"] == setting and row["way"] == way]
    return found[0] if found else None


def estimated(name: str, of: Form) -> dict[str, Any]:
    """What a setting takes for each frame on sm_90, and the hours of audio in a second which that allows."""
    counts, shared = executed(of, "sm_90", steps_of(name, of))
    options = SETTINGS[name][1]
    n_values = options.get("n_mels", of.plan.half + 1)
    seconds = options["hop_length"] / options.get("sample_rate", 16000)
    total = sum(counts.values())

    def hours(frames: float) -> float:
        return frames * seconds / 3600

    by = {
        "instructions": hours(MULTIPROCESSORS * CLOCK * ISSUED / total),
        "shared memory": hours(MULTIPROCESSORS * CLOCK * LINES / shared),
        "memory": hours(MEMORY / (4 * options["hop_length"] + 4 * n_values)),
    }
    bound = min(by.values())
    triton = timed(TRITON["setting"], "fused") or 0.0  # type: ignore[arg-type]
    share = triton / hours_of_triton()
    return {
        "per_frame": {
            "all": total, "arithmetic": sum(counts[kind] for kind in ARITHMETIC),
            **{kind: counts[kind] for kind in MEMORY_KINDS},
            "other": total - sum(counts[kind] for kind in (*ARITHMETIC, *MEMORY_KINDS)),
        },
        "lines_per_frame": shared, "hours_by": by, "bound": bound, "at_half": bound / 2, "at_triton": bound * share,
        "triton_share": share, "copy_share_at_half": bound / 2 / by["memory"],
        "flashmel": timed(SETTINGS[name][2], "flashmel + log"), "triton": timed(SETTINGS[name][2], "fused"),
    }  # fmt: skip


def hours_of_triton() -> float:
    """What the Triton kernel's instructions for Whisper's frames allow."""
    return MULTIPROCESSORS * CLOCK * ISSUED / float(TRITON["instructions"]) * 0.01 / 3600  # type: ignore[arg-type]


# what interprets or runs each kernel's text where there is no card
ON_CPU = {
    "cuda": "the CUDA kernel's text, compiled for a CPU and run there thread by thread",
    "triton": "Triton's kernel, in Triton's interpreter",
}


def drawn(kernel: str, count: int, seed: int) -> dict[str, Any]:
    """Drawn settings of a kernel on a CPU against float64: how many, how many failed, and the largest errors."""
    command = [sys.executable, "-m", "tests.methods.short_time.fused_draws", "--kernel", kernel]
    command += ["--draws", str(count), "--seed", str(seed)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} | ({"TRITON_INTERPRET": "1"} if kernel == "triton" else {})
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, env=environment)
    lines = done.stdout.splitlines()
    for line in lines[:-1]:
        print(line[:600], flush=True)
    if not lines:
        raise RuntimeError(f"the drawn settings of {kernel} ended with {done.returncode}: {done.stderr[-600:]}")
    return dict(json.loads(lines[-1]))


def markdown(result: dict[str, Any]) -> str:
    """The page of a result."""
    said = [
        "The CUDA kernel of `fused` on paper, by "
        f"`{result['command']}` (NVRTC of CUDA {result['cuda']}, torch {result['torch']}). No card was at hand: no "
        "time here is measured but those of the last two columns, which are from fused_nvidia-h200.md.",
    ]
    for kernel, draws in result.get("draws", {}).items():
        worst = "; ".join(f"{what} {error:.1e}" for what, error in sorted(draws["worst"].items()))
        said.append(
            f"{draws['failed']} of {draws['draws']} drawn settings, forward and backward, lengths and edges included, "
            f"differ from float64 in {ON_CPU[kernel]}. The largest errors: {worst}."
        )
    if "draws" in result:
        said.append(
            "Quiet speech is synthesized, peaks at -40 dB of full scale above noise at -110 dB, and goes through the "
            "frames of each drawn setting. The other signals are noise of 1 to 3,333 samples; of one or a few, "
            "reflected or repeated, frames are constant, and their bins nothing but rounding. Errors above 2e-3 nats "
            "stand apart, as where float32's FFT is off by as much: by an eighth of it at least."
        )
    said += [
        "## What the compiler says",
        f"Threads and frames are those of a block, warps those of the {MOST_WARPS} of "
        "a multiprocessor that are there at once. Instructions are those of the whole kernel.",
    ]
    rows = ["| setting | passes | for | registers | spills | shared, KB | threads | frames | warps | instructions |"]
    rows.append("|---|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for one in result["usage"]:
        passes = " x ".join(map(str, one["radices"]))
        cells = [one["setting"], passes, one["architecture"]]
        cells += [str(one["registers"]), str(one["spills"]), f"{one['shared'] / 1024:.1f}"]
        cells += [str(one["threads"]), str(one["frames"]), str(one["warps"]), str(one["instructions"])]
        rows.append("| " + " | ".join(cells) + " |")
    share = result["estimates"][0]["triton_share"]
    rows += [
        "",
        "## What that allows on an H200 or H100 (sm_90)",
        "",
        "Instructions of a warp for each frame of a block inside a clip, and hours of audio in a second: at "
        f"{ISSUED:g} instructions in every cycle of {MULTIPROCESSORS} multiprocessors at {CLOCK / 1e9:g} GHz, or one "
        "line of shared memory and first cache, whichever is less (which no kernel reaches); at half of that; and at "
        f"the {share:.0%} of its own bound which the Triton kernel was measured to reach.",
        "",
        "| setting | instructions | arithmetic | LDG | LDS | STS | STG | other | lines | bound | at half | as Triton | "
        "share of memory at half | measured: Triton | measured: flashmel + log |",
        "|---|" + "---:|" * 14,
    ]
    for one in result["estimates"]:
        kinds = one["per_frame"]
        cells = [one["setting"], *(f"{kinds[k]:.0f}" for k in ("all", "arithmetic", *MEMORY_KINDS, "other"))]
        cells += [f"{one['lines_per_frame']:.0f}"]
        cells += [f"{one[key]:,.0f}" for key in ("bound", "at_half", "at_triton")] + [
            f"{one['copy_share_at_half']:.0%}"
        ]
        cells += ["" if one[key] is None else f"{one[key]:,.0f}" for key in ("triton", "flashmel")]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n\n".join(said) + "\n\n" + "\n".join(rows) + "\n"


def main() -> int:
    """Compile, read, estimate and write; return 1 if a form spills or a drawn setting differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=0, help="drawn settings to compare with float64, too")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--out", type=Path, default=None, help="folder for the results")
    asked = parser.parse_args()
    more = f" --draws {asked.draws}" if asked.draws else ""
    result: dict[str, Any] = {
        "torch": torch.__version__, "cuda": torch.version.cuda,
        "command": f"python benchmarks/kernels/fused_cuda.py{more} --out benchmarks/results", "usage": [],
        "estimates": [],
    }  # fmt: skip
    for name in SETTINGS:
        of = form(name)
        for architecture in ARCHITECTURES:
            own = {"setting": name, "architecture": architecture, "radices": of.plan.radices, **usage(of, architecture)}
            result["usage"].append(own)
        result["estimates"].append({"setting": name, **estimated(name, of)})
    if asked.draws:
        result["draws"] = {kernel: drawn(kernel, asked.draws, asked.seed) for kernel in ON_CPU}
    page = markdown(result)
    print(page)
    if asked.out is not None:
        asked.out.mkdir(parents=True, exist_ok=True)
        (asked.out / "fused_cuda.json").write_text(json.dumps(result, indent=1) + "\n")
        (asked.out / "fused_cuda.md").write_text(page)
    spilled = any(one["spills"] or one["stack"] for one in result["usage"])
    return int(spilled or any(draws["failed"] for draws in result.get("draws", {}).values()))


if __name__ == "__main__":
    sys.exit(main())
