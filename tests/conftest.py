"""Settings shared by all tests."""

from __future__ import annotations

import signal

import pytest
import torch
from hypothesis import HealthCheck, settings

# A shell that starts the tests in the background has them, and all they start, ignore Ctrl-C; some tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same cases on every run, so that CI says something about the change; look for new ones with
# `pytest --hypothesis-profile=explore`.
settings.register_profile(
    "fixed", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "explore", deadline=None, derandomize=False, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("fixed")


@pytest.fixture(autouse=True)
def _threads() -> None:
    """Two threads, so that a small machine is not asked for more; no test depends on the number."""
    torch.set_num_threads(2)
