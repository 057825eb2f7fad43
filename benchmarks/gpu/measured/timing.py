"""Times and memory, each beside its error: features, the bus, and the loader from end to end."""

from __future__ import annotations

import functools
import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils.data import DataLoader

from audiofeed.feed import GPUSpecCollate
from gpu.checks import Recorder
from gpu.clips import Noise, plain_collate
from gpu.feeding import batches, make_loader
from gpu.measured.peers import CONFIGS, FLOOR, JUDGED, Config, speech_like, torch_stft, ways
from gpu.settings import METHODS

Row = dict[str, Any]
# The largest error in nats that a timed float32 method of ours may have on quiet speech; TF32 once gives 5.
QUIET_NATS = 2.5e-2
SMALL = 2.0  # seconds of audio in a dry run


@dataclass(frozen=True)
class Timing:
    """How long a call took, in milliseconds."""

    median_ms: float
    min_ms: float
    repeats: int


def time_call(call: Callable[[], object], device: torch.device, *, repeats: int = 20, seconds: float = 0.5) -> Timing:
    """Time a call: warmed up, with the second-level cache written over before each repeat.

    Args:
        call: What is timed.
        device: CUDA is timed with events, launches included; the CPU by the clock.
        repeats: The fewest.
        seconds: How long to go on where a call is short; at most 200 repeats.
    """
    for _ in range(3):
        call()
    _finish(device)
    began = time.perf_counter()
    call()
    _finish(device)
    once = max(time.perf_counter() - began, 1e-6)
    repeats = max(repeats, min(200, int(seconds / once)))
    if device.type != "cuda":
        times = []
        for _ in range(repeats):
            began = time.perf_counter()
            call()
            times.append(1e3 * (time.perf_counter() - began))
        return Timing(statistics.median(times), min(times), repeats)
    flush = torch.empty(2**28, dtype=torch.int8, device=device)
    events = []
    for _ in range(repeats):
        flush.zero_()
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        call()
        end.record()
        events.append((start, end))
    torch.cuda.synchronize(device)
    times = [start.elapsed_time(end) for start, end in events]
    return Timing(statistics.median(times), min(times), repeats)


def card_alone(call: Callable[[], object], device: torch.device) -> float | None:
    """Median milliseconds of a call that a CUDA graph replays: of the card, whatever the host does meanwhile.

    None without CUDA, and where the call cannot be captured.
    """
    if device.type != "cuda":
        return None
    try:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            call()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
    except RuntimeError:  # of what must not be captured, a peer's look at a value
        torch.cuda.synchronize(device)
        return None
    return time_call(graph.replay, device, seconds=0.1).median_ms


def configs(device: torch.device) -> tuple[Config, ...]:
    """What is timed; a dry run takes two short clips of each."""
    if device.type == "cuda":
        return CONFIGS
    return tuple(replace(config, clips=2, seconds=SMALL) for config in CONFIGS)


def run_features(recorder: Recorder, device: torch.device, reserve: float, *, quick: bool) -> list[Row]:
    """Time every way to every configuration's log-mel, and judge ours by its error first.

    Args:
        reserve: Seconds of the budget that what comes later needs.
        quick: The first configuration alone.
    """
    rows: list[Row] = []
    ceiling = copy_rate(device)
    recorder.say(f"the device copies {ceiling / 1e9:.0f} GB/s, bytes read and written counted")
    for config in configs(device)[: 1 if quick else None]:
        if not recorder.has_time(reserve):
            rows.append({"config": config.name, "batch": config.batch, "skipped": "the time is spent"})
            recorder.say(f"skip timing: {config.name}, {config.batch}: the time is spent")
            continue
        waveform = speech_like(config, device)
        # float64 on the device is held to the CPU's by correctness.py
        exact = config.transform("fft").to(device)(waveform[:JUDGED].double())
        for name, call in ways(config, device):
            row: Row = {"config": config.name, "batch": config.batch, "way": name}
            rows.append(row)
            if isinstance(call, str) or not recorder.has_time(reserve):
                row["skipped"] = call if isinstance(call, str) else "the time is spent"
                recorder.say(f"skip timing: {config.name}, {config.batch}, {name}: {row['skipped']}")
                continue
            ours = name.removesuffix(", with lengths") in METHODS
            with recorder.check("timing", f"{config.name}, {config.batch}, {name}") as check:
                found = call(waveform)
                # what must be read and written at least
                row["bytes"] = waveform.numel() * waveform.element_size() + found.numel() * found.element_size()
                found = found[:JUDGED].double()
                difference = ((found.clamp(min=FLOOR).log() if "without log" in name else found) - exact).abs()
                row["max_error_nats"] = float(difference.max())
                row["mean_error_nats"] = float(difference.mean())
                if ours:
                    check.within("error on quiet speech, nats", row["max_error_nats"], QUIET_NATS)
                timing = time_call(functools.partial(call, waveform), device)
                row.update(
                    median_ms=timing.median_ms, min_ms=timing.min_ms, repeats=timing.repeats,
                    hours_per_second=config.hours / (timing.median_ms / 1e3),
                    share_of_copy=row["bytes"] / (timing.median_ms / 1e3) / ceiling,
                    card_ms=card_alone(functools.partial(call, waveform), device),
                )  # fmt: skip
                check.note(
                    f"{timing.median_ms:.3f} ms (min {timing.min_ms:.3f}, {timing.repeats} times), "
                    f"{row['hours_per_second']:.1f} h/s, {row['share_of_copy']:.0%} of copying, "
                    f"error {row['max_error_nats']:.1e} nats"
                )
                if not ours:
                    check.inform()
        del waveform, exact
        _release(device)
    return rows


def copy_rate(device: torch.device) -> float:
    """Bytes read and written in a second by a copy of a tensor far larger than the cache."""
    source = torch.ones(2**28 if device.type == "cuda" else 2**20, device=device)
    target = torch.empty_like(source)
    timing = time_call(functools.partial(target.copy_, source), device)
    return 2 * source.numel() * source.element_size() / (timing.median_ms / 1e3)


def run_memory(recorder: Recorder, device: torch.device) -> list[Row]:
    """The most memory allocated for a log-mel of 64 x 30 s at 16 kHz, with a gradient to the waveform and without."""
    rows: list[Row] = []
    config = configs(device)[1]
    for name, call in ways(config, device):
        if isinstance(call, str) or not (name in METHODS or name.startswith("torch.stft")):
            continue
        # the torch.stft way and each method of ours, the gradient for ours alone
        graphs = (False,) if name.startswith("torch") else (False, True)
        for graph in graphs:
            label = f"{config.batch} at 16 kHz, {name}" + (", forward and backward" if graph else "")
            with recorder.check("memory", label) as check:
                row = _peak(config, device, name, graph=graph)
                rows.append(row)
                if row["peak_mib"] is None:
                    check.note("counted on CUDA only")
                else:
                    check.note(f"{row['peak_mib']:.0f} MiB, the batch's own {row['input_mib']:.0f} MiB included")
    return rows


def _peak(config: Config, device: torch.device, name: str, *, graph: bool) -> Row:
    _release(device)
    call = torch_stft(config, device) if name.startswith("torch") else config.transform(name).to(device)
    on_cuda = device.type == "cuda"
    samples = int(config.seconds * config.sample_rate)
    waveform = torch.zeros(config.clips, samples, device=device, requires_grad=graph)
    own = waveform.numel() * waveform.element_size()
    before = 0
    with torch.set_grad_enabled(graph):
        call(waveform[:1])  # plans, handles and their workspaces are made once
        if on_cuda:
            torch.cuda.synchronize(device)
            before = torch.cuda.memory_allocated(device) - own
            torch.cuda.reset_peak_memory_stats(device)
        features = call(waveform)
        if graph:
            features.sum().backward()
    peak = (torch.cuda.max_memory_allocated(device) - before) / 2**20 if on_cuda else None
    return {
        "way": name, "batch": config.batch, "graph": graph, "peak_mib": peak,
        "input_mib": own / 2**20, "output_mib": features.numel() * 4 / 2**20,
    }  # fmt: skip


def run_transfer(recorder: Recorder, device: torch.device) -> list[Row]:
    """Pinned memory to the device: the same audio as int16 and as float32."""
    rows: list[Row] = []
    on_cuda = device.type == "cuda"
    clips, seconds, rate = (64, 30.0, 16_000) if on_cuda else (2, SMALL, 16_000)
    for dtype in (torch.int16, torch.float32):
        name = str(dtype).removeprefix("torch.")
        with recorder.check("transfer", f"{name}, {clips} x {seconds:g} s at 16 kHz") as check:
            host = torch.zeros(clips, int(seconds * rate), dtype=dtype)
            host = host.pin_memory() if on_cuda else host
            target = torch.empty_like(host, device=device)
            timing = time_call(functools.partial(target.copy_, host, non_blocking=True), device)
            row: Row = {"dtype": name, "pinned": on_cuda, "median_ms": timing.median_ms, "min_ms": timing.min_ms}
            row["gb_per_second"] = host.numel() * host.element_size() / timing.median_ms / 1e6
            row["hours_per_second"] = clips * seconds / 3600 / (timing.median_ms / 1e3)
            rows.append(row)
            check.note(f"{row['gb_per_second']:.1f} GB/s, {row['hours_per_second']:.0f} hours of audio per second")
    return rows


def run_loader(recorder: Recorder, device: torch.device, *, quick: bool) -> list[Row]:
    """Clips per second from a dataset that costs nothing, through workers, to features on the device."""
    rows: list[Row] = []
    on_cuda = device.type == "cuda" and not quick
    config = replace(CONFIGS[0], clips=64 if on_cuda else 4, seconds=10.0 if on_cuda else SMALL)
    workers = min(8, os.cpu_count() or 1) if on_cuda else 2
    dataset = Noise(config.clips * (2000 if on_cuda else 12), config.seconds)
    options: Row = {"num_workers": workers, "batch_size": config.clips}
    plans = [(pin, ahead) for pin in (True, False) for ahead in (0, 2)]
    for pin, ahead in plans[:2] if quick else plans:
        with recorder.check("loader", f"pin_memory={pin}, max_ahead={ahead}, {workers} workers") as check:
            collate = GPUSpecCollate(config.transform("auto"), device=device, max_ahead=ahead)
            loader = make_loader(dataset, collate, pin_memory=pin, **options)
            row = _rate(recorder, (batch.features for batch in batches(loader)), config, device)
            rows.append({"way": "GPUSpecCollate", "pin_memory": pin, "max_ahead": ahead, "workers": workers, **row})
            check.note(f"{row['clips_per_second']:.0f} clips/s of {config.seconds:g} s, {row['batches']} batches")
    with recorder.check("loader", f"by hand: float32, pinned, torch.stft, {workers} workers") as check:
        loader = make_loader(dataset, plain_collate, pin_memory=device.type == "cuda", **options)
        row = _rate(recorder, _by_hand(loader, torch_stft(config, device), device), config, device)
        rows.append({"way": "by hand", "pin_memory": True, "max_ahead": None, "workers": workers, **row})
        check.note(f"{row['clips_per_second']:.0f} clips/s of {config.seconds:g} s, {row['batches']} batches")
    return rows


def _by_hand(
    loader: DataLoader[Any], call: Callable[[torch.Tensor], torch.Tensor], device: torch.device
) -> Iterator[torch.Tensor]:
    for waveforms, targets in loader:
        targets.to(device, non_blocking=True)
        yield call(waveforms.to(device, non_blocking=True))


def _rate(recorder: Recorder, features: Iterator[torch.Tensor], config: Config, device: torch.device) -> Row:
    """Clips per second after four batches, for three seconds or as long as there are batches."""
    warm, count, began = 4, 0, 0.0
    total = torch.zeros((), device=device)
    for number, values in enumerate(features, start=1):
        total = total + values.mean()  # stands for the model
        if number == warm:
            _finish(device)
            began = time.perf_counter()
        elif number > warm:
            count += 1
            if time.perf_counter() - began > 3.0 or not recorder.has_time():
                break
    if not bool(total.isfinite()):  # waits for the device
        raise ValueError("features are not finite")
    elapsed = max(time.perf_counter() - began, 1e-9)
    return {"clips_per_second": count * config.clips / elapsed, "batches": count, "batch": config.batch}


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _release(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
