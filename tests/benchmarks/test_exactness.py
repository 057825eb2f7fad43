"""The definition that the benchmark of exactness compares with, and how it counts a distance."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import audiofeed as af

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def exactness(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("exactness")


@pytest.mark.parametrize("kind", ["CQT", "VQT"])
@pytest.mark.parametrize(("rate", "bins", "per_octave", "f_min"), [(8000, 40, 12, 110.0), (22050, 30, 36, 800.0)])
def test_the_plain_method_is_the_definition(kind, rate, bins, per_octave, f_min, exactness):
    """Two independent ways to the undecimated transform: NumPy's convolutions, and the dense basis of "conv"."""
    y = np.random.default_rng(0).standard_normal(9000)
    settings = {"n_bins": bins, "bins_per_octave": per_octave, "f_min": f_min, "hop_length": exactness.HOP}
    ours = getattr(af, kind)(sample_rate=rate, method="conv", sparsity=0.0, **settings)(torch.from_numpy(y))
    expected = exactness.defined(kind, y, rate, bins, per_octave, f_min)
    overall, worst = exactness.distances(ours.numpy(), expected)
    assert overall <= worst <= 1e-13


def test_distances_are_of_all_values_and_of_the_worst_bin(exactness):
    expected = np.array([[3.0, 4.0], [30.0, 40.0]])
    found = expected + np.array([[0.3, 0.4], [0.0, 0.0]])
    assert exactness.distances(found, expected) == pytest.approx((0.5 / np.sqrt(2525), 0.1))


def test_the_limits_of_the_check(exactness):
    row = {"audiofeed": (0.01, 0.1, 1.0), 'method="exact"': (1e-7, 1e-6, 1.0), "librosa 0.11.0": (1e-3, 0.1, 1.0)}
    assert exactness.within({"CQT": row})
    assert not exactness.within({"CQT": row | {"librosa 1.0.0": (0.006, 0.1, 1.0)}})
    assert not exactness.within({"CQT": row | {'method="exact"': (1e-7, 2e-5, 1.0)}})
