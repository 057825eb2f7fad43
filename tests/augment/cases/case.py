"""A case of an augmentation for the tests that all of them pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from audiofeed.augment import Augmentation


@dataclass(frozen=True)
class Case:
    """One way to build an augmentation.

    Args:
        make: builds it, with settings under which it changes a clip of noise.
        has_gradient: whether a gradient reaches the waveforms or features through it.
        keeps_p: whether `p` can be set on what `make` returns (False where p has no meaning).
    """

    make: Callable[[], Augmentation]
    has_gradient: bool = True
    keeps_p: bool = True
