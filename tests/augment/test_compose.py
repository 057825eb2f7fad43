"""Compose, OneOf and Sometimes: what each clip meets, and how often."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from audiofeed.augment import Compose, Gain, OneOf, Polarity, Sometimes

N = 1000


def met(augmentation: torch.nn.Module) -> np.ndarray:
    """What the gains made of each of 1000 clips of ones."""
    after = augmentation(torch.ones(N, 7), seeds=torch.arange(N))
    assert bool((after == after[:, :1]).all())
    return after[:, 0].numpy()


def gains(factors: list[float]) -> list[Gain]:
    return [Gain(float(20 * np.log10(factor))) for factor in factors]


@pytest.mark.parametrize("weights", [None, [1, 3, 2], [5, 0, 1]], ids=str)
@pytest.mark.parametrize("p", [1.0, 0.4])
def test_each_member_is_met_in_the_share_of_its_weight(weights, p):
    found = met(OneOf(gains([2.0, 3.0, 4.0]), weights=weights, p=p))
    counts = np.array([(np.abs(found - factor) < 1e-5).sum() for factor in (1.0, 2.0, 3.0, 4.0)])
    assert counts.sum() == N  # one member at most
    shares = np.array(weights or [1, 1, 1], dtype=float)
    expected = N * np.array([1 - p, *p * shares / shares.sum()])
    assert not counts[expected == 0].any()
    assert stats.chisquare(counts[expected > 0], expected[expected > 0]).pvalue > 1e-3


def test_members_of_a_chain_are_drawn_apart():
    """Each of the eight ways through three members at p=0.5 is as likely."""
    found = met(Compose([Sometimes(gain, p=0.5) for gain in gains([2.0, 3.0, 5.0])]))
    ways = [np.prod(way) for way in itertools.product((1.0, 2.0), (1.0, 3.0), (1.0, 5.0))]
    counts = np.array([(np.abs(found - way) < 1e-4).sum() for way in ways])
    assert counts.sum() == N
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize(
    "outer", [Compose, lambda members, p: Sometimes(Compose(members), p=p)], ids=["p", "sometimes"]
)
def test_a_chain_left_out_is_left_out_whole(outer):
    found = met(outer([*gains([3.0]), Polarity(p=1.0)], p=0.3))
    assert set(np.round(found, 5).tolist()) == {1.0, -3.0}
    assert stats.binomtest(int((found < 0).sum()), N, 0.3).pvalue > 1e-3
