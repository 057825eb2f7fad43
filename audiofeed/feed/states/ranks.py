"""Which trained parameters of a batch's transform no module averages the gradients of, over the ranks of a group."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence

import torch
from torch.nn.parallel import DistributedDataParallel


def trained_apart(modules: Sequence[torch.nn.Module]) -> list[str]:
    """Return the names of trained parameters behind a batch's features that each rank would train on its own.

    Those in a DistributedDataParallel or a FullyShardedDataParallel, alone or with the model that they are registered
    in, are trained together, wherever the forward takes place: their gradients are averaged as they come. It is asked
    once; the wrapper that holds a parameter is looked for among all objects, as the parameter does not know it.

    Args:
        modules: The transform, and the augmentation if it is a module.

    Returns:
        Names of parameters; none outside a group of several processes.

    >>> trained_apart([torch.nn.Linear(2, 2)])
    []
    """
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return []
    trained = {
        parameter: f"{type(module).__name__}.{name}"
        for module in modules
        for name, parameter in module.named_parameters()
        # those that are spread over the ranks are reduced by what spread them
        if parameter.requires_grad and not hasattr(parameter, "device_mesh")
    }
    if not trained or torch.distributed.get_world_size() < 2:
        return []
    for wrapper in _wrappers():
        for parameter in wrapper.parameters():
            trained.pop(parameter, None)
    return list(trained.values())


def _wrappers() -> Iterator[torch.nn.Module]:
    """Yield every module of this process that averages the gradients of a trained transform in a batch's ranks."""
    fully_sharded = getattr(getattr(torch.distributed, "fsdp", None), "FullyShardedDataParallel", ())
    kinds = (DistributedDataParallel, *([fully_sharded] if fully_sharded else []))
    for found in gc.get_objects():
        # of the type: a proxy may say that it is of another class, or run code to tell
        if issubclass(type(found), kinds):
            yield found
