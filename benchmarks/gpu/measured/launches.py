"""What a call costs the host: kernels launched, waits for the device, and whether CUDA graphs can take both away."""

from __future__ import annotations

import collections
import functools
import os
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from audiofeed.transforms import CQT
from gpu.checks import Check, Recorder
from gpu.correctness import relative_l2
from gpu.measured.peers import CONFIGS
from gpu.measured.timing import time_call
from tests.transforms.cases import CASES, IDS, Case

SECTION = "launches"
GRAPHS = "graphs"
# Replayed kernels are the same kernels; a library may still take another algorithm where a stream is captured.
SAME = 64 * torch.finfo(torch.float32).eps
# settings as they are used, on 16 clips of 10 s: name, sample rate, what makes the transform
MEASURED: tuple[tuple[str, int, Callable[[], torch.nn.Module]], ...] = (
    (f"LogMelSpectrogram, {CONFIGS[0].name}", CONFIGS[0].sample_rate, lambda: CONFIGS[0].transform("auto")),
    ("CQT, 22.05 kHz, hop 512, 84 bins", 22_050, lambda: CQT(sample_rate=22_050)),
)
Row = dict[str, Any]
Call = Callable[[], torch.Tensor]


def run(recorder: Recorder, device: torch.device, *, quick: bool) -> list[Row]:
    """Count for the first case of each transform, then for the settings that are timed."""
    rows: list[Row] = []
    if device.type == "cuda":
        launched(lambda: torch.zeros(1, device=device), device)  # the profiler's own start
    for name, case in zip(IDS, CASES, strict=True):
        if not name.endswith("-0"):
            continue
        with recorder.check(SECTION, name.removesuffix("-0"), loud=False) as check:
            module = _built(case, check, device)
            if module is None:
                continue
            x, lengths = case.single(3).to(device), case.lengths(case.size, 30, 7).to(device)
            for given in (None, lengths):
                call = functools.partial(case.run, module, x, given)
                rows.append(_row(check, name.removesuffix("-0"), given is not None, call, device))
            if not case.flat and not quick:
                _check_backward(check, case, module, x, lengths)
            if case.not_compiled:  # its steps depend on values, which only the host can decide about
                check.inform()
    for name, rate, make in MEASURED:
        with recorder.check(SECTION, name) as check:
            module, x, lengths = None, *measured(rate, device)
            with check.needing_scipy():
                module = make().to(device)
            if module is None:
                continue
            for given in (None, lengths):
                call = functools.partial(module, x, given)
                rows.append(_row(check, name, given is not None, call, device))
                check.note(_told(rows[-1]))
    return rows


def measured(rate: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of clips of several lengths."""
    samples = int((10.0 if device.type == "cuda" else 1.0) * rate)
    x = torch.randn(16, samples, generator=torch.Generator().manual_seed(0))
    return x.to(device), torch.linspace(samples // 2, samples, 16).long().to(device)


def _built(case: Case, check: Check, device: torch.device) -> torch.nn.Module | None:
    with check.needing_scipy():
        return case.build().to(device)
    return None


def _row(check: Check, name: str, lengths: bool, call: Call, device: torch.device) -> Row:
    with torch.no_grad():
        for _ in range(2):  # plans, filters moved to the device, what is chosen once
            call()
        waits = waited(call)
        counts = launched(call, device)
    label = "with lengths" if lengths else "without lengths"
    for place, times in waits.items():
        check.problem(f"{label}: waits for the device at {place}, {times} times")
    return {"transform": name, "lengths": lengths, "waits": sum(waits.values()), **counts}


def _check_backward(check: Check, case: Case, module: torch.nn.Module, x: torch.Tensor, lengths: torch.Tensor) -> None:
    leaf = x.clone().requires_grad_()

    def call() -> torch.Tensor:
        values = case.run(module, leaf, lengths)
        real = torch.view_as_real(values) if values.is_complex() else values
        if real.requires_grad:
            real.square().sum().backward()
        return values

    call()
    for place, times in waited(call).items():
        check.problem(f"forward and backward: waits for the device at {place}, {times} times")


def waited(call: Callable[[], object]) -> dict[str, int]:
    """Places in a call at which the host waits for the device, and how often; none is seen without CUDA."""
    if not torch.cuda.is_available():
        call()
        return {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            call()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    places = [
        f"{os.path.relpath(warning.filename)}:{warning.lineno}"
        for warning in caught
        if "called a synchronizing" in str(warning.message)
    ]
    return dict(collections.Counter(places))


def launched(call: Callable[[], object], device: torch.device) -> Row:
    """Kernels, copies and fills of one call, and the time in which the device was at them; zeros without CUDA."""
    if device.type != "cuda":
        call()
        return {"kernels": 0, "copies": 0, "fills": 0, "busy_us": 0.0}
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as watched:
        call()
        torch.cuda.synchronize(device)
    there = [event for event in watched.events() if event.device_type == torch.autograd.DeviceType.CUDA]
    names = [event.name for event in there]
    copies = sum(name.startswith("Memcpy") for name in names)
    fills = sum(name.startswith("Memset") for name in names)
    busy = sum(event.time_range.elapsed_us() for event in there)
    return {"kernels": len(names) - copies - fills, "copies": copies, "fills": fills, "busy_us": busy}


def _told(row: Row) -> str:
    kind = "with lengths" if row["lengths"] else "without lengths"
    return (
        f"{kind} {row['kernels']} kernels, {row['copies']} copies, {row['fills']} fills, {row['busy_us']:.0f} us busy"
    )


def run_graphs(recorder: Recorder, device: torch.device) -> list[Row]:
    """Capture every transform with lengths in a CUDA graph, and replay it on other clips of other lengths."""
    rows: list[Row] = []
    for name, rate, make in MEASURED:
        for kind in ("without", "with"):
            label = f"{name}, {kind} lengths"
            with recorder.check(GRAPHS, label) as check:
                if device.type != "cuda":
                    check.skip("needs CUDA")
                    continue
                module, (x, lengths) = make().to(device), measured(rate, device)
                given = lengths if kind == "with" else None
                call = functools.partial(module, x, given)
                with torch.no_grad():
                    eager = time_call(call, device)
                replay = _captured(check, x, given, call)
                replayed = time_call(replay, device)
                hours = x.numel() / rate / 3600
                rows.append({"what": label, "eager_ms": eager.median_ms, "replayed_ms": replayed.median_ms,
                             "hours_per_second": hours / (replayed.median_ms / 1e3)})  # fmt: skip
                check.note(f"{eager.median_ms:.3f} ms eager, {replayed.median_ms:.3f} ms replayed")
    for name, case in zip(IDS, CASES, strict=True):
        if not name.endswith("-0"):
            continue
        with recorder.check(GRAPHS, name.removesuffix("-0"), loud=False) as check:
            if case.not_compiled:
                check.skip(case.not_compiled)
                continue
            module = _built(case, check, device)
            if module is None:
                continue
            if device.type != "cuda":
                check.skip("needs CUDA")
                continue
            x, lengths = case.single(3).to(device), case.lengths(case.size, 30, 7).to(device)
            _captured(check, x, lengths, functools.partial(case.run, module, x, lengths))
    return rows


def _captured(check: Check, x: torch.Tensor, lengths: torch.Tensor | None, call: Call) -> Callable[[], object]:
    """Capture a call; hold what its replay makes of other values and lengths to the call itself."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.no_grad(), torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        values = call()
    x.copy_(x.flip(0) * 0.5)
    if lengths is not None:
        lengths.copy_(lengths.flip(0))
    graph.replay()
    with torch.no_grad():
        expected = call()
    wide = torch.complex128 if expected.is_complex() else torch.float64
    check.within("replayed on other clips, L2", relative_l2(values.to(wide), expected.to(wide)), SAME)
    return graph.replay
