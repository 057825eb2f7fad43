"""Where an operation costs its launch before its arithmetic: on a GPU, which waits while Python starts the next one."""

from __future__ import annotations

from collections.abc import Callable

import torch

# devices whose operations run as they are called; emptied by tests, which so see a GPU's way of computing on a CPU
AT_ONCE = ["cpu", "meta"]


def launches(x: torch.Tensor) -> bool:
    """Return whether operations on a tensor are launched, so that few of them are worth more than little work.

    >>> launches(torch.zeros(3))
    False
    """
    # asking for the device makes an object
    return ("cpu" if x.is_cpu else x.device.type) not in AT_ONCE


# torch makes an object for each stream that is asked for, which takes as long as a launch; None: it has no such way
_ADDRESS_OF_STREAM: Callable[[int], int] | None = getattr(torch._C, "_cuda_getCurrentRawStream", None)


def stream_address(device: torch.device | None = None) -> int:
    """Return the address of torch's current stream of a CUDA device, for what the driver launches itself.

    Args:
        device: of CUDA; None: the current one.
    """
    index = None if device is None else device.index
    if _ADDRESS_OF_STREAM is None:
        address: int = torch.cuda.current_stream(index).cuda_stream
        return address
    return _ADDRESS_OF_STREAM(torch.cuda.current_device() if index is None else index)


def capturing() -> bool:
    """Return whether a CUDA graph is being captured, which nothing may be copied into from the host."""
    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()
