"""Machine code on several threads: torch's own while they are awake, else others, and none spins beside decoders."""

import ctypes
import math
import os
import subprocess
import sys
import threading
import time

import pytest
import torch

import audiofeed as af
from audiofeed.methods.lengths import clear_own_past
from audiofeed.parallel import busy_cores, native_threads
from audiofeed.parallel.native_threads import call_in_parallel, unless_awake

needs_openmp = pytest.mark.skipif(
    sys.platform != "linux" or native_threads._openmp() is None, reason="needs torch's OpenMP and /proc"
)


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    """Two threads on cores that nobody else wants."""
    monkeypatch.setattr(busy_cores, "_look", lambda: False)
    monkeypatch.setattr(native_threads._Company, "until", -math.inf)
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.fixture
def ways(monkeypatch):
    """Which threads were given a job: "torch" or "others"."""
    found = []
    call, openmp = native_threads._Helpers.call, native_threads._openmp()
    monkeypatch.setattr(native_threads._Helpers, "call", lambda *job: found.append("others") or call(*job))
    monkeypatch.setattr(native_threads, "_openmp", lambda: lambda *job: found.append("torch") or openmp(*job))
    monkeypatch.setattr(native_threads, "_teams", native_threads._Teams())
    return found


def wait_until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def machine_code(work):
    """A function with an address, which calls `work(job)`, and its address."""
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(work)
    return function, ctypes.cast(function, ctypes.c_void_p).value


@needs_openmp
def test_threads_that_sleep_are_left_asleep_and_those_awake_are_taken(ways):
    _kept, address = machine_code(lambda job: None)
    team = native_threads._teams.mine
    wait_until(lambda: not team.spins())
    ways.clear()
    call_in_parallel(address, 1, 2)
    assert ways == ["others"]
    call_in_parallel(address, 1, 2)  # at once after another
    assert ways == ["others", "torch"]

    def after_a_step_of_torch():
        torch.ones(10**6).add_(1)
        awake = team.spins()
        team.last = team.last_to_them = -1.0  # not the time since the last job decides
        call_in_parallel(address, 1, 2)
        return awake

    wait_until(after_a_step_of_torch)  # another process may have kept its threads from spinning
    assert ways[-1] == "torch"


@needs_openmp
def test_every_thread_that_calls_has_a_team_of_its_own():
    teams = []

    def ask():
        torch.set_num_threads(2)
        native_threads._teams.mine.spins()
        teams.append(os.readlink(f"/proc/self/fd/{native_threads._teams.mine._stat}"))

    for _ in range(2):
        thread = threading.Thread(target=ask)
        before = len(os.listdir("/proc/self/fd"))
        thread.start()
        thread.join()
        assert len(os.listdir("/proc/self/fd")) == before  # its descriptor went with it
    native_threads._teams.mine.spins()
    assert os.readlink(f"/proc/self/fd/{native_threads._teams.mine._stat}") not in teams


@needs_openmp
def test_a_team_whose_thread_ended_is_looked_for_again():
    team = native_threads._Team()
    thread = threading.Thread(target=lambda: ids.append(threading.get_native_id()) or go.wait(60))
    ids, go = [], threading.Event()
    thread.start()
    wait_until(lambda: ids)
    team._stat = os.open(f"/proc/self/task/{ids[0]}/stat", os.O_RDONLY)
    go.set()
    thread.join()
    wait_until(lambda: not os.path.exists(f"/proc/self/task/{ids[0]}"))
    assert team.spins() is False
    assert team._stat is None
    team.spins()
    assert team._stat is not None


@needs_openmp
def test_features_of_a_padded_batch_wake_none_of_torchs_threads():
    mel = af.LogMelSpectrogram(sample_rate=16_000, n_fft=400, hop_length=160, n_mels=80)
    x, lengths = torch.randn(8, 160_000), torch.tensor([160_000, 20_000] * 4)
    team = native_threads._teams.mine

    def wakes():
        wait_until(lambda: not team.spins())
        mel(x, lengths)
        return team.spins()

    with torch.no_grad():
        mel(x, lengths)
        # what other tests left in this process may wake them now and then; features that do would every time
        assert not all(wakes() for _ in range(5))
        called = len(os.listdir("/proc/self/task"))
        for _ in range(3):
            wakes()
    assert len(os.listdir("/proc/self/task")) == called  # threads are kept


@needs_openmp
def test_light_steps_take_one_thread_unless_the_others_are_awake(monkeypatch):
    for awake, threads in ((True, 2), (False, 1)):
        monkeypatch.setattr(native_threads._Team, "spins", lambda team, awake=awake: awake)
        with unless_awake(10**6):
            assert torch.get_num_threads() == threads
        with unless_awake(10):
            assert torch.get_num_threads() == 2
    values = torch.ones(3, 5, 40_000)
    clear_own_past(values, torch.tensor([1, 40_000, 0]))
    assert values.sum(dim=(1, 2)).tolist() == [5, 200_000, 0]


@pytest.mark.parametrize("n_threads", [2, 3, 5])
def test_each_job_is_called_on_as_many_threads_as_it_asks_for(n_threads):
    """From several threads at once; a barrier would hang if a job had fewer."""
    met = [threading.Barrier(n_threads, timeout=60) for _ in range(4)]
    errors = []

    def work(job):
        try:
            met[job - 1].wait()
        except threading.BrokenBarrierError as error:
            errors.append(error)

    _kept, address = machine_code(work)

    def caller(job):
        for _ in range(20):
            native_threads._helpers.call(address, job, n_threads)

    callers = [threading.Thread(target=caller, args=(job,)) for job in range(1, 5)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(120)
    assert not errors
    assert not any(thread.is_alive() for thread in callers)


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_an_interrupt_leaves_no_thread_in_the_memory_of_the_job():
    code = """
import ctypes, os, signal, threading, time
from audiofeed.parallel import native_threads
done, started = [], threading.Event()
def work(job):
    if threading.current_thread() is threading.main_thread():
        started.wait(60)
        return
    started.set()
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.5)
    done.append(job)
function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(work)
try:
    native_threads._helpers.call(ctypes.cast(function, ctypes.c_void_p).value, 7, 2)
except KeyboardInterrupt:
    assert done == [7]
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(done.append)
    native_threads._helpers.call(ctypes.cast(function, ctypes.c_void_p).value, 8, 2)
    assert done == [7, 8, 8]
    print("interrupted")
"""
    found = subprocess.run([sys.executable, "-c", code], check=True, timeout=120, capture_output=True, text=True)
    assert found.stdout == "interrupted\n"
    assert not found.stderr


class Clock:
    """A team whose threads run for 5 ms after each step of theirs, at times that a test says."""

    def __init__(self, monkeypatch):
        self.now, self.step, self.team = 100.0, -math.inf, native_threads._Team()
        monkeypatch.setattr(native_threads._Team, "spins", lambda team: self.now - self.step < 5e-3)

    def jobs(self, n, every, *, torch_steps=False):
        """How many of n jobs, each so many seconds after the last, go to torch's threads."""
        given = 0
        for _ in range(n):
            self.now += every
            if torch_steps:
                self.step = self.now - min(every / 2, 2e-3)
            to_them = self.team.is_to_work(self.now)
            given += to_them
            self.team.last = self.now
            if to_them:
                self.step = self.team.last_to_them = self.now
        return given


@pytest.fixture
def beside_workers(monkeypatch):
    """Batches of workers come all the time."""
    monkeypatch.setattr(native_threads._Company, "until", math.inf)


@pytest.mark.usefixtures("beside_workers")
@pytest.mark.parametrize("every", [2e-4, 2e-3])
def test_beside_workers_jobs_do_not_keep_torchs_threads_awake_for_ever(every, monkeypatch):
    """As they did where batches came every 2 ms, while two workers wanted the two cores."""
    clock = Clock(monkeypatch)
    assert clock.jobs(3, every, torch_steps=True) > 0  # those that a step of torch's woke
    assert clock.jobs(100, every) <= 2
    assert clock.jobs(100, every) == 0


@pytest.mark.usefixtures("beside_workers")
@pytest.mark.parametrize("every", [2e-3, 4e-3, 20e-3])
def test_beside_workers_jobs_between_steps_of_torchs_threads_go_to_them(every, monkeypatch):
    clock = Clock(monkeypatch)
    assert clock.jobs(4000, every, torch_steps=True) > 3900
    assert clock.jobs(1000, every) <= native_threads.MOST_TRUST + 1  # and no longer when they sleep


def test_without_workers_jobs_that_are_close_together_keep_them_awake(monkeypatch):
    clock = Clock(monkeypatch)
    assert clock.jobs(10, every=2e-4) == 9
    assert clock.jobs(10, every=2e-3) == 10
    assert clock.jobs(10, every=2e-2) == 0
    assert clock.jobs(10, every=2e-2, torch_steps=True) == 10


@pytest.mark.parametrize("workers", [0, 1])
def test_a_batch_of_a_worker_tells_that_there_is_one(workers):
    clips = [torch.zeros(1000, dtype=torch.int16)] * 4
    collate = af.GPUSpecCollate(af.Spectrogram(64), device="cpu")
    batches = list(torch.utils.data.DataLoader(clips, 2, collate_fn=collate, num_workers=workers))
    assert len(batches) == 2
    assert native_threads.beside_workers() == (workers > 0)
    assert native_threads._Company.until <= time.monotonic() + native_threads.COMPANY
