"""Random numbers of the plans: the same in every version, so that a state fits the plan that it was saved in."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from scipy import stats

import audiofeed as af
from audiofeed.sampling.streams import hashes, permutation, uniform


def splitmix64(state, count):
    """Steele, Lea and Flood's generator, with Python's integers."""
    mask, values = (1 << 64) - 1, []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & mask
        value = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
        values.append(value ^ (value >> 31))
    return values


def test_numbers_are_splitmix64s():
    from audiofeed.data.seeds import seed_of

    assert hashes(100, 5, 7).tolist() == splitmix64(seed_of(5, 7), 100)
    assert hashes(0, 5).tolist() == []


def test_numbers_are_uniform_and_orders_equally_likely():
    assert stats.kstest(uniform(20_000, 1), "uniform").pvalue > 0.01
    orders = [tuple(permutation(3, seed)) for seed in range(3000)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 0.01


SECONDS = (np.arange(500) * 7919 % 1000 + 200) / 100
PLANS = {
    "duration": (
        lambda: af.DurationBatchSampler(SECONDS, max_seconds=60, seed=1, rank=1, world_size=3),
        "10adb2dc48e26b46",
    ),
    "clips": (lambda: af.ClipBatchSampler(SECONDS, batch_size=8, seed=1), "c71f897890e139e8"),
    "weights": (lambda: af.EpochSampler(500, weights=SECONDS, seed=1), "77d2e40b4ba7c43b"),
    "number": (lambda: af.EpochSampler(500, seed=1), "92d932585b7300d0"),
    "evaluation": (lambda: af.EvaluationSampler(SECONDS, max_seconds=60), "931d8ea85c192ceb"),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_is_what_it_was_in_every_release(name):
    """If this fails, states saved before no longer fit: raise the version in planned_sampler.py as well."""
    make, digest = PLANS[name]
    sampler = make()
    sampler.set_epoch(3)
    assert hashlib.sha256(json.dumps(list(sampler)).encode()).hexdigest()[:16] == digest
