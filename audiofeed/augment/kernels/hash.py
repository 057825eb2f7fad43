"""The hash behind an augmentation's draws by a kernel: one call where torch takes a dozen."""

from __future__ import annotations

import functools

import numpy as np
import torch

from audiofeed.augment.kernels.hash_code import write_hashes
from audiofeed.methods.short_time.kernel import jit
from audiofeed.parallel.observed import in_memory


@functools.lru_cache(maxsize=2)
def _kernel(uniform: bool) -> jit.Machine | None:
    return jit.compiled(write_hashes(uniform))


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
