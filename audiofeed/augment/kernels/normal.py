"""An augmentation's normal numbers by a kernel: one pass that writes nothing else, where torch takes a dozen."""

from __future__ import annotations

import functools

import numpy as np
import torch

from audiofeed.augment.kernels.normal_code import JOB, write_normal
from audiofeed.methods.short_time.kernel import jit
from audiofeed.parallel.kept_memory import kept_empty
from audiofeed.parallel.observed import in_memory

# Numbers that a thread makes before it asks for more: 50 us of work; a multiple of any vector
_PIECE = 2**15


@functools.lru_cache(maxsize=4)
def _kernel(lanes: int, pairs: bool) -> jit.Machine | None:
    return jit.compiled(write_normal(lanes, pairs))


def normal(seeds: torch.Tensor, n: int, first: int = 0, *, pairs: bool = False) -> list[torch.Tensor] | None:
    """Draw an augmentation's normal numbers as `contract.noise.normal_noise` does; None where no kernel can.

    Args:
        seeds: int64 (batch,).
        n: Numbers of each.
        first: The first number.
        pairs: Whether to return those of `contract.noise.normal_pairs`.

    Returns:
        One or two float32 (batch, n).
    """
    # a compiler sees what is not in memory, and no more of this
    if seeds.device.type != "cpu" or not in_memory(seeds) or not jit.lanes():
        return None
    machine = _kernel(jit.lanes(), pairs)
    if machine is None:
        return None
    seeds = seeds.contiguous()
    found = [kept_empty((len(seeds), n), torch.float32) for _ in range(2 if pairs else 1)]
    pieces_of_each = -(-n // _PIECE)
    n_pieces = pieces_of_each * len(seeds)
    job = {
        "next_piece": 0,
        "n_pieces": n_pieces,
        "pieces_of_each": pieces_of_each,
        "size": _PIECE,
        "seeds": seeds.data_ptr(),
        "n": n,
        "first": first,
        "cosines": found[0].data_ptr(),
        "sines": found[-1].data_ptr(),
    }
    n_threads = max(1, min(torch.get_num_threads(), n_pieces, found[0].numel() // jit.FEW_SAMPLES))
    machine.run_job(np.array([job[name] for name in JOB], np.int64), n_threads)
    return found
