"""Memory that a DataLoader's worker shares with the training process: a batch's samples, written without a page fault.

Torch's own shared memory is allocated page by page in /dev/shm, cleared, and written through a mapping, which faults at
every page: a third of the time of decoding. Here the samples go to an anonymous file by `pwrite`, which fills whole
pages; what pads a clip is not written in a fresh file, since a file's gaps read as zeros. Such a file has no name that
could stay behind, and is not bound by the size of /dev/shm, which is 64 MB in a container as a rule. Once the training
process has let go of it, a later batch is written there, so that no page is taken from the system and given back.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from multiprocessing import reduction
from typing import Any

import numpy as np
import torch

from audiofeed.data.shared.batch_rows import SMALL, in_worker_process
from audiofeed.parallel.lent_files import LentFiles, Ticket, can_lend, taken, write_all

_lent = LentFiles()


def _forget_files() -> None:
    """Let a forked process lend files of its own; those of its parent are that parent's."""
    global _lent
    _lent = LentFiles()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_files)


def shared_rows(rows: Iterable[np.ndarray], shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor | None:
    """Write rows of samples, each followed by zeros, into a tensor in memory that other processes can map.

    Args:
        rows: Samples of the dtype, as many as `shape` has rows, each no longer than its last dimension.
        shape: Of the tensor, (..., time).
        dtype: Of the tensor.

    Returns:
        The tensor, shared as `Tensor.share_memory_` would share it; None where this system or torch's sharing strategy
        has no files without a name.

    Raises:
        OSError: There is no memory left for them.

    >>> shared = shared_rows([np.float32([1, 2]), np.float32([3])], (2, 3), torch.float32)
    >>> None if shared is None else shared.tolist()
    [[1.0, 2.0, 0.0], [3.0, 0.0, 0.0]]
    """
    if not hasattr(os, "memfd_create") or torch.multiprocessing.get_sharing_strategy() != "file_descriptor":
        return None
    step = shape[-1] * dtype.itemsize
    size = math.prod(shape) * dtype.itemsize
    lends = size > SMALL and can_lend()
    file = _lent.lend(rows, step, size) if lends else _written(rows, step, size)
    try:
        storage = torch.UntypedStorage._new_shared_fd_cpu(file, size)  # type: ignore[attr-defined]  # keeps its own
    finally:
        os.close(file)
    tensor = torch.empty(0, dtype=dtype, device="cpu").set_(storage, 0, shape)  # type: ignore[call-overload]
    if lends:
        vars(tensor)["lent"] = _lent.latest
    return tensor


class LentTensor:
    """Tensor in a file that a worker lends, which the training process takes by its path; a tensor comes out again.

    Args:
        tensor: As `shared_rows` made it.
        file: What it lies in, from its first byte on.
    """

    __slots__ = ("file", "tensor")

    def __init__(self, tensor: torch.Tensor, file: Any) -> None:
        self.tensor, self.file = tensor, file

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self.tensor,)


def _itself(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def _send(lent: LentTensor) -> tuple[Any, ...]:
    """Send a batch's tensor in a lent file to a process that multiprocessing writes to."""
    ticket = lent.file.ticket()
    if ticket is None:
        return lent.__reduce__()
    return _received, (ticket, lent.tensor.dtype, tuple(lent.tensor.shape))


def _received(ticket: Ticket, dtype: torch.dtype, shape: tuple[int, ...]) -> torch.Tensor:
    """Take a batch's tensor from the worker that lends it."""
    file = taken(ticket)
    try:
        size = math.prod(shape) * dtype.itemsize
        storage = torch.UntypedStorage._new_shared_fd_cpu(file, size)  # type: ignore[attr-defined]
    finally:
        os.close(file)
    return torch.empty(0, dtype=dtype, device="cpu").set_(storage, 0, shape)  # type: ignore[call-overload]


reduction.ForkingPickler.register(LentTensor, _send)


def sent(tensor: torch.Tensor) -> Any:
    """Return a batch's samples in the form in which they are pickled: see `LentTensor`; others as they are.

    >>> sent(torch.zeros(2)).tolist()
    [0.0, 0.0]
    """
    file = vars(tensor).get("lent") if in_worker_process() else None
    return tensor if file is None else LentTensor(tensor, file)


def _written(rows: Iterable[np.ndarray], step: int, size: int) -> int:
    """Return a new file in memory that holds rows, each at the next multiple of `step` bytes."""
    file = os.memfd_create("audiofeed-batch", os.MFD_CLOEXEC)
    try:
        os.ftruncate(file, size)
        for number, row in enumerate(rows):
            write_all(file, np.ascontiguousarray(row).data.cast("B"), number * step)
    except BaseException:
        os.close(file)
        raise
    return file


class LightTensor:
    """Small tensor whose pickle holds its numbers, not a handle of shared memory; a tensor comes out again.

    Args:
        tensor: On the CPU, dense.

    >>> import pickle
    >>> pickle.loads(pickle.dumps(LightTensor(torch.arange(3))))
    tensor([0, 1, 2])
    """

    __slots__ = ("_tensor",)

    def __init__(self, tensor: torch.Tensor) -> None:
        self._tensor = tensor

    def __reduce__(self) -> tuple[Any, ...]:
        numbers = self._tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        return _heavy, (numbers, self._tensor.dtype, tuple(self._tensor.shape))


def light(tensor: torch.Tensor) -> Any:
    """Return a small tensor of a batch in the form in which its numbers are in the pickle, and others as they are.

    >>> type(light(torch.arange(3))).__name__, type(light(torch.zeros(10**6))).__name__
    ('LightTensor', 'Tensor')
    """
    if type(tensor) is not torch.Tensor or tensor.device.type != "cpu" or tensor.layout != torch.strided:
        return tensor
    if tensor.requires_grad or tensor.is_shared() or tensor.is_quantized or tensor.is_conj() or tensor.is_neg():
        return tensor
    return tensor if tensor.numel() * tensor.element_size() > SMALL else LightTensor(tensor)


def _heavy(numbers: bytes, dtype: torch.dtype, shape: tuple[int, ...]) -> torch.Tensor:
    if not numbers:
        return torch.empty(shape, dtype=dtype, device="cpu")
    return torch.frombuffer(bytearray(numbers), dtype=dtype).reshape(shape)
