"""The way from workers to features: the same numbers however they travel, and no race with the training stream."""

from __future__ import annotations

import gc
import itertools
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from audiofeed.feed import AudioBatch, GPUSpecCollate
from gpu.checks import Check, Recorder
from gpu.clips import RATE, Clips, Failing, log_mel
from gpu.correctness import relative_l2

SECTION = "feeding"
# The same kernels on the same numbers; a library may still take another algorithm on another stream.
SAME = 16 * torch.finfo(torch.float32).eps
# Two segments of the caching allocator, because how many batches are in flight is up to chance. A stream made anew in
# each epoch would take at least one per epoch.
GROWTH = 2 * 20 * 2**20


def run(recorder: Recorder, device: torch.device, *, quick: bool) -> None:
    """Check every way that a batch can take to the device, then what may go wrong on it."""
    for start, pin, output, ahead in _ways(quick):
        name = f"{start}, pin_memory={pin}, output={output}, max_ahead={ahead}"
        with recorder.check(SECTION, name) as check:
            _check_way(check, device, start, pin=pin, output=output, ahead=ahead)
    with recorder.check(SECTION, "no workers, device=None") as check:
        _check_no_workers(check, device)
    for kind in ("float32", "mixed"):
        with recorder.check(SECTION, f"{kind} input") as check:
            _check_kind(check, device, kind)
    with recorder.check(SECTION, "trained transform: the parameters of the moment, and their gradients") as check:
        _check_trained(check, device)
    with recorder.check(SECTION, "an error in a transform is kept, and raised at the first read") as check:
        _check_error(check, device)
    later = 1 if quick else 5
    with recorder.check(SECTION, f"{2 + later} abandoned epochs") as check:
        _check_epochs(check, device, later, abandon=True)
    with recorder.check(SECTION, f"{2 + later} whole epochs") as check:
        _check_epochs(check, device, later, abandon=False)


def make_loader(dataset: Dataset[Any], collate: Any, *, start: str | None = "fork", **options: Any) -> DataLoader[Any]:
    """A DataLoader of two workers, or none with `start=None`, that reports a hang as an error."""
    workers: dict[str, Any] = {"num_workers": 0}
    if start is not None:
        workers = {"num_workers": 2, "multiprocessing_context": start, "timeout": 120}
    with warnings.catch_warnings():
        # this machine may have fewer cores than workers, and a dry run has nothing to pin for
        warnings.filterwarnings("ignore", message="This DataLoader will create", category=UserWarning)
        return DataLoader(dataset, collate_fn=collate, **{"batch_size": 4, **workers, **options})


def batches(loader: DataLoader[Any]) -> Iterator[AudioBatch]:
    """The loader's batches, whichever form they are given out in."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'pin_memory' argument is set", category=UserWarning)
        # from 3.12 on Python warns of fork beside threads, which a DataLoader under fork has by nature
        warnings.filterwarnings("ignore", message="This process .* is multi-threaded", category=DeprecationWarning)
        iterator = iter(loader)
        for item in iterator:
            yield item if isinstance(item, AudioBatch) else item.batch


def direct(transform: torch.nn.Module, dataset: Dataset[Any], indices: Sequence[int], device: torch.device) -> Any:
    """Features, waveforms and lengths of a batch without any collate."""
    examples = [dataset[index] for index in indices]
    lengths = torch.tensor([example.waveform.shape[-1] for example in examples])
    waveforms = torch.zeros(len(examples), int(lengths.max()))
    for row, example in zip(waveforms, examples, strict=True):
        wave = example.waveform
        row[: wave.shape[-1]] = wave.float() / 32768 if wave.dtype == torch.int16 else wave
    waveforms, lengths = waveforms.to(device), lengths.to(device)
    return transform.to(device)(waveforms, lengths), waveforms, lengths


def _ways(quick: bool) -> Iterator[tuple[str, bool, str, int]]:
    if quick:
        yield from [("fork", True, "batch", 2), ("fork", False, "tuple", 0)]
        yield from [("spawn", True, "tuple", 2), ("forkserver", True, "batch", 2)]
        return
    yield from itertools.product(["fork"], [True, False], ["batch", "tuple"], [0, 2])
    # a worker that starts from nothing imports torch first: pairs instead of all eight
    for start in ("spawn", "forkserver"):
        yield from [(start, True, "batch", 2), (start, False, "tuple", 0), (start, True, "tuple", 0)]


def _check_way(check: Check, device: torch.device, start: str, *, pin: bool, output: Any, ahead: int) -> None:
    dataset = Clips(24)
    collate = GPUSpecCollate(log_mel(), device=device, output=output, max_ahead=ahead)
    loader = make_loader(dataset, collate, start=start, pin_memory=pin)
    started = _check_batches(check, loader, dataset, device, in_workers=True)
    if device.type == "cuda" and pin and ahead:
        check.expect(started > 0, "no batch was started ahead of its use, so the side stream was never used")
    else:
        check.expect(started == 0, f"{started} batches were started ahead of their use")


def _check_batches(
    check: Check, loader: DataLoader[Any], dataset: Dataset[Any], device: torch.device, *, in_workers: bool
) -> int:
    """Hold every batch of a loader to the direct computation; return how many were started ahead."""
    transform = log_mel().to(device)
    started = same = count = 0
    processes: set[int] = set()
    for count, batch in enumerate(batches(loader), start=1):
        started += "started, by" in repr(batch)
        indices = list(range(4 * (count - 1), 4 * count))
        features, waveforms, lengths = direct(transform, dataset, indices, device)
        for name, value in {
            "features": batch.features, "waveforms": batch.waveforms, "lengths": batch.lengths,
            "feature_lengths": batch.feature_lengths, "feature_mask": batch.feature_mask,
            "label": batch.targets["label"],
        }.items():  # fmt: skip
            check.expect(_same_place(value.device, device), f"batch {count}: {name} is on {value.device}, not {device}")
        if batch.features.shape != features.shape:
            check.problem(f"batch {count}: features {tuple(batch.features.shape)}, must be {tuple(features.shape)}")
            continue
        same += torch.equal(batch.features, features)
        check.within(f"batch {count}, L2", relative_l2(batch.features.double(), features.double()), SAME)
        check.expect(torch.equal(batch.waveforms, waveforms), f"batch {count}: waveforms differ")
        check.expect(torch.equal(batch.lengths, lengths), f"batch {count}: lengths differ")
        frames = transform.frame_lengths(lengths)
        check.expect(torch.equal(batch.feature_lengths, frames), f"batch {count}: feature_lengths differ")
        check.expect(torch.equal(batch.feature_mask.sum(-1), frames), f"batch {count}: feature_mask differs")
        check.expect(batch.targets["label"].tolist() == indices, f"batch {count}: targets {batch.targets['label']}")
        check.expect(batch.names == [f"clip {i}" for i in indices], f"batch {count}: names {batch.names}")
        if in_workers:
            check.expect(not batch.targets["cuda"].any(), f"batch {count}: CUDA is initialized in the worker")
        processes.update(batch.targets["process"].tolist())
    check.expect(count == -(-len(dataset) // 4), f"{count} batches came")  # type: ignore[arg-type]
    if in_workers:
        check.expect(len(processes) == 2 and os.getpid() not in processes, f"clips came from processes {processes}")
    check.note(f"{same} of {count} batches equal bit for bit, {started} started ahead")
    return started


def _same_place(found: torch.device, asked: torch.device) -> bool:
    return found.type == asked.type and (asked.index is None or found.index == asked.index)


def _check_no_workers(check: Check, device: torch.device) -> None:
    """Without a device named, the current accelerator is taken; a dry run names the CPU."""
    dataset = Clips(8)
    collate = GPUSpecCollate(log_mel(), device=None if device.type == "cuda" else device)
    _check_batches(check, make_loader(dataset, collate, start=None), dataset, device, in_workers=False)


def _check_kind(check: Check, device: torch.device, kind: str) -> None:
    dataset = Clips(16, kind=kind)
    collate = GPUSpecCollate(log_mel(), device=device)
    _check_batches(check, make_loader(dataset, collate, pin_memory=True), dataset, device, in_workers=True)
    # 16 bits fit float32 exactly, so the samples are the same however they travel
    there, _, _ = direct(log_mel(), Clips(16), range(16), device)
    here, _, _ = direct(log_mel(), dataset, range(16), device)
    check.expect(torch.equal(here, there), f"features of {kind} samples differ from those of int16")


def _check_trained(check: Check, device: torch.device) -> None:
    transform = log_mel(trainable=True, trainable_mel=True)
    collate = GPUSpecCollate(transform, device=device)
    dataset = Clips(16)
    optimizer: torch.optim.Optimizer | None = None
    for number, batch in enumerate(batches(make_loader(dataset, collate, pin_memory=True))):
        early = "started, by" in repr(batch)
        check.expect(not early, f"batch {number}: started before the parameters of its step were there")
        features = batch.features
        check.expect(features.requires_grad, f"batch {number}: features have no graph")
        with torch.no_grad():
            now = transform(batch.waveforms, batch.lengths)
        # The graph's own way may round otherwise; the last step moved the features by far more than this.
        check.within(f"batch {number}, L2", relative_l2(features.detach().double(), now.double()), 2 * SAME)
        if optimizer is None:  # the parameters are on the device now
            optimizer = torch.optim.SGD(transform.parameters(), lr=1e-6)
        optimizer.zero_grad()
        features.mean().backward()
        for name, parameter in transform.named_parameters():
            grad = parameter.grad
            good = grad is not None and bool(grad.isfinite().all()) and float(grad.abs().sum()) > 0
            check.expect(good, f"batch {number}: the gradient of {name} is missing, zero or not finite")
        with torch.no_grad():
            for parameter in transform.parameters():
                parameter.mul_(1.01)
        optimizer.step()


def _check_error(check: Check, device: torch.device) -> None:
    dataset = Clips(32, magic=13)
    collate = GPUSpecCollate(Failing(), device=device)
    failed = []
    for number, batch in enumerate(batches(make_loader(dataset, collate, pin_memory=True))):
        repr(batch)
        for _ in range(2):  # the second read raises again
            try:
                check.expect(bool(batch.features.isfinite().all()), f"batch {number}: features are not finite")
            except ValueError as error:
                check.expect("the smoke's own error" in str(error), f"batch {number}: raised {error!r}")
                failed.append(number)
    check.expect(failed == [3, 3], f"reads that raised were of batches {failed}, must be [3, 3]")


def _check_epochs(check: Check, device: torch.device, later: int, *, abandon: bool) -> None:
    """Epoch after epoch, left early or not: reserved memory stays, and places ahead are given back."""
    dataset = Clips(64, longest=2 * RATE)
    collate = GPUSpecCollate(log_mel(), device=device)
    loader = make_loader(dataset, collate, pin_memory=True, batch_size=16)
    reserved = []
    for _ in range(2 + later):
        for number, batch in enumerate(batches(loader)):
            batch.features.sum()
            if abandon and number == 1:
                break
        del batch
        gc.collect()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            reserved.append(torch.cuda.memory_reserved(device))
    # private, and asked for only where it is there
    ahead = getattr(getattr(collate, "_runtime", None), "ahead", None)
    if ahead is not None:
        check.expect(ahead.in_flight == 0, f"{ahead.in_flight} places ahead are still taken")
    if reserved:
        growth = reserved[-1] - max(reserved[:2])
        check.within(f"reserved memory, growth over {later} epochs after 2, bytes", max(0, growth), GROWTH)
        check.note(f"reserved {[size >> 20 for size in reserved]} MiB")
    else:
        check.note("memory is counted on CUDA only")
