"""Where an operation costs its launch before its arithmetic: on a GPU, which waits while Python starts the next one."""

from __future__ import annotations

import torch

# devices whose operations run as they are called; emptied by tests, which so see a GPU's way of computing on a CPU
AT_ONCE = ["cpu", "meta"]


def launches(x: torch.Tensor) -> bool:
    """Return whether operations on a tensor are launched, so that few of them are worth more than little work.

    >>> launches(torch.zeros(3))
    False
    """
    return x.device.type not in AT_ONCE


def capturing() -> bool:
    """Return whether a CUDA graph is being captured, which nothing may be copied into from the host."""
    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()
