"""A batch's transform that is trained on several ranks: whether anything averages its gradients, and its buffers."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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


@contextmanager
def buffers_kept(modules: Sequence[torch.nn.Module]) -> Iterator[None]:
    """Compute a batch's features so that the gradient does not mind its modules' buffers being written again.

    DistributedDataParallel writes all buffers of a model anew at the start of every forward, with the values that rank
    0 has, which for filters are the same. Features read before that, of a transform registered in the model, would have
    saved the filters for the backward, and autograd refuses tensors that were written since. So they are copied where
    autograd saves them. Everything else is still checked.

    Args:
        modules: The transform, and the augmentation if it is a module.
    """
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        yield
        return
    places = {buffer.untyped_storage().data_ptr() for module in modules for buffer in module.buffers()}

    def pack(tensor: torch.Tensor) -> tuple[torch.Tensor, int]:
        if tensor.layout == torch.strided and tensor.untyped_storage().data_ptr() in places:
            tensor = tensor.detach().clone()
        return tensor, 0 if tensor.is_inference() else tensor._version

    def unpack(packed: tuple[torch.Tensor, int]) -> torch.Tensor:
        tensor, version = packed
        if not tensor.is_inference() and tensor._version != version:
            raise RuntimeError(
                f"a tensor {tuple(tensor.shape)} that the features were computed with was changed before their "
                "backward, most likely a trained parameter by the optimizer: read batch.features after the optimizer's "
                "step of the batch before, and not ahead of it"
            )
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        yield


def _wrappers() -> Iterator[torch.nn.Module]:
    """Yield every module of this process that averages the gradients of a trained transform in a batch's ranks."""
    fully_sharded = getattr(getattr(torch.distributed, "fsdp", None), "FullyShardedDataParallel", ())
    kinds = (DistributedDataParallel, *([fully_sharded] if fully_sharded else []))
    for found in gc.get_objects():
        # of the type: a proxy may say that it is of another class, or run code to tell
        if issubclass(type(found), kinds):
            yield found
