"""Check that an argument is a device."""

from __future__ import annotations

import torch


def as_device(device: torch.device | str | int) -> torch.device:
    """Return the argument `device` as torch's, which need not be there.

    Args:
        device: As torch.device takes it.

    Raises:
        ValueError: It is no name of a device.

    >>> as_device("cuda:1")
    device(type='cuda', index=1)
    """
    try:
        return torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device={device!r} must be a device of torch, such as 'cpu', 'cuda', 'cuda:1' or 'mps', or None for what "
            f"there is ({error})"
        ) from error
