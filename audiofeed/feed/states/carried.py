"""The transform that a pickled collate takes along, so that a batch gets its features in another training process."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from multiprocessing.context import get_spawning_popen
from typing import Any, Literal

import torch

from audiofeed.feed.states.feature_padding import FeaturePadding
from audiofeed.feed.states.runtime import Runtime

_MOST_BYTES = 32 * 2**20  # of a copy that every spawned worker is sent, too: filters, and not a network


@dataclass(frozen=True)
class Carried:
    """Transform and settings of a collate's runtime, on the way to another training process.

    Under `pickle`, or `cloudpickle` as Ray uses it, they are pickled as they are: a model that is pickled along and has
    the transform registered has it there, too. To a process that is just being started, which may be a DataLoader's
    worker, they are copied into bytes that a worker never opens.

    Args:
        modules: The transform and the augmentation; their bytes for a process that is being started.
        device: Where features are computed; None is decided there.
        max_ahead: Limit of batches that are computed ahead of use.
        padding: What stands past each clip's end in the features.
        unsynchronized: Whether ranks may train the modules apart.
    """

    modules: tuple[torch.nn.Module, Callable[..., torch.Tensor] | None] | bytes
    device: torch.device | None
    max_ahead: int
    padding: Any
    unsynchronized: Literal["error", "allow"]

    @classmethod
    def of(cls, runtime: Runtime) -> Carried | None:
        """Return what a collate's pickle takes along of its runtime; None if it is nothing.

        That is so if a process is being started, and a parameter is trained, of which a copy would be another one; or
        if there are more than 32 MB; or if the modules cannot be pickled.
        """
        modules: Any = (runtime.transform, runtime.augment)
        if get_spawning_popen() is not None:
            tensors = list(_tensors(runtime))
            size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
            if size > _MOST_BYTES or any(tensor.requires_grad for tensor in tensors):
                return None
            buffer = io.BytesIO()
            try:
                torch.save(modules, buffer)
            except Exception:  # noqa: BLE001  a module of any kind; a worker does not need it
                return None
            modules = buffer.getvalue()
        return cls(modules, runtime.asked_device, runtime.max_ahead, runtime.padding.kind, runtime.unsynchronized)

    def runtime(self, token: str) -> Runtime:
        """Return the runtime of a collate's copy in this process, which batches find by the same token."""
        modules = self.modules
        if isinstance(modules, bytes):
            # from the collate that this process was given by the one that started it
            modules = torch.load(io.BytesIO(modules), map_location="cpu", weights_only=False)
        transform, augment = modules
        return Runtime(
            transform,
            augment,
            self.device,
            self.max_ahead,
            padding=FeaturePadding(self.padding),
            token=token,
            unsynchronized=self.unsynchronized,
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Carried:
        return self  # a copy of the collate in this process has the live transform


def _tensors(runtime: Runtime) -> Iterator[torch.Tensor]:
    for module in runtime.modules():
        yield from chain(module.parameters(), module.buffers())
