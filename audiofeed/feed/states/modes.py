"""The modes of torch under which a batch takes its next state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch

from audiofeed.feed.states.ranks import buffers_kept


@contextmanager
def fixed_modes(device: torch.device, *, grad: bool, modules: Sequence[torch.nn.Module] = ()) -> Iterator[None]:
    """Fix the modes torch keeps per thread, so that a batch's next state has the same values in any thread."""
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
