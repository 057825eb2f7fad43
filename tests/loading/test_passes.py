"""Passes over a feed: one at a time, of samplers without a state, after deaths between batches, with StopIteration."""

import contextlib
import itertools
import multiprocessing
import os
import signal
import time

import pytest
import torch
from feed_datasets import Bands, Pairs
from loading_probes import CountingSampler, Drawing, background_threads
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler

import audiofeed as af
from audiofeed.loading import WorkerDiedError, watch, worker_choice
from audiofeed.loading.loader_parts import stateful_sampler
from audiofeed.loading.worker_choice import choose_workers

# seconds that nothing here takes
LIMIT = 60


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    deadline = time.monotonic() + LIMIT
    while (background_threads() or multiprocessing.active_children()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not background_threads()
    assert not multiprocessing.active_children()


def make(dataset, workers, **settings):
    settings = {"batch_size": 2, "shuffle": False, "device": "cpu", "timeout": 20.0, **settings}
    return af.Feed(dataset, Bands(), workers=workers, **settings)


def targets(batches):
    return [batch.targets.tolist() for batch in batches]


# one iteration at a time


@pytest.mark.parametrize("workers", [0, "auto", 2])
def test_a_newer_iteration_ends_an_older_one_with_an_error(workers):
    expected = targets(make(Pairs(20), 0))
    with make(Pairs(20), workers) as feed:
        older = iter(feed)
        assert targets(itertools.islice(older, 3)) == expected[:3]
        newer = iter(feed)
        assert targets([next(newer)]) == expected[:1]
        state = feed.state_dict()
        with pytest.raises(RuntimeError, match="a newer one of the same loader has begun"):
            next(older)
        # which takes nothing from the newer one
        assert feed.state_dict() == state
        assert targets(newer) == expected[1:]
        with pytest.raises(RuntimeError, match="a newer one"):
            list(zip(feed, feed, strict=True))
        assert targets(feed) == expected


def test_workers_that_persist_serve_one_iteration_of_any_loader():
    loader = af.DeviceLoader(
        DataLoader(Pairs(12), batch_size=2, num_workers=1, persistent_workers=True, collate_fn=len), device="cpu"
    )
    older = iter(loader)
    next(older)
    assert list(loader) == [2] * 6
    with pytest.raises(RuntimeError, match="a newer one"):
        next(older)


def test_iterations_that_share_nothing_go_on_side_by_side():
    loader = af.DeviceLoader(DataLoader(Pairs(12), batch_size=2, collate_fn=len), device="cpu")
    assert list(zip(loader, loader, strict=True)) == [(2, 2)] * 6


@pytest.mark.parametrize("workers", [0, 2])
def test_an_iteration_of_a_closed_feed_says_so_and_the_state_goes_on(workers):
    expected = targets(make(Pairs(20), 0))
    feed = make(Pairs(20), workers)
    batches = iter(feed)
    next(batches)
    feed.close()
    with pytest.raises(RuntimeError, match="its feed was closed"):
        list(batches)
    feed.load_state_dict(feed.state_dict())
    assert targets(feed) == expected[1:]
    feed.close()


# samplers without a state


@pytest.fixture
def chosen(monkeypatch):
    """A worker is chosen after three batches, as on a machine of more cores, where loading draws nothing."""

    def choose(**figures):
        return choose_workers(**{**figures, "load": 9.0, "work": 9.0, "step": 9.0, "cores": 4, "threads": False})

    monkeypatch.setattr("audiofeed.loading.feed.choose_workers", choose)
    monkeypatch.setattr("audiofeed.loading.feed.MEASURED", 3)
    return worker_choice


class WithoutTaken(CountingSampler):
    """A sampler whose state counts what it has handed out, whoever took it."""

    def state_dict(self):
        return super().state_dict()


@pytest.mark.parametrize("kind", ["torch", "list", "generator", "without taken"])
def test_auto_takes_workers_for_the_next_pass_of_a_sampler_without_a_state(chosen, kind):
    made = {
        "torch": lambda: BatchSampler(SequentialSampler(range(20)), 2, False),
        "list": lambda: [[n, n + 1] for n in range(0, 20, 2)],
        "generator": lambda: ([n, n + 1] for n in range(0, 20, 2)),
        "without taken": lambda: WithoutTaken(20, 2),
    }
    expected = targets(make(Pairs(20), 0, batch_size=None, shuffle=True, sampler=made[kind]()))
    with make(Pairs(20), "auto", batch_size=None, shuffle=True, sampler=made[kind]()) as feed:
        assert targets(feed) == expected
        assert feed.loader.num_workers == 0
        assert targets(feed) == ([] if kind == "generator" else expected)
        assert feed.loader.num_workers == 1
        with pytest.raises(TypeError, match="have no state_dict"):
            feed.state_dict()


@pytest.mark.parametrize("ahead", [0, 2])
def test_auto_takes_no_workers_for_a_dataset_that_draws_from_the_loops_numbers(chosen, ahead):
    def run(workers):
        torch.manual_seed(3)
        with make(Drawing(20), workers, ahead=ahead) as feed:
            found = [(batch.waveforms, torch.rand(2)) for _ in range(2) for batch in feed]
            return found, feed.loader.num_workers, feed.stats().choice

    expected, _, _ = run(0)
    found, workers, reason = run("auto")
    assert workers == 0
    assert "draws from this process's random numbers" in reason
    for one, other in zip(found, expected, strict=True):
        assert all(map(torch.equal, one, other))


def test_the_choice_waits_until_it_is_known_whether_loading_draws(chosen):
    """Passes of one batch, none of which is looked at."""
    with make(Pairs(2), "auto") as feed:
        for _ in range(6):
            assert sorted(itertools.chain(*targets(feed))) == [0, 1]
        assert feed.loader.num_workers == 0
        assert not feed.stats().choice


# the epoch of a pass


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("reaches", ["feed", "sampler"])
def test_an_epoch_set_within_the_loop_is_the_state_of_the_next(workers, reaches):
    with make(Pairs(12), workers, shuffle=True, seed=4) as feed:
        feed.set_epoch(5)
        beginning = feed.state_dict()
        expected = targets(feed)
        feed.set_epoch(0)
        for number, _batch in enumerate(feed):
            if number == 2:
                getattr(feed, reaches, feed).set_epoch(5)
            if number >= 2:
                assert feed.state_dict() == beginning
        assert number == 5
        assert feed.state_dict() == beginning
        feed.load_state_dict(feed.state_dict())
        assert targets(feed) == expected


def test_an_epoch_set_back_within_the_loop_begins_anew():
    with make(Pairs(12), 0, shuffle=True, seed=4) as feed:
        beginning = feed.state_dict()
        batches = iter(feed)
        next(batches)
        feed.set_epoch(5)
        feed.set_epoch(0)
        assert feed.state_dict() == beginning


# deaths


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_dies_within_the_loops_own_step_is_replaced(how):
    expected = targets(make(Pairs(20), 0))
    with make(Pairs(20), 2) as feed:
        batches = iter(feed)
        next(batches)
        _kill(feed, how)
        feed.load_state_dict(feed.state_dict())
        assert targets(feed) == expected[1:]
        assert targets(feed) == expected
        # and between two passes
        _kill(feed, how)
        assert targets(feed) == expected


def test_closing_with_a_dead_worker_raises_nothing():
    feed = make(Pairs(20), 2)
    next(iter(feed))
    workers = feed.loader._iterator._workers
    _kill(feed, signal.SIGKILL)
    feed.close()
    assert not any(worker.is_alive() for worker in workers)


def test_a_worker_that_is_killed_while_the_feed_closes_raises_nothing(monkeypatch):
    feed = make(Pairs(20), 2)
    next(iter(feed))
    source = feed.loader._iterator
    shut_down = source._shutdown_workers

    def killed():
        os.kill(source._workers[0].pid, signal.SIGKILL)
        os.waitid(os.P_PID, source._workers[0].pid, os.WEXITED | os.WNOWAIT)  # and nobody has been told yet
        time.sleep(0.05)
        shut_down()

    monkeypatch.setattr(source, "_shutdown_workers", killed)
    feed.close()
    assert not any(worker.is_alive() for worker in source._workers)
    assert len(targets(feed)) == 10
    feed.close()


def _kill(feed, how):
    """Kill a worker in the loop's own step; torch raises there, unless the worker takes SIGTERM for its end."""
    worker = feed.loader._iterator._workers[0]
    with contextlib.suppress(RuntimeError):
        os.kill(worker.pid, how)
        worker.join(LIMIT)
        time.sleep(0.05)
    worker.join(LIMIT)
    assert not worker.is_alive()


class Leaving(Pairs):
    """Leaves its worker at one item, without a word, once."""

    def __init__(self, flag, error):
        super().__init__(20)
        self.flag, self.error = str(flag), error

    def __getitem__(self, index):
        if index == 11 and not os.path.exists(self.flag):
            with open(self.flag, "w"):
                pass
            raise self.error
        return super().__getitem__(index)


@pytest.mark.parametrize("error", [SystemExit(0), SystemExit(4), KeyboardInterrupt()], ids=["exit", "exit 4", "ctrl-c"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_leaves_by_itself_is_named_and_the_feed_goes_on(tmp_path, error, workers):
    expected = targets(make(Pairs(20), 0))
    with make(Leaving(tmp_path / "flag", error), workers) as feed:
        with pytest.raises(WorkerDiedError, match=r"has ended by itself with exit code [04]"):
            list(feed)
        feed.load_state_dict(feed.state_dict())
        rest = targets(feed)
        assert rest == expected[len(expected) - len(rest) :]
        assert 4 < len(rest) <= 10


@pytest.mark.parametrize("broken", [ConnectionResetError(104, "reset"), EOFError(), FileNotFoundError(2, "no socket")])
def test_a_broken_connection_to_a_dead_worker_is_its_death(broken, monkeypatch):
    """What reading its last batch raises, where the worker is gone before the batch is read."""
    with make(Pairs(40), 2) as feed:
        batches = iter(feed)
        next(batches)
        source = feed.loader._iterator
        _expect_nothing_of(source)

        def severed(timeout=0):
            os.kill(source._workers[1].pid, signal.SIGKILL)
            raise broken

        monkeypatch.setattr(source, "_try_get_data", severed)
        with pytest.raises(WorkerDiedError, match=r"worker 1 of 2 \(pid \d+\) was killed by SIGKILL") as caught:
            list(batches)
        assert caught.value.__cause__ is broken


def test_an_error_of_the_loader_beside_living_workers_stays_as_it_is(monkeypatch):
    with make(Pairs(40), 1) as feed:
        batches = iter(feed)
        next(batches)
        broken = FileNotFoundError(2, "no such thing")

        def severed(timeout=0):
            raise broken

        monkeypatch.setattr(feed.loader._iterator, "_try_get_data", severed)
        with pytest.raises(FileNotFoundError) as caught:
            list(batches)
        assert caught.value is broken


def _expect_nothing_of(source):
    """As if SIGCHLD came after the read had failed."""
    watch._signal_handling("_remove_worker_pids")(id(source))
    source._worker_pids_set = False


def test_a_torch_that_has_no_such_names_is_served(monkeypatch):
    """The functions of torch's handler of SIGCHLD are torch's own; all is as before without them but its timing."""
    assert watch._signal_handling("_set_worker_pids") is not None
    assert watch._signal_handling("_no_such_name") is None
    monkeypatch.setattr(watch, "_signal_handling", lambda name: None)
    with make(Pairs(12), 2) as feed:
        for _ in range(2):
            assert sum(len(batch.targets) for batch in feed) == 12


# StopIteration of an item


class Stops(Pairs):
    def __getitem__(self, index):
        return super().__getitem__(index) if index != 11 else next(iter(()))


@pytest.mark.parametrize("workers", [0, "threads", 2])
@pytest.mark.parametrize("ahead", [0, 2])
def test_stop_iteration_of_an_item_is_an_error(workers, ahead):
    had = []
    with make(Stops(20), workers, ahead=ahead) as feed, pytest.raises(RuntimeError, match="raised StopIteration"):
        had += (batch.targets.tolist() for batch in feed)
    assert len(had) < 10


def test_the_end_of_a_stream_is_none():
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(range(5))

    for workers in (0, 1):
        loader = DataLoader(Stream(), batch_size=2, num_workers=workers, collate_fn=list)
        assert list(af.DeviceLoader(loader)) == [[0, 1], [2, 3], [4]]


# a device loader in another


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_without_a_state_can_be_wrapped_twice(workers):
    sampler = RandomSampler(range(12), generator=torch.Generator().manual_seed(1))
    loader = DataLoader(Pairs(12), batch_size=4, sampler=sampler, num_workers=workers, collate_fn=len)
    twice = af.DeviceLoader(af.DeviceLoader(loader, device="cpu"), device="cpu")
    assert list(twice) == [4, 4, 4]
    with pytest.raises(TypeError, match="no state_dict"):
        twice.state_dict()
    with make(Pairs(12), workers, batch_size=None, shuffle=True, sampler=[[0, 1], [2]]) as feed:
        assert targets(af.DeviceLoader(feed, device="cpu")) == [[0, 1], [2]]


def test_a_state_goes_through_two_device_loaders():
    def make_twice():
        loader = DataLoader(Pairs(12), batch_sampler=CountingSampler(12, 2), collate_fn=padded_targets)
        return af.DeviceLoader(af.DeviceLoader(loader, device="cpu"), device="cpu")

    expected = [batch.tolist() for batch in make_twice()]
    loader = make_twice()
    batches = iter(loader)
    had = [next(batches).tolist() for _ in range(2)]
    state = loader.state_dict()
    batches.close()
    again = make_twice()
    again.load_state_dict(state)
    assert had + [batch.tolist() for batch in again] == expected


def padded_targets(items):
    return torch.tensor([target for _, target in items])


def test_a_sampler_that_cannot_count_back_has_no_state_for_a_loader():
    assert stateful_sampler(DataLoader(Pairs(4), batch_sampler=WithoutTaken(4, 2))) is None
    assert stateful_sampler(DataLoader(Pairs(4), batch_sampler=CountingSampler(4, 2))) is not None
