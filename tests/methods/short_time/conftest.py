"""Every test of short-time methods runs with the addresses of kernels checked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from audiofeed.methods.short_time.kernel import address_check


@pytest.fixture(autouse=True)
def checked() -> Iterator[None]:
    """Addresses outside a kernel's memory raise an IndexError."""
    with address_check.checking():
        yield
