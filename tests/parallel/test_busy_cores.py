"""When the cores count as busy: who runs on this machine, how long an answer holds, how long a thread waited."""

from __future__ import annotations

import sys
import threading
import time

import pytest
import torch

from audiofeed.parallel import busy_cores


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    """Two threads, and no answer from before."""
    monkeypatch.setattr(busy_cores, "_watch", busy_cores._Watch())
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("running", "own", "threads", "busy"),
    [
        (1, 1, 2, False),  # this thread alone
        (2, 2, 2, False),  # and one of torch's, that spins
        (2, 1, 2, True),  # and one of another process
        (3, 2, 2, True),
        (4, 2, 2, True),
        (2, 1, 1, False),  # one core is left for it
        (3, 1, 1, True),
    ],
)
def test_cores_are_busy_where_others_leave_torchs_threads_not_one_each(running, own, threads, busy, monkeypatch):
    monkeypatch.setattr(busy_cores.os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    monkeypatch.setattr(busy_cores, "running_threads", lambda: running)
    monkeypatch.setattr(busy_cores, "own_running_threads", lambda: own)
    torch.set_num_threads(threads)
    assert busy_cores._look() is busy


def test_a_passing_thread_of_the_system_does_not_make_cores_busy(monkeypatch):
    looks = iter([True, True, False])
    monkeypatch.setattr(busy_cores, "_look", lambda: next(looks))
    assert not busy_cores.cores_are_busy()


def test_an_answer_holds_for_a_while(monkeypatch):
    looks = []
    monkeypatch.setattr(busy_cores, "_look", lambda: looks.append(1) or True)
    now = [100.0]
    monkeypatch.setattr(busy_cores.time, "monotonic", lambda: now[0])
    assert busy_cores.cores_are_busy()
    first = len(looks)
    assert busy_cores.cores_are_busy()
    assert len(looks) == first
    now[0] += busy_cores.HOLDS_BUSY
    assert busy_cores.cores_are_busy()
    assert len(looks) == first + 1


def test_the_longer_cores_are_busy_the_longer_the_answer_holds_and_one_look_ends_it(monkeypatch):
    found, now = [True], [100.0]
    monkeypatch.setattr(busy_cores, "_look", lambda: found[0])
    monkeypatch.setattr(busy_cores.time, "monotonic", lambda: now[0])
    held = []
    for _ in range(8):
        assert busy_cores.cores_are_busy()
        held.append(busy_cores._watch._until - now[0])
        now[0] = busy_cores._watch._until
    assert held[0] == pytest.approx(busy_cores.HOLDS_BUSY)
    assert held[1] == pytest.approx(2 * held[0])
    assert held[-1] == pytest.approx(busy_cores.HOLDS_AT_MOST)
    found[0] = False
    assert not busy_cores.cores_are_busy()
    now[0] = busy_cores._watch._until
    found[0] = True
    assert busy_cores.cores_are_busy()
    assert busy_cores._watch._until - now[0] == pytest.approx(busy_cores.HOLDS_BUSY)


def test_a_process_on_some_of_the_cores_goes_by_how_long_it_waited(monkeypatch):
    waited = [0.0]
    monkeypatch.setattr(busy_cores, "_look", lambda: False)
    monkeypatch.setattr(busy_cores, "_has_all_cores", lambda: False)
    monkeypatch.setattr(busy_cores, "_waited", lambda: waited[0])
    for wait, busy in ((0.0, False), (1.0, True)):
        with busy_cores.beside_others(torch.device("cpu")):
            assert torch.get_num_threads() == 2
            time.sleep(2 * busy_cores.HOLDS_QUIET)
            waited[0] += wait
        assert busy_cores.cores_are_busy() is busy


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_linux_tells_who_runs():
    assert busy_cores.running_threads() >= 1
    assert busy_cores.own_running_threads() >= 1
    stop = threading.Event()

    def spin():
        while not stop.is_set():
            sum(range(10000))

    others = [threading.Thread(target=spin) for _ in range(2)]
    for other in others:
        other.start()
    try:
        # whoever waits for the interpreter sleeps; over many looks two are seen at once
        assert max(busy_cores.own_running_threads() for _ in range(300)) >= 2
    finally:
        stop.set()
        for other in others:
            other.join()


def test_a_thread_that_passes_at_once_takes_no_milliseconds(monkeypatch):
    """Looks come again at once, then ever later, and all of them must agree."""
    waits = []
    monkeypatch.setattr(busy_cores.time, "sleep", waits.append)
    for n_busy, slept, busy in ((1, 0, False), (2, 1, False), (3, 2, False), (6, 4, True)):
        looks = iter([True] * n_busy + [False])
        monkeypatch.setattr(busy_cores, "_watch", busy_cores._Watch())
        monkeypatch.setattr(busy_cores, "_look", lambda looks=looks: next(looks))
        waits.clear()
        assert busy_cores.cores_are_busy() is busy
        assert waits == sorted(waits) == [pause for pause in busy_cores.PAUSES if pause][:slept]
    assert sum(busy_cores.PAUSES) == pytest.approx(5e-3)
