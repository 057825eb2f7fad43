"""The way of samples to the device: through the ring of pinned buffers, through a fresh pin a batch, and without."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from audiofeed.feed import GPUSpecCollate
from audiofeed.feed.padding import Padded
from audiofeed.feed.states.bus import Bus
from audiofeed.feed.states.pinned_ring import DeviceMemory, PinnedRing
from gpu.checks import Check, Recorder
from gpu.clips import RATE, Clips, log_mel
from gpu.feeding import SAME, batches, direct, make_loader

SECTION = "bus"
# Batches that are pinned and not copied, copied and not done, and the one in work: no more are about at a time.
MOST_PINS = 8
# of large matrices, some 2 ms each, between a host and the copies that it is ahead of
PRODUCTS = (8, 32, 128)
Row = dict[str, Any]


class PlainMemory(DeviceMemory):
    """Memory of a dry run, in which nothing is page-locked and every copy is done."""

    def empty(self, size: int) -> torch.Tensor:
        """A buffer."""
        return torch.empty(size, dtype=torch.uint8)

    def is_pinned(self, tensor: torch.Tensor) -> bool:
        """Nothing is."""
        return False

    def mark(self, device: torch.device) -> Any:
        """Whatever."""
        return True

    def is_done(self, event: Any) -> bool:
        """It is."""
        return True


class NoGuard(PinnedRing):
    """A ring that gives a buffer away while a copy may still read it: what the check must find."""

    def _is_free(self, slot: Any) -> bool:
        return not slot.is_held


def memory_of(device: torch.device) -> DeviceMemory:
    """The page-locked memory of a device."""
    return DeviceMemory() if device.type == "cuda" else PlainMemory()


def run(recorder: Recorder, device: torch.device, *, quick: bool) -> list[Row]:
    """Hold what arrives through the ring to what was sent, count its pins, and time it against a fresh pin."""
    count = 20 if quick else 100
    with recorder.check(SECTION, f"{count} batches of a loader through the ring") as check:
        _check_loader(check, device, count)
    for kind in ("guarded", "without the guard"):
        with recorder.check(SECTION, f"{count} copies behind a busy stream, {kind}") as check:
            _check_behind(check, device, count, guarded=kind == "guarded")
    return _timed(recorder, device, quick=quick)


def _check_loader(check: Check, device: torch.device, count: int) -> None:
    dataset, transform = Clips(4 * count), log_mel()
    collate = GPUSpecCollate(transform, device=device)
    loader = make_loader(dataset, collate, start=None, pin_memory=device.type == "cuda")
    before, worst = _host_allocations(), 0.0
    for number, batch in enumerate(batches(loader)):
        features, waveforms, lengths = direct(transform, dataset, range(4 * number, 4 * number + 4), device)
        check.expect(torch.equal(batch.waveforms, waveforms), f"batch {number}: waveforms differ")
        check.expect(torch.equal(batch.lengths, lengths), f"batch {number}: lengths differ")
        worst = max(worst, float((batch.features - features).abs().max() / features.abs().max()))
    check.within("features, share of their largest", worst, SAME)
    stats = collate.stats()
    check.note(str(stats))
    if device.type != "cuda":
        return
    check.expect(stats.batches == count, f"{stats.batches} of {count} batches were counted")
    check.expect(0 < stats.pins <= MOST_PINS, f"{stats.pins} buffers were pinned, must be 1 to {MOST_PINS}")
    check.expect(stats.apart == 0, f"{stats.apart} batches had no buffer")
    check.expect(stats.pins + stats.reuses == count, f"{stats.pins} made and {stats.reuses} used again, of {count}")
    after = _host_allocations()
    if before is not None and after is not None:
        check.note(f"{after - before} allocations of page-locked memory by torch's own count")


def _check_behind(check: Check, device: torch.device, count: int, *, guarded: bool) -> None:
    """Copies that wait behind other work of their stream, and a host that is far ahead of them.

    How far ahead depends on the host: without the guard, work is added until a copy comes too late to be right.
    """
    if device.type != "cuda" and not guarded:
        check.skip("needs CUDA: a CPU copies at once")
        return
    for products in (8,) if guarded else PRODUCTS:
        ring = (PinnedRing if guarded else NoGuard)(memory_of(device))
        wrong = _copied_behind(ring, device, count, products)
        check.note(f"{wrong} of {count} wrong, {ring.pins} buffers made, {ring.reuses} used again, {products} products")
        if guarded:
            check.expect(wrong == 0, f"{wrong} of {count} batches arrived with another's samples")
            return
        if wrong:
            return
    check.problem("not one wrong batch: the check does not see what it is there for")


def _copied_behind(ring: PinnedRing, device: torch.device, count: int, products: int) -> int:
    """Copy batches behind so many products of large matrices in turn; return how many arrived with other samples."""
    heavy = torch.eye(4096 if device.type == "cuda" else 16, device=device)
    arrived = []
    for number in range(count):
        if number % 10 == 0:
            for _ in range(products):
                heavy = heavy @ heavy
        load = ring.load(torch.full((2**20,), number % 30_000, dtype=torch.int16))
        there = load.values.to(device, non_blocking=True)
        arrived.append((there.clone() if device.type != "cuda" else there).amin())
        arrived.append((there.clone() if device.type != "cuda" else there).amax())
        load.copied(device)
    found = torch.stack(arrived).cpu().reshape(-1, 2)
    sent = torch.arange(count, dtype=found.dtype)
    return int((found != sent[:, None]).any(1).sum())


def _timed(recorder: Recorder, device: torch.device, *, quick: bool) -> list[Row]:
    """Milliseconds of the host for a batch, and of all until the device has it."""
    rows: list[Row] = []
    on_cuda = device.type == "cuda"
    clips, seconds = (64, 30.0) if on_cuda else (2, 0.5)
    samples = int(clips * seconds * RATE)
    sent = torch.randint(-3000, 3000, (clips, samples // clips), dtype=torch.int16)
    lengths, targets = torch.full((clips,), samples // clips), torch.arange(clips)
    padded = Padded(sent, lengths, targets, None, RATE, torch.arange(clips))
    for name, move in _ways(device).items():
        with recorder.check(SECTION, f"{clips} x {seconds:g} s of int16, {name}") as check:
            host, whole = [], []
            for repeat in range(3 if quick or not on_cuda else 12):
                began = time.perf_counter()
                there = move(padded)
                host.append(time.perf_counter() - began)
                if on_cuda:
                    torch.cuda.synchronize(device)
                whole.append(time.perf_counter() - began)
                if repeat == 0:
                    check.expect(torch.equal(there.waveforms.cpu(), sent), "other samples arrived")
            row: Row = {"way": name, "batch": f"{clips} x {seconds:g} s", "first_ms": 1e3 * whole[0],
                        "host_ms": 1e3 * statistics.median(host[1:]),
                        "whole_ms": 1e3 * statistics.median(whole[1:])}  # fmt: skip
            rows.append(row)
            check.note(f"{row['host_ms']:.2f} ms of the host, {row['whole_ms']:.2f} ms until it is there, the first "
                       f"{row['first_ms']:.2f} ms")  # fmt: skip
    return rows


def _ways(device: torch.device) -> dict[str, Callable[[Padded], Padded]]:
    bus = Bus(memory_of(device))

    def by_ring(padded: Padded) -> Padded:
        shapes, load = bus.load(padded)
        return bus.move(shapes, load, device)

    def by_torch(padded: Padded) -> Padded:
        pinned = padded.pin_memory() if device.type == "cuda" else padded
        return pinned.to(device, non_blocking=True)

    def by_fresh(padded: Padded) -> Padded:
        empty = getattr(torch._C, "_host_emptyCache", None)
        if device.type == "cuda" and empty is not None:
            torch.cuda.synchronize(device)
            empty()
        return by_torch(padded)

    return {
        "the ring": by_ring,
        "torch's pin_memory, which keeps what it pinned": by_torch,
        "pin_memory with torch's cache emptied": by_fresh,
        "from memory that is not page-locked": lambda padded: padded.to(device),
    }


def _host_allocations() -> int | None:
    """Times that torch asked the driver for page-locked memory; None where it does not tell."""
    stats = getattr(torch.cuda, "host_memory_stats", None)
    found = stats() if stats is not None and torch.cuda.is_available() else {}
    return found.get("num_host_alloc")
