"""Ranks of a distributed run as the samplers of sampling/ see them, and a check that all of them hold the same data."""

from __future__ import annotations

import hashlib
import operator
import sys
from typing import Any

import torch
import torch.distributed as dist

# the sampler, torch's BatchSampler and a shard around it
_CALLERS = 4


def check_rank(rank: Any, world_size: Any) -> tuple[int, int] | None:
    """Check a sampler's arguments `rank` and `world_size`.

    Args:
        rank: Number of this process, or None.
        world_size: Number of processes, or None.

    Returns:
        Both, or None if both are None.

    Raises:
        ValueError: One is None and the other is not, `world_size` is below 1, or `rank` is not below it.

    >>> check_rank(1, 2)
    (1, 2)
    """
    if rank is None and world_size is None:
        return None
    if rank is None or world_size is None:
        raise ValueError(
            f"rank={rank!r}, world_size={world_size!r} must be given together, or neither, for torch.distributed's"
        )
    rank, world_size = operator.index(rank), operator.index(world_size)
    if not 0 <= rank < world_size:
        raise ValueError(f"rank={rank} must be 0 or more and below world_size={world_size}")
    return rank, world_size


def current_rank(given: tuple[int, int] | None) -> tuple[int, int]:
    """Return a sampler's rank and world size: those given, or torch.distributed's, or 0 of 1 if that does not run.

    Args:
        given: As `check_rank` returns it.

    >>> current_rank((1, 2)), current_rank(None)
    ((1, 2), (0, 1))
    """
    if given is not None:
        return given
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def check_dealt_once(world_size: int, sampler: str) -> None:
    """Check that nobody deals out again what a sampler that is about to be iterated deals to the ranks by itself.

    Accelerate's `prepare` puts a shard of its own around the batch sampler of a loader, and with two processes each
    would then see a quarter of the clips, without a word.

    Args:
        world_size: Number of ranks that the sampler deals to.
        sampler: Its name, for the message.

    Raises:
        ValueError: The sampler is iterated by such a shard.

    >>> check_dealt_once(2, "EpochSampler")
    """
    if world_size == 1:
        return
    frame = sys._getframe(1)
    for _ in range(_CALLERS):
        if frame.f_back is None:
            return
        frame = frame.f_back
        owner = frame.f_locals.get("self")
        processes = getattr(owner, "num_processes", 1) if hasattr(owner, "batch_sampler") else 1
        if isinstance(processes, int) and processes > 1:
            raise ValueError(
                f"a {type(owner).__name__} deals this {sampler} to {processes} processes, and the sampler deals to "
                f"{world_size} by itself, so that each would see a part of its part: pass it rank=0, world_size=1, "
                "or leave its loader out of accelerator.prepare"
            )


def check_same(parts: dict[str, Any]) -> None:
    """Check that all ranks of torch.distributed hold the same in a sampler; every rank must call it.

    Args:
        parts: What must be alike, by name.

    Raises:
        ValueError: Some ranks hold something else than rank 0, on every rank.

    >>> check_same({"clips": 3})  # one process
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return
    device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")
    own = torch.tensor([_number(value) for value in parts.values()], dtype=torch.int64, device=device)
    every = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(every, own)
    table = torch.stack(every).cpu()
    wrong = {}
    for column, (name, value) in enumerate(parts.items()):
        ranks = (table[:, column] != table[0, column]).nonzero().ravel().tolist()
        if ranks:
            wrong[name] = f"{name} on rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))} (here: {value!r})"
    if wrong:
        raise ValueError(
            f"the ranks do not hold the same: other {'; other '.join(wrong.values())} than on rank 0. Every rank must "
            "make its sampler from the same files and settings: scan once and share the manifest or the index"
        )


def _number(value: Any) -> int:
    """Hash what a sampler holds to 63 bits, the same in every process."""
    return int.from_bytes(hashlib.blake2b(repr(value).encode(), digest_size=8).digest(), "big") >> 1
