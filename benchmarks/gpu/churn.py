"""The side stream while the training stream is busy, late, and takes and frees memory all the time."""

from __future__ import annotations

import itertools
import random
from typing import Any

import torch

from audiofeed.feed import GPUSpecCollate
from audiofeed.feed.states import side_streams
from gpu.checks import Recorder
from gpu.clips import RATE, Clips, Delayed, log_mel
from gpu.feeding import SAME, batches, direct, make_loader

SECTION = "side stream"
SIZES = (2048, 4096, 6144)


class NoWait(side_streams.DeviceStreams):
    """Streams whose reader does not wait for the work: what the check must find."""

    def wait(self, stream: Any, event: Any) -> None:
        """Forget it."""


class NoKeep(side_streams.DeviceStreams):
    """Streams whose reader does not keep the memory for itself: what the check may find."""

    def keep(self, tensor: torch.Tensor, stream: Any) -> None:
        """Forget it."""


def run(recorder: Recorder, device: torch.device, *, quick: bool) -> None:
    """Verify every batch of a long loop, then show that the loop finds a missing wait."""
    count = 24 if quick else 400
    with recorder.check(SECTION, f"{count} batches under allocator churn, every one verified") as check:
        wrong, worst, started = _loop(device, count, None)
        check.within("largest error, nats", worst, 2.0**13 * torch.finfo(torch.float32).eps)
        check.expect(wrong == 0, f"{wrong} of {count} batches differ by more than {SAME:.1e} of their largest value")
        check.note(f"{started} started ahead")
        if device.type == "cuda":
            check.expect(started > count // 4, f"only {started} of {count} batches were started ahead")
    for sabotaged, must in ((NoWait, True), (NoKeep, False)):
        with recorder.check(SECTION, f"the same loop, sabotaged: {sabotaged.__name__}") as check:
            if device.type != "cuda":
                check.skip("needs CUDA: a CPU has no side stream")
                continue
            wrong = 0
            for size in SIZES:  # until the work is late enough for this host
                wrong, _, started = _loop(device, 100, sabotaged(), size)
                check.note(f"{wrong} of 100 batches wrong, {started} started ahead, work of {size}")
                if wrong:
                    break
            check.expect(wrong > 0, "not one wrong batch: the check does not see what it is there for")
            if not must:
                # whether freed memory is taken again in time is up to the allocator
                check.inform()


def _loop(
    device: torch.device, count: int, backend: side_streams.StreamBackend | None, size: int = SIZES[0]
) -> tuple[int, float, int]:
    """Run `count` batches; return how many were wrong, the largest error, and how many were started ahead.

    `size` is that of the matrices whose products make either stream late.

    Nothing here waits for the device until the end, so that the training stream really is late.
    """
    on_cuda = device.type == "cuda"
    size = size if on_cuda else 32
    transform = Delayed(log_mel(), size)
    collate = GPUSpecCollate(transform, device=device)
    if backend is not None:
        runtime: Any = collate._runtime
        runtime.ahead._backend = backend
    dataset = Clips(64, longest=RATE)
    groups = [list(range(8 * k, 8 * k + 8)) for k in range(8)]
    references = [direct(log_mel(), dataset, group, device)[0] for group in groups]
    order = list(itertools.islice(itertools.cycle(groups), count))
    # no sampler in batches of its own: the list of index lists is the batch sampler
    loader = make_loader(dataset, collate, pin_memory=True, batch_size=1, batch_sampler=order)
    chance = random.Random(0)
    heavy = torch.eye(size, device=device)
    held: list[torch.Tensor] = []
    errors: list[torch.Tensor] = []
    started = 0
    for number, batch in enumerate(batches(loader)):
        started += "started, by" in repr(batch)
        features = batch.features
        if number % 2:  # late: the batch is read long after the CPU has let go of the one before
            heavy = _work(heavy)
        reference = references[number % len(groups)]
        errors.append((features - reference).abs().amax())
        del features, batch
        _churn(held, chance, device, 2**22 if on_cuda else 2**12)
        if number % 3 == 0:
            heavy = _work(heavy)
    largest = torch.stack(errors).nan_to_num(nan=float("inf"))
    limit = SAME * max(float(reference.abs().max()) for reference in references)
    assert len(errors) == count
    return int((largest > limit).sum()), float(largest.max()), started


def _work(square: torch.Tensor) -> torch.Tensor:
    for _ in range(4):
        square = square @ square
    return square


def _churn(held: list[torch.Tensor], chance: random.Random, device: torch.device, largest: int) -> None:
    """Take memory of a random size, write into it, and free some taken before."""
    for _ in range(4):
        held.append(torch.full((chance.randrange(1, largest),), float("nan"), device=device))
    chance.shuffle(held)
    del held[chance.randrange(1, 9) :]
