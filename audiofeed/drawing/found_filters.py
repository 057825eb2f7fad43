"""The filters in a module and its members, found by what they offer, `filter_responses()`, for pictures of them."""

from __future__ import annotations

from typing import Any

from torch import nn


def filters_in(module: nn.Module, name: str = "") -> list[tuple[str, Any]]:
    """Find the responses of the filters in a module to be drawn: its own, else those of each of its members.

    Args:
        module: Any module.
        name: Of the module, within that which holds it.

    Returns:
        (name, responses) of each module with filters, as `signal.filter_responses.FilterResponses` has them. The name
        is that of the class, after the names of the members on the way to it.

    >>> filters_in(nn.Identity())
    []
    """
    method = getattr(module, "filter_responses", None)
    found = method() if callable(method) else None
    if found is not None:
        kind = type(module).__name__
        return [(f"{name}: {kind}" if name else kind, found)]
    members = []
    for own, member in module.named_children():
        # what a framework wraps a module in, or its place in a row, says nothing
        says = not (own.isdigit() or own in ("module", "_orig_mod", "source"))
        members += filters_in(member, ".".join(filter(None, [name, own])) if says else name)
    return members
