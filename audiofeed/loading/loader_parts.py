"""The parts of somebody's loader that have an epoch or a state: samplers, the dataset, what lies in them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any


def parts_of(loader: Any) -> Iterator[Any]:
    """Yield the parts of a loader that may have an epoch or a state, each once, the outermost first.

    The loader itself is not among them.

    >>> from torch.utils.data import DataLoader
    >>> [type(part).__name__ for part in parts_of(DataLoader([1, 2]))]
    ['BatchSampler', 'SequentialSampler', 'list']
    """
    seen: set[int] = set()
    waiting = [getattr(loader, name, None) for name in ("dataset", "sampler", "batch_sampler")]
    while waiting:
        part = waiting.pop()
        if part is None or id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        # what a wrapper holds stands in its own attributes; asking for others could start a wrapper's __getattr__
        held = getattr(part, "__dict__", {})
        waiting += [held.get(name) for name in ("dataset", "sampler", "batch_sampler")]
        several = held.get("datasets")
        if isinstance(several, list | tuple):
            waiting += several


def set_epoch(loader: Any, epoch: int) -> bool:
    """Set the epoch of every part of a loader that has one; return False if there is none."""
    own = getattr(loader, "set_epoch", None)
    takers = [part for part in parts_of(loader) if callable(getattr(part, "set_epoch", None))]
    if callable(own):
        own(epoch)
    for part in takers:
        part.set_epoch(epoch)
    return bool(takers) or callable(own)


def stateful_sampler(loader: Any) -> tuple[Any, bool] | None:
    """Return a loader's sampler that has a state, and whether it yields single clips; None if none has.

    >>> stateful_sampler([1, 2]) is None
    True
    """
    for name in ("batch_sampler", "sampler"):
        sampler = getattr(loader, name, None)
        if callable(getattr(sampler, "load_state_dict", None)) and _counts_back(getattr(sampler, "state_dict", None)):
            return sampler, name == "sampler"
    return None


def has_own_state(loader: Any) -> bool:
    """Return whether a loader counts for itself what it has yielded, as torchdata's StatefulDataLoader does.

    A feed or a device loader does so where the loader or the sampler in it has a state.
    """
    has_state = getattr(loader, "_has_state", None)
    if callable(has_state) and not has_state():
        return False
    return callable(getattr(loader, "state_dict", None)) and callable(getattr(loader, "load_state_dict", None))


def _counts_back(state_dict: Any) -> bool:
    """Return whether a sampler's `state_dict` can be asked for the place of a loader that has taken fewer batches."""
    if not callable(state_dict):
        return False
    parameters = inspect.signature(state_dict).parameters.values()
    return any(one.name == "taken" or one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters)
