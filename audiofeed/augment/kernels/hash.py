"""The hash behind an augmentation's draws by a kernel: one call where torch takes a dozen."""

from __future__ import annotations

import functools

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


def streams(seeds: torch.Tensor, steps: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Derive the seeds of streams of an augmentation's draws, and their first numbers; None where no kernel can.

    Args:
        seeds: int64 (batch,).
        steps: int64 (streams,), what is added to the seeds of each, as `contract.draws.stream_seeds` does.
        n: Numbers in [0, 1) of each; may be 0.

    Returns:
        int64 (streams, batch), and float64 (streams, batch, n).
    """
    if seeds.device.type != "cpu" or not in_memory(seeds) or not jit.lanes():
        return None
    machine = _stream_kernel()
    if machine is None:
        return None
    seeds = seeds.contiguous()
    batch = seeds.shape[0]
    own, found = np.empty((len(steps), batch), np.int64), np.empty((len(steps), batch, n))
    address = [each.__array_interface__["data"][0] for each in (steps, own, found)]
    job = (seeds.data_ptr(), batch, address[0], len(steps), n, address[1], address[2])
    machine.run_job(np.array(job, np.int64), 1)
    return own, found
