"""How many threads decode the clips of a batch in this process: the training process, or a DataLoader's worker."""

from __future__ import annotations

import os

import torch
from torch.utils.data import get_worker_info

from audiofeed.parallel.busy_cores import idle_cores

# Threads of a worker: with more they wait for the interpreter, and for each other at the end of a batch
MOST = 4


def threads_here(n_clips: int) -> int:
    """Return how many threads are to decode so many clips here.

    In a worker torch computes with one thread. Where there are fewer workers than cores, a worker decodes in as many as
    its share of the cores, but takes none that anybody else wants at this moment: the training process computes
    features there, and other ranks have workers of their own.

    Args:
        n_clips: Clips of the batch, 0 or more.

    >>> threads_here(0)
    0
    """
    own = min(torch.get_num_threads(), n_clips)
    info = get_worker_info()
    # workers that are threads of the training process have torch's own number
    if info is None or getattr(info, "worker_method", None) == "thread":
        return own
    share = min(_cores() // info.num_workers, MOST, n_clips)
    return max(own, min(share, 1 + idle_cores())) if share > own else own


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # elsewhere than on Linux
        return os.cpu_count() or 1
