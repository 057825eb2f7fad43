"""A state is a place in the plan: the rest of an epoch comes once, on whatever number of ranks it is resumed."""

from __future__ import annotations

import itertools
import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import audiofeed as af
from tests.sampling.simulate import epoch_of, keys_in, stage

RANKS = (1, 2, 4)
SECONDS = np.exp(np.random.default_rng(0).normal(np.log(6), 0.75, 800)).clip(0.3, 40)


FEW = SECONDS[:150]


def by_duration(rank=0, world_size=1, seconds=SECONDS, **settings):
    return af.DurationBatchSampler(
        seconds, **{"max_seconds": 40, "max_clips": 4, **settings}, rank=rank, world_size=world_size
    )


def by_clips(rank=0, world_size=1, seconds=SECONDS, **settings):
    return af.ClipBatchSampler(seconds, **{"batch_size": 4, **settings}, rank=rank, world_size=world_size)


def test_every_batch_of_a_long_epoch_as_the_cut_to_any_number_of_ranks():
    def make(rank, ranks):
        return by_duration(rank, ranks, SECONDS[:400], max_clips=2)

    whole = epoch_of(make, [(1, None)])
    assert len(make(0, 1)) >= 200
    assert whole == dict.fromkeys(((0, clip) for clip in range(400)), 1)
    cuts = 0
    for before, after in itertools.product(RANKS, RANKS):
        samplers = [make(rank, before) for rank in range(before)]
        items = [list(sampler) for sampler in samplers]
        resumed = [make(rank, after) for rank in range(after)]
        for cut in range(len(samplers[0]) + 1):
            state = json.loads(json.dumps(samplers[cut % before].state_dict(taken=cut)))
            found = keys_in([batch for of_rank in items for batch in of_rank[:cut]])
            steps = set()
            for sampler in resumed:
                sampler.load_state_dict(state)
                sampler.set_epoch(0)
                rest = list(sampler)
                steps.add(len(rest))
                found.update(keys_in(rest))
            assert once(found, whole), f"{before} to {after} ranks at step {cut}"
            assert len(steps) == 1
            cuts += 1
    assert cuts > 1000


def once(found, whole):
    """Whether an epoch has each key once, and beside them only a few further repeats for ranks without a clip."""
    return set(found.values()) == {1} and found >= whole and (found - whole).total() <= 3 * 9


@pytest.fixture(autouse=True)
def _quiet():
    """A cut that leaves fewer clips than ranks is filled up with a warning, which has a test of its own."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* drawn again at the end of epoch")
        yield


MAKERS = {
    "by duration": lambda rank, ranks: by_duration(rank, ranks, FEW),
    "by clips": lambda rank, ranks: by_clips(rank, ranks, FEW),
    "by weight": lambda rank, ranks: by_clips(rank, ranks, FEW, weights=FEW),
    "quadratic": lambda rank, ranks: by_duration(rank, ranks, FEW, quadratic=10.0, max_seconds=210),
    "not shuffled": lambda rank, ranks: by_duration(rank, ranks, FEW, shuffle=False),
    "a number": lambda rank, ranks: af.ClipBatchSampler(151, batch_size=4, rank=rank, world_size=ranks),
}


@pytest.mark.parametrize("name", MAKERS)
@given(
    stages=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 15)), max_size=5),
    last=st.integers(1, 9),
)
@settings(max_examples=20)
def test_a_chain_of_resumes_loses_nothing(name, stages, last):
    whole = epoch_of(MAKERS[name], [(1, None)])
    assert once(epoch_of(MAKERS[name], [*stages, (last, None)]), whole)


@given(
    stages=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 30)), min_size=1, max_size=5),
    last=st.integers(1, 9),
    clips=st.integers(1, 100),
)
@settings(max_examples=50)
def test_single_keys_of_a_chain_come_once_and_further_repeats_fill_up_steps(stages, last, clips):
    def single(rank, ranks):
        return af.EpochSampler(clips, rank=rank, world_size=ranks)

    found = epoch_of(single, [*stages, (last, None)])
    assert set(found.values()) == {1}  # no key twice, repeats included
    assert {key for key in found if len(key) == 2} == {(0, clip) for clip in range(clips)}
    assert len(found) - clips < sum(ranks for ranks, _ in [*stages, (last, None)])


@given(
    stages=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 9)), min_size=1, max_size=4),
    last=st.integers(1, 6),
)
@settings(max_examples=30)
@pytest.mark.parametrize("make", [by_duration, by_clips])
def test_what_drop_last_leaves_out_is_settled_by_the_first_number_of_ranks(make, stages, last):
    def dropping(rank, ranks):
        return make(rank, ranks, FEW, drop_last=True)

    first = stages[0][0]
    assert epoch_of(dropping, [*stages, (last, None)]) == epoch_of(dropping, [(first, stages[0][1]), (first, None)])


def test_drop_last_leaves_out_less_than_a_step_and_other_clips_in_every_epoch():
    batches = len(by_duration())
    ranks = next(ranks for ranks in (3, 4, 5, 7) if batches % ranks)
    left_out = []
    for epoch in range(3):
        found = set()
        for rank in range(ranks):
            sampler = by_duration(rank, ranks, drop_last=True)
            sampler.set_epoch(epoch)
            found |= set(keys_in(list(sampler)))
        assert batches // ranks == len(sampler)
        left_out.append({(epoch, clip) for clip in range(800)} - found)
        assert 1 <= len(left_out[-1]) <= (batches % ranks) * 4
    assert len({frozenset(clip for _, clip in clips) for clips in left_out}) == 3


def test_resume_on_as_many_ranks_goes_on_with_the_same_batches_in_order():
    for rank in range(2):
        straight = list(by_duration(rank, 2))
        sampler = by_duration(1 - rank, 2)  # a state is the same on every rank
        list(itertools.islice(iter(sampler), 17))
        resumed = by_duration(rank, 2)
        resumed.load_state_dict(sampler.state_dict())
        assert list(resumed) == straight[17:]
        assert list(resumed) == list(after(by_duration(rank, 2), 1))


def after(sampler, epoch):
    sampler.set_epoch(epoch)
    return sampler


def test_steps_of_the_resumed_epoch_are_still_alike_in_length():
    _, state = stage(by_duration, 2, 20, None)
    items, _ = stage(by_duration, 4, None, state)
    spreads = [
        max(longest) / min(longest)
        for step in zip(*items, strict=True)
        for longest in [[max(SECONDS[key.example] for key in batch) for batch in step]]
    ]
    assert np.median(spreads) < 1.06


def test_taken_counts_what_was_used_rather_than_what_was_handed_out():
    sampler = by_duration()
    iterator = iter(sampler)
    items = [next(iterator) for _ in range(12)]
    resumed = by_duration()
    resumed.load_state_dict(sampler.state_dict(taken=5))
    again = iter(resumed)
    assert [next(again) for _ in range(7)] == items[5:]
    # counted since the iterator was resumed
    assert resumed.state_dict(taken=2)["taken"] == [[1, 7]]
    assert iterator.state_dict(taken=3)["taken"] == [[1, 3]]
    for taken in (-1, 8):
        with pytest.raises(ValueError, match=rf"taken={taken} must be 0 to 7"):
            resumed.state_dict(taken=taken)


def test_a_state_is_small_and_plain():
    n = 1_000_000
    sampler = af.EpochSampler(n)
    iterator = iter(sampler)
    for _ in range(1000):
        next(iterator)
    text = json.dumps(sampler.state_dict())
    assert len(text) < 1000
    resumed = af.EpochSampler(n)
    resumed.load_state_dict(json.loads(text))
    assert next(iter(resumed)) == next(iterator)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda: by_duration(max_seconds=41), r"max_seconds was 40\.0 and is 41\.0"),
        (lambda: by_duration(max_clips=None), r"max_clips was 4 and is None"),
        (lambda: by_duration(quadratic=1e6, max_seconds=41), r"quadratic was None and is 1000000\.0"),
        (lambda: by_duration(jitter=0.1), r"jitter was 0\.04 and is 0\.1"),
        (lambda: by_duration(seed=7), r"seed was 0 and is 7"),
        (lambda: by_duration(shuffle=False), r"shuffle was True and is False"),
        (lambda: by_duration(drop_last=True), r"drop_last was False and is True"),
        (lambda: af.DurationBatchSampler(SECONDS[:-1], max_seconds=40, max_clips=4), r"clips was 800 and is 799"),
        (lambda: af.DurationBatchSampler(SECONDS[::-1], max_seconds=40, max_clips=4), r"durations was '\w+' and is"),
        (lambda: by_clips(), r"sampler was 'DurationBatchSampler' and is 'ClipBatchSampler'"),
    ],
)
def test_a_state_of_other_settings_or_data_is_refused_with_what_differs(changed, message):
    state = by_duration().state_dict()
    with pytest.raises(ValueError, match=message):
        changed().load_state_dict(state)
    with pytest.raises(ValueError, match=message):
        iter(changed()).load_state_dict(state)


def test_weights_and_draws_are_settings_of_a_state():
    state = by_clips(weights=SECONDS, draws=100).state_dict()
    with pytest.raises(ValueError, match=r"weights was '\w+' and is None.*draws was 100 and is 800"):
        by_clips().load_state_dict(state)
    with pytest.raises(ValueError, match=r"weights was '\w+' and is '\w+'"):
        by_clips(weights=SECONDS**2, draws=100).load_state_dict(state)


@pytest.mark.parametrize("state", [{}, {"epoch": 3}, None, [1, 2], {"epoch": 0, "taken": [], "version": 1, "data": 3}])
def test_what_is_no_state_is_refused(state):
    with pytest.raises(ValueError, match="the state is none of a DurationBatchSampler"):
        by_duration().load_state_dict(state)


def test_a_state_of_another_version_or_beyond_the_end_is_refused():
    state = by_duration().state_dict()
    with pytest.raises(ValueError, match="version was 99 and is 1"):
        by_duration().load_state_dict({**state, "version": 99})
    sampler = by_duration()
    sampler.load_state_dict({**state, "taken": [[1, 100_000]]})
    with pytest.raises(ValueError, match="100000 steps on 1 ranks in epoch 0"):
        list(sampler)


def test_too_few_clips_for_the_ranks_are_drawn_again_with_one_warning():
    samplers = [af.ClipBatchSampler(2, batch_size=8, rank=rank, world_size=4) for rank in range(4)]
    found = []
    for sampler in samplers:
        with pytest.warns(UserWarning, match="2 clips are drawn again at the end of epoch 0"):
            found += list(sampler)
    assert sorted(key for batch in found for key in batch) == [(0, 0), (0, 0, 1), (0, 1), (0, 1, 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(samplers[0])  # the next epoch says nothing
        dropping = [af.EpochSampler(10, drop_last=True, rank=rank, world_size=4) for rank in range(4)]
        assert [len(list(sampler)) for sampler in dropping] == [2, 2, 2, 2]


def test_an_epoch_that_drop_last_leaves_empty_is_an_error():
    sampler = af.EpochSampler(3, drop_last=True, rank=0, world_size=4)
    with pytest.raises(ValueError, match="drop_last=True leaves no step of epoch 0 for 4 ranks"):
        next(iter(sampler))


def test_what_would_have_filled_up_the_last_step_is_not_dealt_again():
    def single(rank, ranks):
        return af.EpochSampler(10, rank=rank, world_size=ranks)

    found = epoch_of(single, [(4, 1), (3, None)])  # 4 ranks would have drawn two clips again; 6 left go round 3 ranks
    assert found == dict.fromkeys(((0, clip) for clip in range(10)), 1)


@pytest.mark.parametrize(
    "changed",
    [{"taken": [[1, -1]]}, {"taken": [[0, 1]]}, {"taken": [[1, 1.5]]}, {"taken": [3]}, {"epoch": -1}, {"epoch": "1"}],
)
def test_a_state_of_an_impossible_place_is_refused(changed):
    sampler = by_duration()
    with pytest.raises(ValueError, match="the state is none of a DurationBatchSampler: "):
        sampler.load_state_dict({**sampler.state_dict(), **changed})


@pytest.mark.parametrize("set_epoch", [False, True])
def test_an_evaluation_saved_at_its_end_begins_again(set_epoch):
    def make():
        return af.EvaluationSampler(5, batch_size=2)

    sampler = make()
    whole = list(sampler)
    for taken in (1, 3):
        resumed = make()
        resumed.load_state_dict(sampler.state_dict(taken=taken))
        if set_epoch:
            resumed.set_epoch(0)
        assert len(resumed) == 3
        assert list(resumed) == (whole[1:] if taken == 1 else whole)
        if not set_epoch:
            assert list(resumed) == whole


def test_weights_of_any_size_are_shares():
    for scale in (1.0, 1e308, 1e-300):
        sampler = af.EpochSampler(4, weights=np.array([1, 1, 0, 1]) * scale, draws=300)
        assert np.bincount([key.example for key in sampler]).tolist() == [100, 100, 0, 100]
