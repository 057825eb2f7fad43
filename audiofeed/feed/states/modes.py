"""The modes of torch under which a batch takes its next state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

import torch

from audiofeed.feed.states.ranks import buffers_kept


def fixed_modes(
    device: torch.device, *, grad: bool, modules: Sequence[torch.nn.Module] = ()
) -> AbstractContextManager[None]:
    """Fix the modes torch keeps per thread, so that a batch's next state has the same values in any thread."""
    casts = torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)
    if grad or casts or torch.is_inference_mode_enabled():
        return _fixed(device, grad, modules)
    return torch.no_grad()  # for most batches there is nothing else to fix, and entering nothing takes its time


@contextmanager
def _fixed(device: torch.device, grad: bool, modules: Sequence[torch.nn.Module]) -> Iterator[None]:
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            # Tensors made in inference mode cannot be trained on afterwards.
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.set_grad_enabled(grad))
        if torch.amp.is_autocast_available(device.type):
            stack.enter_context(torch.autocast(device.type, enabled=False))
        if grad:
            stack.enter_context(buffers_kept(modules))
        yield
