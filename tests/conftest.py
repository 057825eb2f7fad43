"""Settings shared by all tests."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, settings

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
