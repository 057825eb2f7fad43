"""Filters of a known model that hold no bin: it was trained with them, and nobody can change them."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def known_filters() -> Iterator[None]:
    """Build a preset's transforms without the warning of filters too narrow to hold a bin.

    >>> with known_filters():
    ...     warnings.warn("1 of n_mels=128 filters hold no bin of n_fft=512", UserWarning)
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* filters hold no bin", UserWarning)
        yield
