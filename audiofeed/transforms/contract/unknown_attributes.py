"""Attributes that a transform cannot know, such as frequencies without a sample rate, and what their caller is told."""

from __future__ import annotations

from typing import Any

from torch import nn


class UnknownAttributeError(AttributeError, ValueError):
    """Error of an attribute that a transform cannot know, such as `frequencies` of rows that are no bins.

    An AttributeError, so that `hasattr` is False and `getattr(transform, name, None)` None; and a ValueError, because a
    setting (the sample rate) may be all that is missing.
    """


def explained(self: Any, name: str) -> Any:
    """Return an attribute of a transform module as `nn.Module.__getattr__` does, with a property's own error if any.

    Python comes here too where a property raised an AttributeError, and `nn.Module` would say no more than that there
    is no such attribute.
    """
    try:
        return nn.Module.__getattr__(self, name)
    except AttributeError:
        found = getattr(type(self), name, None)
        if isinstance(found, property):
            return found.__get__(self)  # again, so that its own error is seen
        raise
