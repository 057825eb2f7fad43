"""The hash behind an augmentation's draws by a kernel: one call where torch takes a dozen."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import torch

from audiofeed.augment.kernels.hash_code import write_hashes, write_streams
from audiofeed.methods.short_time.kernel import jit
from audiofeed.parallel.observed import in_memory


@functools.lru_cache(maxsize=2)
def _kernel(uniform: bool) -> jit.Machine | None:
    return jit.compiled(write_hashes(uniform))


@functools.lru_cache(maxsize=1)
def _stream_kernel() -> jit.Machine | None:
    return jit.compiled(write_streams())


def hashes(seeds: torch.Tensor, n: int, first: int, *, uniform: bool = False) -> torch.Tensor | None:
    """Hash each seed for an augmentation as `contract.noise.hashes` does; None where no kernel can.

    Args:
        seeds: int64 (batch,).
        n: Numbers of each.
        first: The first number.
        uniform: Whether to return the upper 53 bits of each as a float64 in [0, 1).
    """
    # a compiler sees what is not in memory, and no more of this
    if seeds.device.type != "cpu" or not in_memory(seeds) or not jit.lanes():
        return None
    machine = _kernel(uniform)
    if machine is None:
        return None
    seeds = seeds.contiguous()
    found = torch.empty(len(seeds), n, dtype=torch.float64 if uniform else torch.int64, device="cpu")
    machine.run_job(np.array((seeds.data_ptr(), len(seeds), n, first, found.data_ptr()), np.int64), 1)
    return found


class Streams(NamedTuple):
    """Streams of draws of an augmentation's members, for the clips of a batch.

    Args:
        given: int64 (members, batch), the seeds of each member.
        own: int64 (members, batch), of its stream of draws.
        first: float64 (members, batch, n), the first numbers in [0, 1) of that.
    """

    given: np.ndarray
    own: np.ndarray
    first: np.ndarray


def streams(seeds: torch.Tensor, steps: np.ndarray, names: np.ndarray, n: int) -> Streams | None:
    """Derive the seeds of an augmentation's members, and what each draws first; None where no kernel can.

    Args:
        seeds: int64 (batch,).
        steps: int64 (members,), what is added to the seeds for each, as `contract.draws.stream_seeds` does.
        names: int64 (members,), what is added to those for its draws.
        n: Numbers of each.
    """
    if seeds.device.type != "cpu" or not in_memory(seeds) or not jit.lanes():
        return None
    machine = _stream_kernel()
    if machine is None:
        return None
    seeds = seeds.contiguous()
    members, batch = len(steps), seeds.shape[0]
    given, own = np.empty((2, members, batch), np.int64)
    found = Streams(given, own, np.empty((members, batch, n)))
    address = [each.__array_interface__["data"][0] for each in (steps, names, *found)]
    job = (seeds.data_ptr(), batch, *address[:2], members, n, *address[2:])
    machine.run_job(np.array(job, np.int64), 1)
    return found
