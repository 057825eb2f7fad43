"""Which epoch an iteration gives, in the orders in which loops and frameworks call iter, set_epoch and len."""

from __future__ import annotations

import copy
import itertools
import pickle
import warnings

import pytest

import audiofeed as af


def make(**settings):
    return af.ClipBatchSampler(10, **{"batch_size": 2, **settings})


def epoch_in(iterator):
    """The epoch of an iterator's next batch."""
    return next(iterator)[0].epoch


def left(sampler, batches=2):
    """Begin an iteration and leave it in the middle."""
    return list(itertools.islice(iter(sampler), batches))


def test_epochs_move_on_where_nobody_sets_them():
    sampler = make()
    assert [{key.epoch for batch in sampler for key in batch} for _ in range(3)] == [{0}, {1}, {2}]
    orders = [[key.example for batch in sampler for key in batch] for _ in range(2)]
    assert orders[0] != orders[1]


def test_an_iteration_left_in_the_middle_is_not_given_again():
    sampler = make()
    assert left(sampler)[0][0].epoch == 0
    assert left(sampler)[0][0].epoch == 1
    assert epoch_in(iter(sampler)) == 2


def test_an_epoch_that_was_set_is_given_until_it_was_handed_out():
    sampler = make()
    sampler.set_epoch(5)
    first = left(sampler)
    assert left(sampler) == first  # a look at the first batches, on one rank alone perhaps
    assert list(sampler)[:2] == first
    assert epoch_in(iter(sampler)) == 6


def test_a_loop_that_sets_every_epoch_gets_it_whole():
    sampler = make()
    for epoch in (0, 1, 2, 2, 7):
        sampler.set_epoch(epoch)
        sampler.set_epoch(epoch)  # Trainer and Accelerate both do
        assert len(sampler) == 5
        batches = list(sampler)
        assert len(batches) == 5
        assert {key.epoch for batch in batches for key in batch} == {epoch}
        assert sampler.epoch == epoch
    sampler.epoch = 3
    assert epoch_in(iter(sampler)) == 3


def test_the_last_batch_ends_an_epoch_though_nobody_asks_for_more():
    sampler = make()
    sampler.set_epoch(4)
    iterator = iter(sampler)
    for _ in range(len(sampler)):  # Lightning counts
        next(iterator)
    assert epoch_in(iter(sampler)) == 5


def test_an_iterator_takes_its_epoch_with_its_first_item():
    sampler = make()
    iterator = iter(sampler)  # Lightning makes it before it sets the epoch
    sampler.set_epoch(3)
    assert epoch_in(iterator) == 3
    sampler.set_epoch(4)
    assert epoch_in(iterator) == 3


def test_a_resumed_place_survives_the_calls_of_frameworks():
    state_of = make()
    state_of.set_epoch(3)
    rest = list(state_of)[2:]
    state_of.set_epoch(3)
    left(state_of)
    state = state_of.state_dict()
    for calls in (
        lambda sampler: sampler.load_state_dict(state),
        lambda sampler: (sampler.load_state_dict(state), sampler.set_epoch(3)),
        lambda sampler: (sampler.set_epoch(3), sampler.load_state_dict(state), len(sampler)),
        lambda sampler: (left(sampler), sampler.load_state_dict(state), sampler.set_epoch(3), sampler.set_epoch(3)),
    ):
        sampler = make()
        calls(sampler)
        assert sampler.epoch == 3
        assert len(sampler) == 5  # of the whole epoch
        assert list(sampler) == rest
        assert epoch_in(iter(sampler)) == 4
    sampler = make()
    iterator = iter(sampler)
    sampler.load_state_dict(state)
    sampler.set_epoch(3)
    assert list(iterator) == rest
    resumed = iter(make())
    resumed.load_state_dict(state)
    assert list(resumed) == rest


def test_another_epoch_after_a_load_begins_whole_and_says_what_is_dropped():
    state_of = make()
    left(state_of)
    state = state_of.state_dict()
    sampler = make()
    sampler.load_state_dict(state)
    with pytest.warns(UserWarning, match=r"set_epoch\(4\) drops the place .* in epoch 0; after a resume"):
        sampler.set_epoch(4)
    assert len(list(sampler)) == 5
    sampler.load_state_dict(state)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sampler.set_epoch(1)  # the next epoch is what a loop goes on with
    assert len(list(sampler)) == 5


def test_a_state_of_a_whole_epoch_goes_on_with_the_next():
    done = make()
    list(done)
    state = done.state_dict()
    assert (state["epoch"], state["taken"]) == (0, [[1, 5]])
    sampler = make()
    sampler.load_state_dict(state)
    assert epoch_in(iter(sampler)) == 1
    for epoch, left_over in ((1, 5), (0, 0)):
        sampler = make()
        sampler.load_state_dict(state)
        sampler.set_epoch(epoch)
        assert len(list(sampler)) == left_over
        assert epoch_in(iter(sampler)) == epoch + 1
    resumed = make(rank=0, world_size=2)
    resumed.load_state_dict(state)
    assert epoch_in(iter(resumed)) == 1


def test_a_resumed_run_goes_on_as_the_one_that_was_not_stopped():
    straight, stopped = make(), make()
    runs = [left(straight, 3), left(straight, 3), left(straight, 3)]
    left(stopped, 2)
    resumed = make()
    resumed.load_state_dict(stopped.state_dict())
    assert left(resumed, 1) == runs[0][2:]
    assert [left(resumed, 3), left(resumed, 3)] == runs[1:]


def test_two_iterators_keep_their_own_places():
    sampler = make()
    first, second = iter(sampler), iter(sampler)
    assert [epoch_in(first), epoch_in(second), epoch_in(first)] == [0, 1, 0]
    assert first.state_dict()["taken"] == [[1, 2]]
    assert second.state_dict()["taken"] == [[1, 1]]
    assert sampler.state_dict() == second.state_dict()


def test_a_state_before_the_first_item_is_the_beginning_of_what_comes():
    sampler = make()
    assert (sampler.state_dict()["epoch"], sampler.state_dict()["taken"]) == (0, [])
    list(sampler)
    iterator = iter(sampler)
    assert sampler.state_dict() == iterator.state_dict()
    assert (iterator.state_dict()["epoch"], iterator.state_dict()["taken"]) == (1, [])
    sampler.set_epoch(8)
    assert sampler.state_dict()["epoch"] == 8


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda sampler: pickle.loads(pickle.dumps(sampler))])
def test_a_copy_gives_what_the_sampler_would_give_next(copied):
    sampler = make()
    sampler.set_epoch(3)
    left(sampler)
    assert list(copied(sampler)) == list(sampler)
    iterator = copied(iter(sampler))
    assert list(iterator) == list(sampler)
    loaded = make()
    loaded.load_state_dict(iterator.state_dict())
    assert epoch_in(iter(copied(loaded))) == 5


@pytest.mark.parametrize(("epoch", "error"), [(-1, ValueError), (1.5, TypeError), ("1", TypeError)])
def test_an_epoch_is_an_integer_from_0(epoch, error):
    with pytest.raises(error):
        make().set_epoch(epoch)


def test_lightning_and_accelerate_find_set_epoch():
    sampler = make()
    sampler.sampler.set_epoch(2)  # both look at batch_sampler.sampler
    assert epoch_in(iter(sampler)) == 2


def test_the_epoch_of_an_evaluation_stays():
    sampler = af.EvaluationSampler(10, batch_size=4)
    assert list(sampler) == list(sampler)
    assert {key.epoch for batch in sampler for key in batch} == {0}
    sampler.set_epoch(2)
    assert [{key.epoch for batch in sampler for key in batch} for _ in range(2)] == [{2}, {2}]
