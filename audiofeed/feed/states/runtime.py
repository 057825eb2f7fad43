"""The live transform of a collate: found by a token, owned by one process, placed on one device."""

from __future__ import annotations

import os
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Literal

import torch
from torch.utils.data import get_worker_info

from audiofeed.arguments.meta_device import check_has_values
from audiofeed.feed.states.bus import Bus
from audiofeed.feed.states.feature_padding import FeaturePadding
from audiofeed.feed.states.ranks import trained_apart
from audiofeed.feed.states.side_streams import Ahead, StreamBackend
from audiofeed.feed.transform_contract import unwrapped

# Weak: a runtime lives as long as its collate or one of its batches does.
_live: weakref.WeakValueDictionary[str, Runtime] = weakref.WeakValueDictionary()


class Runtime:
    """Runtime of a collate: its live transform in the process that computes features.

    A batch from a DataLoader worker carries the token only, and finds the runtime by it.

    Args:
        transform: The module that computes features.
        augment: The augmentation of waveforms, called before it.
        device: Where features are computed; None is decided at first use.
        max_ahead: Limit of batches that are computed ahead of use.
        backend: The streams to compute ahead on; None is the device's.
        padding: What stands past each clip's end in the features.
        token: The token of the collate, where this is the runtime of its copy in another process; None makes one.
        unsynchronized: "error" refuses to train the modules in a group of processes that do not average their
            gradients, "allow" does not look.
    """

    def __init__(
        self,
        transform: torch.nn.Module,
        augment: Callable[..., Any] | None,
        device: torch.device | None,
        max_ahead: int,
        backend: StreamBackend | None = None,
        padding: FeaturePadding | None = None,
        token: str | None = None,
        unsynchronized: Literal["error", "allow"] = "error",
    ) -> None:
        self.token = uuid.uuid4().hex if token is None else token
        self.padding = FeaturePadding() if padding is None else padding
        self.transform = transform
        self.augment = augment
        self.asked_device = device
        self.max_ahead = max_ahead
        self._backend = backend
        self.unsynchronized = unsynchronized
        self._are_together = False
        self._enter_process()
        _live[self.token] = self

    def _enter_process(self) -> None:
        """Bind a collate's runtime to this process, in which nothing is placed or started yet."""
        self._pid = os.getpid()
        self._device: torch.device | None = None
        self._placing = threading.Lock()
        self.ahead = Ahead(self.max_ahead, self._backend)
        # What a fork inherits is kept: its page-locked buffers can only be given back where they were made.
        self._inherited = getattr(self, "_inherited", None), getattr(self, "bus", None)
        self.bus = Bus()

    def is_here(self) -> bool:
        """Return True if a collate's runtime may compute features in this process.

        It may if the process built the collate, or was forked by one that did.
        """
        if self._pid == os.getpid():
            return True
        if get_worker_info() is not None:
            return False
        # A forked process that is not a DataLoader worker (a notebook launcher's rank) has its own copy of the module.
        self._enter_process()
        return True

    def device(self) -> torch.device:
        """Return the device of features in a collate's runtime.

        `device=None` leaves it to the first use in the training process.
        """
        if self._device is None:
            accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
            device = self.asked_device or accelerator or torch.device("cpu")
            if device.index is None and accelerator is not None and device.type == accelerator.type:
                device = torch.device(device.type, _current_index(device))
            self._device = device
        return self._device

    def modules(self) -> list[torch.nn.Module]:
        """Return the modules of a collate's runtime: transform, and the augmentation if it is a module."""
        return [module for module in (self.transform, self.augment) if isinstance(module, torch.nn.Module)]

    def check_ranks(self) -> None:
        """Check that ranks which train a collate's modules average their gradients.

        Raises:
            RuntimeError: There are several, and a trained parameter is in no module that does so.
        """
        if self.unsynchronized == "allow" or self._are_together:
            return
        apart = trained_apart(self.modules())
        if apart:
            trained = apart[0] if len(apart) == 1 else f"{apart[0]} and {len(apart) - 1} more"
            raise RuntimeError(
                f"the transform {type(unwrapped(self.transform)).__name__} is trained ({trained}) in a group of "
                "several processes, and nothing averages its gradients over them, so that each would get another one: "
                "register it in the model before DistributedDataParallel wraps that (self.transform = transform in its "
                "__init__), or give GPUSpecCollate(DistributedDataParallel(transform)), or put it into the model's "
                "forward and collate with PadCollate. If you average gradients yourself, or want each process to train "
                "its own: unsynchronized='allow'"
            )
        self._are_together = torch.distributed.is_available() and torch.distributed.is_initialized()

    def place(self) -> None:
        """Move the modules of a collate's runtime to its device if they are not there."""
        device = self.device()
        with self._placing:
            strays = [
                module for module in self.modules() if any(tensor.device != device for tensor in _tensors_of(module))
            ]
            for module in strays:
                check_has_values("transform" if module is self.transform else "augment", module)
                module.to(device)
            if strays and device.type in ("cuda", "xpu"):
                # Other streams will read these tensors without waiting for this one. Once per module.
                torch.get_device_module(device).current_stream(device).synchronize()


def find_runtime(token: str) -> Runtime | None:
    """Return the live runtime of a collate by its token.

    None if it is in another process or was deleted.
    """
    return _live.get(token)


def _tensors_of(module: torch.nn.Module) -> Iterator[torch.Tensor]:
    """Yield the parameters and buffers of a module, some of them twice: for each batch, so without building names."""
    left = [module]
    while left:
        one = left.pop()
        for tensor in chain(one._parameters.values(), one._buffers.values()):
            if tensor is not None:
                yield tensor
        left += [child for child in one._modules.values() if child is not None]


def _current_index(device: torch.device) -> int:
    try:
        index: int = torch.get_device_module(device).current_device()
    except AttributeError:  # MPS has one device, and no function for its index
        return 0
    return index
