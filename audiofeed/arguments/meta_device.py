"""Check that a module or a tensor has values: one on the meta device has shapes alone."""

from __future__ import annotations

from itertools import chain

import torch


def check_has_values(name: str, given: torch.nn.Module | torch.Tensor) -> None:
    """Check that an argument is not on the meta device, where values are asked for; raise a ValueError otherwise.

    Args:
        name: Of the argument.
        given: A module or a tensor.

    Raises:
        ValueError: It is a meta tensor, or a module that holds one.

    >>> check_has_values("transform", torch.nn.Linear(2, 2))
    """
    if isinstance(given, torch.Tensor):
        if given.is_meta:
            raise ValueError(
                f"{name} is on the meta device, which has shapes without values; give it where it has values"
            )
        return
    held = chain(given.named_parameters(), given.named_buffers())
    stray = next((own for own, tensor in held if tensor.is_meta), None)
    if stray is not None:
        raise ValueError(
            f"{name}={type(given).__name__} is on the meta device ({stray}), which has shapes without values: call its "
            'to_empty(device="cpu"), and load_state_dict() if it was trained, or make it outside of '
            'torch.device("meta")'
        )
