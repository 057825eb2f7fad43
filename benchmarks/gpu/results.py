"""What was found, as JSON for programs and Markdown for people; and the README's table made from it."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpu.checks import FAIL, PASS, SKIP, Check, Recorder

NOT_MEASURED = "not measured yet"
Result = dict[str, Any]


def environment(device: torch.device) -> dict[str, Any]:
    """The card and every version that bears on the numbers."""
    known: dict[str, Any] = {
        "card": platform.processor() or platform.machine(),
        "driver": None,
        "cuda": torch.version.cuda,
        "torch": torch.__version__,
        "triton": _version("triton"),
        "torchaudio": _version("torchaudio"),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "commit": commit(),
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        known.update(
            card=properties.name,
            driver=_driver(),
            cudnn=torch.backends.cudnn.version(),
            memory_gib=round(properties.total_memory / 2**30, 1),
            multiprocessors=properties.multi_processor_count,
            capability=f"{properties.major}.{properties.minor}",
        )
    return known


def make_result(
    recorder: Recorder, device: torch.device, tables: dict[str, Any], *, quick: bool, partial: bool
) -> Result:
    """Everything that one run found."""
    counts = {status: sum(check.status == status for check in recorder.checks) for status in (PASS, FAIL, SKIP)}
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "dry_run": device.type != "cuda",
        "quick": quick,
        "partial": partial,
        "seconds": round(recorder.elapsed, 1),
        "environment": environment(device),
        "counts": counts,
        "failed": [check.name for check in recorder.failed],
        **tables,
        "checks": [check.as_dict() for check in recorder.checks],
    }


def write(result: Result, page: str, folder: Path) -> Path:
    """Write gpu_<card>.json and .md, the page; return the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"gpu_{slug(result['environment']['card'])}"
    (folder / f"{stem}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    path = folder / f"{stem}.md"
    path.write_text(page, encoding="utf-8")
    return path


def slug(name: str) -> str:
    """A file name's part from a card's name.

    >>> slug("NVIDIA H100 80GB HBM3")
    'nvidia-h100-80gb-hbm3'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def newest(folder: Path) -> Result | None:
    """The newest full run on a card among the results of a folder."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("gpu_*.json"))]
    whole = [result for result in found if not (result["quick"] or result["dry_run"] or result["partial"])]
    return max(whole, key=lambda result: result["date"], default=None)


def readme_table(result: Result | None) -> str:
    """The README's GPU table, or a line that says that there is none yet."""
    if result is None:
        return NOT_MEASURED
    most = max((row["hours"] for row in map(_sized, result.get("features") or [])), default=0.0)
    largest = {
        **{name: result.get(name) for name in ("step", "graphs")},
        "features": [row for row in result.get("features") or [] if _sized(row)["hours"] == most],
        "constant_q": result.get("constant_q"),
    }
    page = f"benchmarks/results/gpu_{slug(result['environment']['card'])}.md"
    return "\n\n".join([
        _headline(result),
        *_tables(largest),
        f"More sizes, memory, the bus, the loader, launches and every check: [{page}]({page}).",
    ])  # fmt: skip


def _sized(row: Result) -> Result:
    """A row of log-mel with the hours of audio in its batch, which its name tells."""
    clips, _, seconds = row["batch"].removesuffix(" s").partition(" x ")
    return {**row, "hours": float(clips) * float(seconds) / 3600}


def markdown(result: Result, checks: list[Check]) -> str:
    """The whole page: what was measured, then what was checked."""
    known = result["environment"]
    dry = " (dry run: no result)" if result["dry_run"] else ""
    versions = _table(["what", "value"], [[name, value] for name, value in known.items() if value is not None])
    parts = [
        f"# GPU smoke: {known['card']}{dry}",
        "Written by `python benchmarks/gpu_smoke.py`; nobody types a number here.",
        _headline(result),
        versions,
        "## Measured",
        *_tables(result),
        *_launches(result),
        *_harness(result),
        "## Checked",
        "Each line is one check, with the measure that came nearest to its tolerance. Tolerances follow from the "
        "dtype: relative L2 of values (16 + sqrt(n_fft) for dense products) eps, largest error 4 times that, "
        "logarithms 2^13 eps nats within 60 dB of a frame's peak, gradients 4 times the values' (2^14 eps through a "
        "logarithm). The reference is float64 on the CPU, each clip alone.",
        _table(["check", "result", "worst measure", "of", "notes"], [_check_line(check) for check in checks]),
    ]
    problems = [f"### {check.section}: {check.name}\n\n```\n{chr(10).join(check.problems)}\n```"
                for check in checks if check.status == FAIL]  # fmt: skip
    if problems:
        parts += ["## Failed", *problems]
    return "\n\n".join(parts) + "\n"


def _headline(result: Result) -> str:
    known, counts = result["environment"], result["counts"]
    failed = f"**{counts[FAIL]} failed**" if counts[FAIL] else "none failed"
    return (
        f"{known['card']}, driver {known['driver']}, CUDA {known['cuda']}, torch {known['torch']}, "
        f"triton {known['triton']}, Python {known['python']}; {result['date'][:10]}; "
        f"{counts[PASS]} checks passed, {failed}, {counts[SKIP]} skipped."
    )


def _tables(result: Result) -> list[str]:
    parts = []
    timed = result.get("features") or []
    if timed:
        rows = []
        for row in timed:
            start = [row["config"], row["batch"], row.get("way", "all")]
            if "skipped" in row or "median_ms" not in row:
                rows.append([*start, "-", "-", "-", "-", "-", row.get("skipped", "failed")])
                continue
            share = f"{row['share_of_copy']:.1%}" if "share_of_copy" in row else "-"
            rows.append([*start, f"{row['median_ms']:.3f}", f"{row['min_ms']:.3f}", _card(row),
                         f"{row['hours_per_second']:,.0f}", share, f"{row['max_error_nats']:.1e}"])  # fmt: skip
        heads = ["log-mel", "batch", "way", "median, ms", "min, ms", "card alone, ms", "hours of audio per s",
                 "of copying", "largest error, nats"]  # fmt: skip
        parts.append(
            "Waveforms on the device to log-mel, float32, no gradient; CUDA events, cache written over before each "
            "repeat; error against float64 on quiet speech-like sound. The card alone: replayed by a CUDA graph. Of "
            "copying: the least bytes there are to read and write, over the time, as a share of what the card copies "
            "in it.\n\n" + _table(heads, rows)
        )
    parts += _more_tables(result)
    parts += _beside(result)
    memory = [row for row in result.get("memory") or [] if row["peak_mib"] is not None]
    if memory:
        rows = [
            [row["way"], "forward and backward" if row["graph"] else "forward", f"{row['peak_mib']:,.0f}"]
            for row in memory
        ]
        parts.append(
            f"Peak memory for the log-mel of {memory[0]['batch']} at 16 kHz, the batch's own "
            f"{memory[0]['input_mib']:.0f} MiB included.\n\n" + _table(["way", "pass", "peak, MiB"], rows)
        )
    transfer = result.get("transfer") or []
    if transfer:
        rows = [[row["dtype"], f"{row['gb_per_second']:.1f}", f"{row['hours_per_second']:,.0f}"] for row in transfer]
        parts.append(
            "Pinned memory to the device.\n\n" + _table(["samples", "GB/s", "hours of 16 kHz audio per s"], rows)
        )
    parts += _bus_table(result)
    loader = result.get("loader") or []
    if loader:
        rows = [
            [row["way"], row["workers"], row["pin_memory"], row["max_ahead"], f"{row['clips_per_second']:,.0f}"]
            for row in loader
        ]
        heads = ["way", "workers", "pin_memory", "max_ahead", "clips per s"]
        parts.append(
            f"From a synthetic int16 dataset through workers to features on the device, batches of "
            f"{loader[0]['batch']}.\n\n" + _table(heads, rows)
        )
    return parts


def _card(row: Result) -> str:
    return "-" if row.get("card_ms") is None else f"{row['card_ms']:.3f}"


def _beside(result: Result) -> list[str]:
    rows = []
    for row in result.get("beside") or []:
        times = ["-" if row.get(name) is None else f"{row[name]:.1f}" for name in ("times", "card")]
        rows.append([row["setting"], row["way"], *times, "" if row["asked"] is None else f"{row['asked']:g}"])
    if not rows:
        return []
    text = (
        "How many times as long as ours each takes, by the medians above and on the card alone, and what is asked of "
        "that, of the largest batch: a small one is done before Python has asked for the next, whoever computes it.\n\n"
    )
    return [text + _table(["setting", "way", "times ours", "card alone", "at least asked"], rows)]


def _bus_table(result: Result) -> list[str]:
    ways = result.get("bus") or []
    if not ways:
        return []
    rows = [[row["way"], f"{row['host_ms']:.2f}", f"{row['whole_ms']:.2f}", f"{row['first_ms']:.2f}"] for row in ways]
    text = (
        f"A batch of {ways[0]['batch']} of int16, with lengths, targets and seeds, from the host's memory to the "
        "device: what the host takes, and when all is there; medians, the first batch apart.\n\n"
    )
    return [text + _table(["way", "host, ms", "there after, ms", "the first, ms"], rows)]


def _more_tables(result: Result) -> list[str]:
    parts = []
    timed = result.get("constant_q") or []
    if timed:
        rows = []
        for row in timed:
            start = [row["setting"], row["way"]]
            if "median_ms" not in row:
                rows.append([*start, "-", "-", "-", "-", row.get("skipped", "failed")])
                continue
            error = f"{row['error']:.1e}" if "error" in row else "own definition"
            rows.append([*start, f"{row['median_ms']:.3f}", f"{row['min_ms']:.3f}", _card(row),
                         f"{row['hours_per_second']:,.0f}", error])  # fmt: skip
        heads = ["constant Q", "way", "median, ms", "min, ms", "card alone, ms", "hours of audio per s", "error, L2"]
        parts.append(
            "Waveforms on the device to constant-Q magnitudes, float32, no gradient, timed in the same way; error "
            "against float64 on the CPU.\n\n" + _table(heads, rows)
        )
    types = result.get("musicnet") or []
    if types:
        rows = [
            [row["type"], *(f"{row[key]:.3f}" if key in row else "-" for key in ("median_ms", "nnaudio_ms")),
             f"{row['hours_per_second']:,.0f}" if "median_ms" in row else row.get("skipped", "failed"),
             f"{row['error']:.0e}" if "error" in row else "-"]
            for row in types
        ]  # fmt: skip
        heads = ["type", "audiofeed, ms", "nnAudio2, ms", "hours of audio per s", "error, L2"]
        parts.append(
            f"MusicNet's 34 types of spectrogram, of {types[0]['seconds']:g} s of one recording in one call; error "
            "against float64 on the CPU; of nnAudio2's modules of a type the fastest.\n\n" + _table(heads, rows)
        )
    graphs = result.get("graphs") or []
    if graphs:
        rows = [
            [row["what"], f"{row['eager_ms']:.3f}", f"{row['replayed_ms']:.3f}", f"{row['hours_per_second']:,.0f}"]
            for row in graphs
        ]
        heads = ["what", "eager, ms", "CUDA graph, ms", "hours of audio per s"]
        parts.append("Captured in a CUDA graph and replayed.\n\n" + _table(heads, rows))
    for row in result.get("step") or []:
        parts.append(
            f"Log-mel of {row['batch']} takes {row['features_ms']:.2f} ms; forward, backward and optimizer step of a "
            f"CNN of {row['parameters']:,} parameters on it {row['step_ms']:.2f} ms: features are {row['share']:.1%}."
        )
    return parts


def _launches(result: Result) -> list[str]:
    found = result.get("launches") or []
    if not found:
        return []
    by_name: dict[str, dict[bool, Result]] = {}
    for row in found:
        by_name.setdefault(row["transform"], {})[row["lengths"]] = row
    rows = []
    for name, pair in by_name.items():
        cells: list[Any] = [name]
        for lengths in (False, True):
            row = pair.get(lengths, {})
            cells += [row.get(key, "-") for key in ("kernels", "copies", "fills", "waits")]
        rows.append(cells)
    heads = ["transform", "kernels", "copies", "fills", "waits"]
    heads += [f"{head}, with lengths" for head in heads[1:]]
    text = (
        "Of one call without a gradient, counted by torch's profiler; a wait is a place at which the host stands still "
        "until the device is done."
    )
    return ["## Launches", text, _table(heads, rows)]


def _harness(result: Result) -> list[str]:
    found = result.get("harness") or []
    if not found:
        return []
    rows = [
        [row["call"], row["operations"], *(row[key] for key in ("kernels", "copies", "fills")),
         f"{row['moved_mb']:.1f}", f"{row['least_mb']:.1f}", f"{row['busy_us']:.0f}",
         f"{row['share_of_copy']:.0%}" if "share_of_copy" in row else "-"]
        for row in found
    ]  # fmt: skip
    heads = ["call, with lengths", "operations by the harness", "kernels", "copies", "fills", "MB by shapes",
             "least MB", "busy, us", "of copying"]  # fmt: skip
    text = (
        "What the tests count without a card (`benchmarks/results/launches.md`) beside what the profiler sees. Of "
        "copying: bytes by shapes over the busy time, as a share of what the card copies in it; above 100 % they were "
        "in the cache."
    )
    return ["## Launches and traffic against the harness", text, _table(heads, rows)]


def _check_line(check: Check) -> list[Any]:
    worst = check.worst
    notes = "; ".join(check.notes)
    if worst is None:
        return [f"{check.section}: {check.name}", check.status, "", "", notes]
    error = f"{worst.what}: {worst.error:.1e}"
    return [f"{check.section}: {check.name}", check.status, error, f"{worst.tolerance:.1e}", notes]


def _table(heads: list[str], rows: list[list[Any]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _driver() -> str | None:
    return _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")


def commit() -> str | None:
    """The commit of this folder, with a word where files of it changed since; None outside a repository."""
    root = str(Path(__file__).resolve().parents[2])
    known = _output("git", "-C", root, "rev-parse", "--short", "HEAD")
    if known is None:
        return None
    return f"{known}, changed" if _output("git", "-C", root, "status", "--porcelain", "-uno") else known


def _output(program: str, *arguments: str) -> str | None:
    """The first line that a program prints, or None where it is not there or fails."""
    if shutil.which(program) is None:
        return None
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(done.stdout.splitlines()), None)
