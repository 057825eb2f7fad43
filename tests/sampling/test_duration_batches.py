"""Batches by duration: what they cost, how much of them is padding, how they change, that ranks are in step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import audiofeed as af
from tests.sampling.simulate import keys_in

RNG = np.random.default_rng(0)
N = 3000
LENGTHS = {
    "log-normal": np.exp(RNG.normal(np.log(6), 0.75, N)).clip(0.3, 60),
    "gamma": RNG.gamma(1.6, 4, N).clip(0.3, 60),
    "LibriSpeech-like": np.where(RNG.random(N) < 0.65, RNG.normal(14.8, 1.2, N), RNG.uniform(1.5, 14, N)).clip(1.3, 35),
}


def arrays(sampler):
    return [np.array([key.example for key in batch]) for batch in sampler]


def padding(batches, seconds):
    padded = sum(len(batch) * seconds[batch].max() for batch in batches)
    return 1 - sum(seconds[batch].sum() for batch in batches) / padded


def again(before, after, clips):
    """How many of the pairs of clips that shared a batch share one in the next epoch, the mean over batches."""
    batch_of = np.empty(clips, dtype=int)
    for number, batch in enumerate(after):
        batch_of[batch] = number
    shares = []
    for batch in before:
        counts = np.bincount(batch_of[batch])
        shares.append((counts * (counts - 1)).sum() / max(1, len(batch) * (len(batch) - 1)))
    return np.mean(shares)


@given(
    seconds=st.lists(st.floats(0, 30), min_size=1, max_size=60),
    max_seconds=st.floats(70, 300),
    max_clips=st.none() | st.integers(1, 9),
    quadratic=st.none() | st.floats(25, 100),
    jitter=st.sampled_from([0.0, 0.04, 1.0, np.inf]),
    shuffle=st.booleans(),
    seed=st.integers(-(2**70), 2**70),
    epoch=st.integers(0, 2**40),
)
def test_every_clip_once_within_the_bound(seconds, max_seconds, max_clips, quadratic, jitter, shuffle, seed, epoch):
    def make():
        sampler = af.DurationBatchSampler(
            seconds,
            max_seconds=max_seconds,
            max_clips=max_clips,
            quadratic=quadratic,
            jitter=jitter,
            shuffle=shuffle,
            seed=seed,
        )
        sampler.set_epoch(epoch)
        return sampler

    batches = list(make())
    assert keys_in(batches) == {(epoch, clip): 1 for clip in range(len(seconds))}
    for batch in batches:
        longest = max(seconds[key.example] for key in batch)
        cost = longest * (1 + longest / quadratic) if quadratic else longest
        assert len(batch) * cost <= max_seconds
        assert max_clips is None or len(batch) <= max_clips
    assert list(make()) == batches  # in every process the same
    assert len(make()) == len(batches)


@pytest.mark.parametrize("name", LENGTHS)
def test_padding_is_under_5_percent_and_company_changes(name):
    seconds = LENGTHS[name]
    random = np.array_split(np.random.default_rng(1).permutation(N), N // 16)
    assert padding(random, seconds) > 0.25
    sampler = af.DurationBatchSampler(seconds, max_seconds=120)
    before, after = arrays(sampler), arrays(sampler)
    assert padding(before, seconds) < 0.05
    assert padding(after, seconds) < 0.05
    assert again(before, before, N) > 0.95
    assert again(before, after, N) < 0.2
    used = [len(batch) * seconds[batch].max() for batch in before]
    assert np.mean(used) > 0.9 * 120
    clips = arrays(af.ClipBatchSampler(seconds, batch_size=16))
    assert padding(clips, seconds) < 0.05


@pytest.mark.parametrize("name", LENGTHS)
def test_steps_come_in_random_order_of_length(name):
    seconds = LENGTHS[name]
    longest = np.array([seconds[batch].max() for batch in arrays(af.DurationBatchSampler(seconds, max_seconds=120))])
    assert abs(np.corrcoef(longest[:-1], longest[1:])[0, 1]) < 0.2


def test_jitter_sets_how_much_is_mixed_and_padded():
    seconds = LENGTHS["log-normal"]
    shares = []
    for jitter in (0.0, 0.04, 0.1, 0.3, np.inf):
        batches = arrays(af.DurationBatchSampler(seconds, max_seconds=120, jitter=jitter))
        shares.append(padding(batches, seconds))
        used = [len(batch) * seconds[batch].max() for batch in batches]
        assert np.mean(used) > 0.8 * 120
    assert shares == sorted(shares)
    assert shares[0] < 0.02
    assert 0.05 < shares[2] < 0.15
    assert shares[4] > 0.4


def test_the_number_of_steps_is_the_same_in_every_epoch():
    for name, seconds in LENGTHS.items():
        sampler = af.DurationBatchSampler(seconds[:500], max_seconds=70)
        counts = {len(list(sampler)) for _ in range(30)}
        assert counts == {len(sampler)}, name


@pytest.mark.parametrize("world_size", [2, 3, 8])
def test_ranks_take_as_many_steps_of_about_the_same_length(world_size):
    seconds = LENGTHS["log-normal"]
    ranks = [
        list(af.DurationBatchSampler(seconds, max_seconds=120, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    assert len({len(batches) for batches in ranks}) == 1
    assert keys_in([batch for batches in ranks for batch in batches]) == {(0, clip): 1 for clip in range(N)}
    longest = np.array([[max(seconds[key.example] for key in batch) for batch in batches] for batches in ranks])
    spread = longest.max(0) / longest.min(0)
    assert np.median(spread) < 1.02 + 0.015 * world_size
    # no rank has the longer ones
    assert np.bincount(longest.argmax(0)).max() < (1 / world_size + 0.2) * longest.shape[1]


def test_without_shuffle_the_longest_come_first_and_always_the_same():
    seconds = LENGTHS["gamma"]
    sampler = af.DurationBatchSampler(seconds, max_seconds=120, shuffle=False, keys=False)
    batches = list(sampler)
    longest = [seconds[batch].max() for batch in batches]
    assert longest == sorted(longest, reverse=True)
    assert longest[0] == seconds.max()
    assert list(sampler) == batches


def test_seed_and_epoch_change_the_plan():
    def first(seed, epoch):
        sampler = af.DurationBatchSampler(LENGTHS["gamma"], max_seconds=120, seed=seed, keys=False)
        sampler.set_epoch(epoch)
        return list(sampler)[:3]

    plans = [first(seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert all(one != other for i, one in enumerate(plans) for other in plans[:i])


def test_a_clip_that_does_not_fit_is_refused_with_its_index():
    with pytest.raises(ValueError, match=r"max_seconds=5 is less than 2 of 4 clips take, the longest \(index 2\) 9 s"):
        af.DurationBatchSampler([1, 6, 9, 5], max_seconds=5)
    with pytest.raises(ValueError, match=r"1 of 2 clips .* \(index 1\) 4 s, which costs 8 with quadratic"):
        af.DurationBatchSampler([1, 4], max_seconds=7, quadratic=4)
    assert len(af.DurationBatchSampler([1, 4], max_seconds=8, quadratic=4)) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_seconds": 0}, "max_seconds=0"),
        ({"max_seconds": np.nan}, "max_seconds=nan"),
        ({"max_clips": 0}, "max_clips=0"),
        ({"quadratic": -1.0}, "quadratic=-1.0"),
        ({"jitter": -0.1}, "jitter=-0.1"),
        ({"seed": "a"}, "seed='a' must be an integer"),
        ({"rank": 1}, "rank=1, world_size=None must be given together"),
        ({"rank": 2, "world_size": 2}, "rank=2 must be 0 or more and below world_size=2"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        af.DurationBatchSampler([1.0, 2.0], **{"max_seconds": 10, **arguments})
