"""Time limits and deaths: a read that never returns and a worker that is killed are named, and nothing is left."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from feed_datasets import Bands, Pairs
from loading_probes import background_threads, shared_memory
from torch.utils.data import Dataset

import audiofeed as af
from audiofeed.data import AudioInfo, Reader, register_reader
from audiofeed.data.readers.registry import READERS
from audiofeed.loading import ReadTimeoutError, SharedMemoryFullError, WorkerDiedError
from audiofeed.loading import watch as watches

# a time limit for what the tests wait for; all of it takes far less
LIMIT = 60


class Stuck(Reader):
    """Files of a second of silence, of which those named "stuck" never come while a gate file is there."""

    name, extensions = "gated", (".gated",)

    def info(self, file):
        return AudioInfo(file.path, 8000, channels=1, frames=8000, format="GATED", subtype="PCM_16")

    def read(self, file, info, start, frames):
        begun = time.monotonic()
        while "stuck" in file.path and os.path.exists(file.path + ".gate") and time.monotonic() - begun < LIMIT:
            time.sleep(0.01)
        return torch.zeros(frames, dtype=torch.int16)


@pytest.fixture
def files(tmp_path):
    """Twenty files; the sixth gets stuck at the second epoch or whenever `gate` is written."""
    register_reader(Stuck())
    for index in range(20):
        (tmp_path / f"{index:02}{'-stuck' if index == 13 else ''}.gated").write_bytes(b"gated")
    yield af.AudioFolder(tmp_path)
    READERS[:] = [reader for reader in READERS if reader.name != "gated"]


@pytest.fixture
def gate(tmp_path):
    path = tmp_path / "13-stuck.gated.gate"
    path.write_bytes(b"")
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def nothing_is_left():
    before = shared_memory()
    yield
    deadline = time.monotonic() + LIMIT
    while (background_threads() or multiprocessing.active_children()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not background_threads()
    assert not multiprocessing.active_children()
    assert shared_memory() <= before


def make(dataset, workers, **settings):
    settings = {"batch_size": 2, "shuffle": False, "device": "cpu", "timeout": 1.0, **settings}
    return af.Feed(dataset, Bands() if isinstance(dataset, Pairs) else None, workers=workers, **settings)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_read_that_never_returns_is_named_and_the_feed_goes_on_from_its_state(files, gate, workers):
    with make(files, workers) as feed:
        batches, had = iter(feed), []
        begun = time.monotonic()
        with pytest.raises(ReadTimeoutError) as caught:
            had += (batch.names for batch in batches)
        assert time.monotonic() - begun < 30
        text = str(caught.value)
        assert text.startswith(f"{str(gate)[:-5]!r} has been read for ")
        assert ("in this process" in text) == (workers == 0)
        assert ("by worker " in text) == (workers == 2)
        assert "timeout=1 allows that long" in text
        state = feed.state_dict()
        gate.unlink()
        feed.load_state_dict(state)
        rest = [batch.names for batch in feed]
        expected = [batch.names for batch in feed]
        assert state["sampler"]["taken"] == ([[1, len(expected) - len(rest)]] if len(rest) < 10 else [])
        assert expected[len(expected) - len(rest) :] == rest


@pytest.mark.parametrize("position", [0, 1])
def test_the_first_batches_are_watched_too(files, gate, position):
    """They are made while the loop waits, to see whether they draw random numbers."""
    batches = [[0, 1], [2, 3], [4, 5]]
    batches[position] = [13]
    with make(files, 0, batch_size=None, sampler=batches, shuffle=True) as feed:
        with pytest.raises(ReadTimeoutError, match=r"13-stuck.gated' has been read for"):
            list(feed)
        gate.unlink()


class Sleepy(Dataset):
    """Somebody's dataset, which does not tell what it reads, and of which one item never comes."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        if index == 5:
            time.sleep(LIMIT if torch.utils.data.get_worker_info() else 3)
        return torch.ones(100 + index), index


@pytest.mark.parametrize("workers", ["threads", 1])
def test_a_dataset_of_somebody_elses_is_named_by_its_workers(workers):
    with make(Sleepy(), workers) as feed, pytest.raises(ReadTimeoutError) as caught:
        list(feed)
    assert ("the workers (pids" in str(caught.value)) == (workers == 1)
    assert "given no batch for" in str(caught.value)


def test_slow_reads_that_go_on_are_not_stopped(files, monkeypatch):
    """Ten reads of a sixth of the limit make a batch that takes longer than the limit."""

    def slow(self, file, info, start, frames):
        time.sleep(0.25)
        return torch.zeros(frames, dtype=torch.int16)

    monkeypatch.setattr(Stuck, "read", slow)
    with make(files, 1, batch_size=10, timeout=1.5) as feed:
        assert [len(batch) for batch in feed] == [10, 10]


# deaths


class Deadly(Pairs):
    """Kills the worker that loads its item, once: at the second try the item is there."""

    def __init__(self, flag, how, clips=20):
        super().__init__(clips)
        self.flag, self.how = str(flag), how

    def __getitem__(self, index):
        if index == 11 and not os.path.exists(self.flag):
            with open(self.flag, "w"):
                pass
            if self.how == "exit":
                os._exit(3)
            os.kill(os.getpid(), self.how)
            time.sleep(LIMIT)
        return super().__getitem__(index)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (signal.SIGKILL, "was killed by SIGKILL (as the system does where memory runs out: use fewer workers"),
        (signal.SIGBUS, "was killed by SIGBUS (as where /dev/shm is full: make it larger"),
        (signal.SIGTERM, "was killed by SIGTERM"),
        ("exit", "has ended by itself with exit code 3"),
    ],
)
def test_a_dead_worker_is_named_within_ten_seconds_and_resume_is_exact(tmp_path, how, said):
    expected = [batch.targets.tolist() for batch in make(Pairs(20), 0)]
    with make(Deadly(tmp_path / "flag", how), 2, timeout=None) as feed:
        had = []
        begun = time.monotonic()
        with pytest.raises(WorkerDiedError) as caught:
            had += (batch.targets.tolist() for batch in feed)
        assert time.monotonic() - begun < 10 + 5
        text = str(caught.value)
        assert "of 2 (pid " in text
        assert said in text
        assert "begin again from it with load_state_dict" in text
        state = feed.state_dict()
        feed.load_state_dict(state)
        rest = [batch.targets.tolist() for batch in feed]
        assert rest == expected[len(expected) - len(rest) :]
        assert 4 < len(rest) <= 10


def test_a_worker_that_is_killed_while_it_reads_is_named_with_the_file(files, gate):
    with make(files, 2, timeout=None) as feed:
        batches = iter(feed)
        next(batches)
        deadline = time.monotonic() + LIMIT

        def kill():
            stuck = []
            while not stuck and time.monotonic() < deadline:
                time.sleep(0.01)
                stuck = [reading.worker for reading in files.reading() if "stuck" in reading.path]
            os.kill(feed.loader._iterator._workers[stuck[0]].pid, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(WorkerDiedError, match=r"while it read '.*13-stuck.gated'"):
            list(batches)
        killer.join(LIMIT)


def test_the_processes_of_a_killed_loop_end_by_themselves(tmp_path):
    """kill -9 of the training process itself: its workers see that it is gone."""
    code = f"""
import sys; sys.path[:0] = {sys.path!r}
import torch, audiofeed as af
from feed_datasets import Pairs
feed = af.Feed(Pairs(40), batch_size=2, device="cpu", workers=2)
batches = iter(feed); next(batches); next(batches)
print(*[worker.pid for worker in feed.loader._iterator._workers], flush=True)
import time; time.sleep({LIMIT})
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) == 2
    process.kill()
    process.wait(LIMIT)
    process.stdout.close()
    deadline = time.monotonic() + LIMIT
    while any(_is_running(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_is_running(pid) for pid in pids)


def test_a_worker_that_starts_after_its_loop_was_killed_ends_too():
    """Torch's own watch compares with the parent that it finds when it starts, which is another one by then."""
    pipe, end = os.pipe()
    loop = os.fork()
    if loop == 0:
        context = multiprocessing.get_context("fork")
        context.Process(target=_start_late, args=(os.getpid(), end)).start()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(loop, 0)
    os.close(end)
    with os.fdopen(pipe, "rb") as found:
        assert found.read() == b"started late,"  # until the worker has ended


def _start_late(loop, end):
    while os.getppid() == loop:
        time.sleep(0.01)
    os.write(end, b"started late,")
    watches.end_if_orphaned(0)
    os.write(end, b"and stayed")


def _is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


# shared memory


def test_a_worker_that_finds_no_room_for_its_batch_ends_in_an_error(monkeypatch):
    """ENOSPC where the collate asks for memory, as torch raises it with a full /dev/shm."""

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with make(Pairs(20), 1) as feed, pytest.raises(OSError, match="No space left on device"):
        list(feed)


def test_a_batch_that_got_lost_with_shared_memory_full_is_explained(monkeypatch):
    """A queue's own thread drops what it cannot pickle, and no batch ever comes."""
    monkeypatch.setattr(watches, "_room", lambda: 0)
    monkeypatch.setattr(watches, "_FULL_FOR", 0.5)
    with (
        make(Sleepy(), 1, timeout=None) as feed,
        pytest.raises(SharedMemoryFullError, match="/dev/shm is full, through"),
    ):
        list(feed)


def test_room_is_that_of_the_file_system():
    status = os.statvfs("/dev/shm")
    assert abs(watches._room() - status.f_bavail * status.f_frsize) < 2**28


def test_ctrl_c_of_a_whole_group_spares_workers_that_are_spawned():
    # in a process of its own, where nothing has started the tracker of resources yet, whose start unblocks the signal
    code = textwrap.dedent("""
        import multiprocessing, os, signal
        from feed_datasets import Bands, Pairs
        from torch.utils.data import DataLoader
        import audiofeed as af

        if __name__ == "__main__":
            collate = af.GPUSpecCollate(Bands(), device="cpu")
            loader = DataLoader(Pairs(8), 4, num_workers=1, multiprocessing_context="spawn", collate_fn=collate)
            batches = iter(af.DeviceLoader(loader))
            (worker,) = multiprocessing.active_children()
            os.kill(worker.pid, signal.SIGINT)
            print(len(list(batches)))
    """)
    here = Path(__file__).resolve().parents[1]
    paths = os.pathsep.join([str(here / "feed"), str(here.parent), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.split() == ["2"], done.stderr


@pytest.mark.parametrize("has_begun", [False, True], ids=["starting", "begun"])
@pytest.mark.parametrize("in_thread", [False, True], ids=["main", "thread"])
def test_ctrl_c_of_a_whole_group_leaves_a_feed_that_goes_on(has_begun, in_thread):
    # a terminal and a notebook send it to the workers, too
    with af.Feed(Pairs(24), Bands(), batch_size=4, workers=2, evaluation=True) as feed:
        with ThreadPoolExecutor(1) as thread:
            batches = thread.submit(iter, feed).result() if in_thread else iter(feed)
            workers = [worker.pid for worker in multiprocessing.active_children()]
            assert len(workers) == 2
            if not has_begun:
                for pid in workers:
                    os.kill(pid, signal.SIGINT)
        first = next(batches)
        for pid in workers:
            os.kill(pid, signal.SIGINT)
        time.sleep(0.2)
        rest = list(batches)
        assert len([first, *rest]) == 6
        assert len(list(feed)) == 6
        assert {worker.pid for worker in multiprocessing.active_children()} == set(workers)
