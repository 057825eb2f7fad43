"""Whether loading or computing a batch draws from the random numbers that the training loop draws from, too.

A dataset or a transform of somebody's own may call `torch.randn`. Done ahead of its turn, in another thread, the draws
would mix with those of the model's dropout, and no run could be repeated.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


class GlobalDraws:
    """Watch on a loader's random draws from torch's, NumPy's and Python's global generators of the CPU.

    >>> watch = GlobalDraws()
    >>> watch.drew()
    False
    >>> _ = torch.rand(1)
    >>> watch.drew(), watch.drew()
    (True, False)
    """

    def __init__(self) -> None:
        self._before = self._state = _state()

    def drew(self) -> bool:
        """Return whether anything was drawn from the loader's global generators since the last call."""
        self._before, self._state = self._state, _state()
        return not _same(self._before, self._state)

    def restore(self) -> None:
        """Put the loader's global generators back to where they were before the last call of `drew`."""
        torch.set_rng_state(self._before[0])
        np.random.set_state(self._before[1])  # noqa: NPY002
        random.setstate(self._before[2])


def _state() -> tuple[Any, Any, Any]:
    return torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002  # it is the global one


def _same(one: tuple[Any, Any, Any], other: tuple[Any, Any, Any]) -> bool:
    same_numpy = all(np.array_equal(a, b) for a, b in zip(one[1], other[1], strict=True))
    return same_numpy and torch.equal(one[0], other[0]) and one[2] == other[2]
