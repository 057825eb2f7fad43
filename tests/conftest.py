"""Settings shared by all tests."""

from __future__ import annotations

import signal
from pathlib import Path

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


# Inputs there are a few hundred samples: two threads spend their time waiting for each other, most of all where other
# processes want the cores too. That threads change nothing is a test of its own (test_contract.py), and kernels, data
# and batches are tested with two.
ONE_THREAD = Path(__file__).parent / "transforms"


@pytest.fixture(autouse=True)
def _threads(request: pytest.FixtureRequest) -> None:
    """At most two threads, so that a small machine is not asked for more."""
    torch.set_num_threads(1 if ONE_THREAD in request.path.parents else 2)
