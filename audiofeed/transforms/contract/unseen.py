"""Whether anybody sees what a module is given and gives, so that its work may be done elsewhere."""

from __future__ import annotations

from torch import nn
from torch.nn.modules import module as torch_module


def is_unseen(member: nn.Module) -> bool:
    """Return whether nobody sees what a chain's member takes and gives: no hook, and no `forward` in its place.

    >>> is_unseen(nn.Identity())
    True
    """
    hooked = (
        member._forward_hooks
        or member._forward_pre_hooks
        or torch_module._global_forward_hooks
        or torch_module._global_forward_pre_hooks
    )
    return not hooked and "forward" not in vars(member) and getattr(member, "_compiled_call_impl", None) is None
