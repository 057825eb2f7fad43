"""Ctrl-C waits while processes start, and never reaches them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading

import pytest
import torch

from audiofeed.demo.training import batches_of, make_loader
from audiofeed.parallel.interrupts import forgive_hangups, held_interrupts


def wait_until_told(conn):
    conn.send("here")
    conn.send("told " + conn.recv())


def test_ctrl_c_in_the_block_counts_at_its_end():
    steps = []

    def work():
        with held_interrupts():
            os.kill(os.getpid(), signal.SIGINT)
            steps.append("went on")
        steps.append("never")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert steps == ["went on"]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_that_another_thread_receives_waits_too():
    steps = []

    def work():
        with held_interrupts():
            # a thread that does not block the signal, as torch's and rich's were started before
            thread = threading.Thread(target=unblock_and_raise)
            thread.start()
            thread.join()
            steps.append("went on")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert steps == ["went on"]


def test_ctrl_c_is_not_lost_where_the_block_ends_in_an_error():
    def work():
        with held_interrupts():
            os.kill(os.getpid(), signal.SIGINT)
            raise OSError("no process more")

    with pytest.raises(KeyboardInterrupt) as caught:
        work()
    assert isinstance(caught.value.__context__, OSError)


def test_a_handler_that_was_not_set_from_python_stays(monkeypatch):
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    monkeypatch.setattr(signal, "signal", lambda number, handler: pytest.fail("it cannot be set again"))
    with held_interrupts():
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, set())
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())


def unblock_and_raise():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_never_see_ctrl_c(method):
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    child = context.Process(target=wait_until_told, args=(theirs,))
    with held_interrupts(method):
        child.start()
    assert ours.recv() == "here"
    os.kill(child.pid, signal.SIGINT)
    ours.send("to end")
    assert ours.poll(20)
    assert ours.recv() == "told to end"
    child.join()
    assert child.exitcode == 0


class Masked(torch.utils.data.Dataset):
    """Says whether Ctrl-C is blocked where it is read."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_workers_never_see_ctrl_c():
    loader = make_loader(Masked(), any, batch_size=2, workers=2, seed=None, pin_memory=False)
    assert list(batches_of(loader)) == [True, True]
    here = make_loader(Masked(), any, batch_size=2, workers=0, seed=None, pin_memory=False)
    assert list(batches_of(here)) == [False, False]


def test_only_hangups_are_forgiven(monkeypatch, capsys):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    forgive_hangups(0)
    sys.excepthook(ConnectionResetError, ConnectionResetError("gone"), None)
    assert capsys.readouterr().err == ""
    sys.excepthook(RuntimeError, RuntimeError("trouble"), None)
    assert "trouble" in capsys.readouterr().err
