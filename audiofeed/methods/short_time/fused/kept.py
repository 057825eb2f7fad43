"""Tables of the fused kernels that are made of filters once, and again where these have changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import torch
from torch.utils.weak import WeakTensorKeyDictionary

from audiofeed.parallel.launches import stream_address

Tables = TypeVar("Tables", bound=tuple[torch.Tensor, ...])
# the tables of filters that do not change, and when they are there; one of those that train is made at every call
_KEPT = WeakTensorKeyDictionary()


def kept(filters: torch.Tensor, key: Hashable, make: Callable[[], Tables]) -> Tables:
    """Return the tables that a fused kernel has of filters, made anew where filters or the key have changed.

    Args:
        filters: a tensor, whose changes are known by its version.
        key: what else the tables depend on.
        make: makes them on the filters' device.
    """
    version = None if filters.is_inference() else filters._version
    held = _KEPT.get(filters)
    capturing = filters.is_cuda and torch.cuda.is_current_stream_capturing()
    if held is not None and version is not None and held[0] == (version, key):
        found: Tables = held[1]
        # a capture begins when all streams are done
        if filters.is_cuda and not capturing and stream_address(filters.device) != held[2]:
            stream = torch.cuda.current_stream(filters.device)
            stream.wait_event(held[3])
            for table in found:
                table.record_stream(stream)
        return found
    found = make()
    if version is not None and not capturing:  # what a graph captures is not there before it is replayed
        made: tuple[Any, ...] = (None, None)
        if filters.is_cuda:
            made = (stream_address(filters.device), torch.cuda.current_stream(filters.device).record_event())
        _KEPT[filters] = ((version, key), found, *made)
    return found
