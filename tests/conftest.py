"""Settings shared by all tests."""

from __future__ import annotations

import hashlib
import math
import os
import shlex
import signal
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from audiofeed.data.targets import classes

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
# A few cases of each property, for `pytest --sample`; ten times as many, for a night, where a test names no number.
settings.register_profile("sample", settings.get_profile("fixed"), max_examples=8)
settings.register_profile("thorough", settings.get_profile("explore"), max_examples=1000)
settings.load_profile("fixed")

# what `--sample` takes of each file: all of a small one, and of a large one this share
SAMPLED_WHOLE = 4
SAMPLED_SHARE = 0.06


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sample", action="store_true", help="a minute's worth: some tests of each file, none marked slow"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--sample"):
        settings.load_profile("sample")
    torch.set_num_threads(1)
    if config.getoption("numprocesses", None):  # for the processes of pytest-xdist, and for all that they start
        os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def a_session_of_its_own() -> None:
    """Forget the classes of datasets of earlier tests, which a warning about other numbers would name."""
    classes._in_use.clear()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--sample`, the same some tests of each file at every run, chosen by the hash of their names."""
    if not config.getoption("--sample"):
        return
    files: dict[Path, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("slow") is None:
            files[item.path].append(item)
    chosen: set[str] = set()
    for found in files.values():
        found.sort(key=lambda item: hashlib.sha256(item.nodeid.encode()).digest())
        number = max(SAMPLED_WHOLE, math.ceil(SAMPLED_SHARE * len(found)))
        chosen |= {item.nodeid for item in found[:number]}
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in chosen])
    items[:] = [item for item in items if item.nodeid in chosen]


@pytest.fixture
def chosen_marks(request: pytest.FixtureRequest) -> dict[str, str]:
    """For the environment of a pytest that a test starts: it leaves out what `-m` left out here."""
    marks = request.config.getoption("markexpr")
    return {"PYTEST_ADDOPTS": f"-m {shlex.quote(marks)}"} if marks else {}


# Inputs there are a few hundred samples: two threads spend their time waiting for each other, most of all where other
# processes want the cores too. That threads change nothing is a test of its own (test_contract.py), and kernels, data
# and batches are tested with two.
ONE_THREAD = Path(__file__).parent / "transforms"


@pytest.fixture(autouse=True)
def _threads(request: pytest.FixtureRequest) -> None:
    """At most two threads, so that a small machine is not asked for more."""
    torch.set_num_threads(1 if ONE_THREAD in request.path.parents else 2)
