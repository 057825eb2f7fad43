"""A few epochs of benchmarks/feeds/soak.py: nothing grows that a leak would make grow, and growth is found."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

SOAK = Path(__file__).resolve().parents[2] / "benchmarks" / "feeds" / "soak.py"


@pytest.fixture(scope="module")
def soak():
    spec = importlib.util.spec_from_file_location("soak", SOAK)
    module = importlib.util.module_from_spec(spec)
    sys.modules["soak"] = module
    spec.loader.exec_module(module)
    return module


def test_descriptors_threads_memory_and_shared_memory_stay_flat(soak):
    lines = soak.soak(epochs=8, clips=64, workers=1, every=2)
    assert [line.epoch for line in lines] == [2, 4, 6, 8]
    assert soak.growth(lines) == []
    assert lines[-1].workers > 10  # the workers persist, and were measured
    assert lines[-1].threads <= lines[0].threads


def test_growth_is_named(soak):
    first = soak.Line(5, 200.0, 300.0, 20, 4, 0, 1.0)
    assert soak.growth([first, replace(first, memory=210.0, descriptors=22)]) == []
    assert soak.growth([first, replace(first, memory=230.0)]) == ["resident MB: 200.0 -> 230.0"]
    assert soak.growth([first, replace(first, descriptors=30, threads=5, shared=1)]) == [
        "descriptors: 20 -> 30",
        "threads: 4 -> 5",
        "files in /dev/shm: 0 -> 1",
    ]
    assert "| 5 | 200.0 | 300.0 | 20 | 4 | 0 | 1.0 |" in soak.table([first], 5, 10, 1)
