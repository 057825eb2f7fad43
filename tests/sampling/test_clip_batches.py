"""Batches of a fixed size, draws by weight, single keys, and evaluation: every clip once."""

from __future__ import annotations

import warnings
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import audiofeed as af
from audiofeed.sampling.draws import weighted_draws
from tests.sampling.simulate import keys_in


class Labeled:
    """A dataset of nothing but targets."""

    def __init__(self, targets):
        self.targets = targets

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        return index


@given(
    clips=st.integers(6, 120),
    batch_size=st.integers(1, 9),
    world_size=st.integers(1, 5),
    with_seconds=st.booleans(),
    shuffle=st.booleans(),
    seed=st.integers(0, 5),
)
def test_every_clip_once_in_batches_of_the_size(clips, batch_size, world_size, with_seconds, shuffle, seed):
    data = np.linspace(1, 9, clips) if with_seconds else clips
    whole = list(af.ClipBatchSampler(data, batch_size=batch_size, shuffle=shuffle, seed=seed))
    assert keys_in(whole) == {(0, clip): 1 for clip in range(clips)}
    sizes = Counter(len(batch) for batch in whole)
    assert sizes[batch_size] == clips // batch_size
    assert sum(sizes.values()) == -(-clips // batch_size)
    if clips >= world_size:
        ranks = [
            list(af.ClipBatchSampler(data, batch_size=batch_size, seed=seed, rank=rank, world_size=world_size))
            for rank in range(world_size)
        ]
        assert len({len(batches) for batches in ranks}) == 1
        found = keys_in([batch for batches in ranks for batch in batches])
        if batch_size > 1 and clips >= 2 * world_size:
            assert found == keys_in(whole)
        assert set(found.values()) == {1}


@pytest.fixture(autouse=True)
def _quiet():
    """Single clips that do not go round the ranks are filled up with a warning, which has a test of its own."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* drawn again at the end of epoch")
        yield


def test_drop_last_gives_full_batches_only_and_leaves_out_others_in_every_epoch():
    for data in (10, np.arange(1.0, 11.0)):
        sampler = af.ClipBatchSampler(data, batch_size=4, drop_last=True)
        left = []
        for _ in range(6):
            batches = list(sampler)
            assert [len(batch) for batch in batches] == [4, 4]
            left.append(frozenset(range(10)) - {key.example for batch in batches for key in batch})
        assert len(set(left)) > 1
    with pytest.raises(ValueError, match="drop_last=True leaves nothing of 3 clips"):
        af.ClipBatchSampler(3, batch_size=4, drop_last=True)


def test_the_short_batch_stands_anywhere_in_length():
    seconds = np.arange(1.0, 102.0)
    short = set()
    for epoch in range(8):
        sampler = af.ClipBatchSampler(seconds, batch_size=10)
        sampler.set_epoch(epoch)
        (batch,) = [batch for batch in sampler if len(batch) == 1]
        short.add(batch[0].example // 20)
    assert len(short) > 2


def test_without_lengths_or_with_infinite_jitter_batches_are_random():
    seconds = np.arange(1.0, 1001.0)
    for data in (1000, seconds):
        sampler = af.ClipBatchSampler(data, batch_size=10, jitter=np.inf, keys=False)
        assert np.mean([np.ptp(batch) for batch in sampler]) > 600
    assert np.mean([np.ptp(batch) for batch in af.ClipBatchSampler(seconds, batch_size=10, keys=False)]) < 60


def test_without_shuffle_the_order_is_that_of_the_data_or_of_length():
    assert list(af.ClipBatchSampler(4, batch_size=2, shuffle=False, keys=False)) == [[0, 1], [2, 3]]
    assert list(af.ClipBatchSampler([1, 4, 2, 3], batch_size=2, shuffle=False, keys=False)) == [[1, 3], [2, 0]]
    assert list(af.EpochSampler([1, 4, 2], shuffle=False, keys=False)) == [0, 1, 2]


@given(
    weights=st.lists(st.floats(0, 10), min_size=1, max_size=30).filter(lambda each: sum(each) > 1e-3),
    draws=st.integers(1, 200),
    epoch=st.integers(0, 9),
)
def test_a_clip_comes_as_often_as_its_weight_says(weights, draws, epoch):
    shares = np.array(weights) / sum(weights)
    counts = np.bincount(weighted_draws(shares, None, draws, (0, epoch)), minlength=len(weights))
    assert counts.sum() == draws
    assert (np.abs(counts - shares * draws) < 1 + 1e-6).all()
    assert (counts[shares == 0] == 0).all()


def test_repeats_are_numbered_and_counted_over_all_ranks():
    found = Counter()
    for rank in range(3):
        found.update(keys_in(list(af.EpochSampler(4, weights=[1, 1, 1, 9], draws=36, rank=rank, world_size=3))))
    assert set(found.values()) == {1}
    of_last = sorted(key[2] if len(key) > 2 else 0 for key in found if key[1] == 3)
    assert of_last == list(range(27))
    assert len(af.EpochSampler(4, weights=[1, 1, 1, 9], draws=36)) == 36


def test_uniform_weights_draw_each_clip_once():
    sampler = af.EpochSampler(50, weights=np.ones(50))
    assert keys_in(list(sampler)) == {(0, clip): 1 for clip in range(50)}
    orders = [[key.example for key in sampler] for _ in range(2)]
    assert orders[0] != orders[1]
    assert abs(np.corrcoef(orders[0][:-1], orders[0][1:])[0, 1]) < 0.4


@pytest.mark.parametrize(
    "targets", [np.array([0] * 90 + [1] * 9 + [2]), ["a"] * 90 + ["b"] * 9 + ["c"], [0] * 90 + [1] * 9 + [2]]
)
def test_balanced_classes_come_equally_often(targets):
    sampler = af.ClipBatchSampler(Labeled(targets), batch_size=7, weights="balanced", draws=60, keys=True)
    for _ in range(3):
        drawn = [key.example for batch in sampler for key in batch]
        assert Counter(str(targets[clip]) for clip in drawn) == {str(each): 20 for each in set(targets)}
        assert max(Counter(clip for clip in drawn if clip < 90).values()) == 1
        assert sorted(Counter(clip for clip in drawn if 90 <= clip < 99).values()) == [2] * 7 + [3] * 2


@pytest.mark.parametrize(
    ("data", "arguments", "message"),
    [
        (3, {"weights": [1, 2]}, r"shape \(2,\) and must have one number for each of 3 clips"),
        (2, {"weights": [1, -2]}, r"weights\[1\]=-2.0"),
        (2, {"weights": [1, np.inf]}, r"weights\[1\]=inf"),
        (2, {"weights": [0, 0]}, "0 throughout"),
        (2, {"weights": "equal"}, "weights='equal' must be 'balanced'"),
        (1, {"weights": [object()]}, "must be 'balanced'"),
        (2, {"weights": "balanced"}, "needs a dataset with one class"),
        (Labeled([[1, 0], [0, 1]]), {"weights": "balanced"}, r"a target is \[1, 0\]"),
        (Labeled([0.5, 1.5]), {"weights": "balanced"}, "a target is 0.5"),
        (2, {"draws": 5}, "draws=5 needs weights"),
        (2, {"weights": [1, 1], "draws": 0}, "draws=0"),
        (2, {"weights": [1, 1], "shuffle": False}, "weights with shuffle=False"),
        (2, {"batch_size": 0}, "batch_size=0"),
        (2, {"jitter": -1}, "jitter=-1"),
    ],
)
def test_wrong_arguments_are_named(data, arguments, message):
    with pytest.raises(ValueError, match=message):
        af.ClipBatchSampler(data, **{"batch_size": 2, **arguments})


@given(
    clips=st.integers(1, 60),
    world_size=st.integers(1, 7),
    how=st.sampled_from([{}, {"batch_size": 4}, {"max_seconds": 40.0}, {"max_seconds": 99.0, "quadratic": 7.0}]),
    both=st.booleans(),
)
def test_an_evaluation_sees_every_clip_once_longest_first(clips, world_size, how, both):
    if "max_seconds" in how and both:
        how = {**how, "batch_size": 3}
    seconds = np.random.default_rng(clips).uniform(1, 20, clips)
    ranks = [list(af.EvaluationSampler(seconds, rank=rank, world_size=world_size, **how)) for rank in range(world_size)]
    assert keys_in([item for items in ranks for item in items]) == {(0, clip): 1 for clip in range(clips)}
    steps = [len(items) for items in ranks]
    assert max(steps) - min(steps) <= 1
    if how and clips >= 2 * world_size:
        assert max(steps) == min(steps)
    assert steps == sorted(steps, reverse=True)  # rank 0 has the most
    assert steps[0] == len(af.EvaluationSampler(seconds, rank=0, world_size=world_size, **how))
    for items in ranks:
        longest = [max(seconds[key[1]] for key in (item if how else [item])) for item in items]
        assert longest == sorted(longest, reverse=True)
        for item in items if how else []:
            assert len(item) <= how.get("batch_size", clips)
            longest_clip = max(seconds[key[1]] for key in item)
            cost = longest_clip * (1 + longest_clip / how["quadratic"]) if "quadratic" in how else longest_clip
            assert len(item) * cost <= how.get("max_seconds", np.inf)


def test_an_evaluation_is_resumed_where_it_was():
    sampler = af.EvaluationSampler(10, batch_size=2, rank=0, world_size=2)
    iterator = iter(sampler)
    first = [next(iterator), next(iterator)]
    found = keys_in(first)
    other = iter(af.EvaluationSampler(10, batch_size=2, rank=1, world_size=2))
    found += keys_in([next(other), next(other)])
    for rank in range(3):
        resumed = af.EvaluationSampler(10, batch_size=2, rank=rank, world_size=3)
        resumed.load_state_dict(sampler.state_dict())
        found += keys_in(list(resumed))
    assert found == {(0, clip): 1 for clip in range(10)}


def test_an_evaluation_says_what_it_needs():
    with pytest.raises(ValueError, match="quadratic=3 needs max_seconds"):
        af.EvaluationSampler([1, 2], quadratic=3)
    with pytest.raises(ValueError, match="data=5 is a number, and the lengths"):
        af.EvaluationSampler(5, max_seconds=3)
    with pytest.raises(ValueError, match="max_seconds=3 is less than 1 of 2 clips take"):
        af.EvaluationSampler([1, 4], max_seconds=3)
    assert list(af.EvaluationSampler(3, keys=False)) == [0, 1, 2]
