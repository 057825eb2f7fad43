"""Ctrl-C in `audiofeed report`: the page that was there stays, and no process is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import audiofeed as af
from audiofeed.report import gather

ROOT = Path(__file__).resolve().parents[2]


def interrupted(program, folder, wait):
    """Run a program in its own group, send Ctrl-C to all of it once it is there; return exit code and errors."""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=folder,
        start_new_session=True,
    )
    try:
        wait(process)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return process.returncode, errors


SLOW_SAMPLES = """
import sys, time
import audiofeed.report.gather as run
measure_clip = run.measure_clip
def slowly(*arguments):
    print("measuring", flush=True)
    time.sleep(60)
run.measure_clip = slowly
from audiofeed.cli import main
sys.exit(main(["report", "data", "--device", "cpu", "--out", "old.html"]))
"""
LONG_TEST = """
import sys
import audiofeed.report.gather as run
run._WORKERS = (2,)
measure_speed = run.measure_speed
def said(*arguments, **settings):
    print("testing", flush=True)
    return measure_speed(*arguments, **settings)
run.measure_speed = said
from audiofeed.cli import main
sys.exit(main(["report", "data", "--device", "cpu", "--out", "old.html", "--speed-seconds", "600"]))
"""


def test_ctrl_c_leaves_the_page_that_was_there(data):
    Path("old.html").write_text("old")
    before = sorted(path.name for path in Path().iterdir())

    def measuring(process):
        assert process.stdout.readline() == "measuring\n"

    assert interrupted(SLOW_SAMPLES, ".", measuring) == (130, "audiofeed: interrupted\n")
    assert Path("old.html").read_text() == "old"
    assert sorted(path.name for path in Path().iterdir()) == before


def test_an_error_that_ctrl_c_brought_about_is_no_result_of_the_test_of_speed(data, monkeypatch):
    def ended(*arguments, **settings):
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("worker 0 of 2 has ended by itself")

    monkeypatch.setattr(gather, "measure_speed", ended)
    with pytest.raises(KeyboardInterrupt):
        af.write_report("data", out="page.html", device="cpu")
    assert not Path("page.html").exists()


@pytest.mark.skipif(shutil.which("ps") is None, reason="needs ps")
def test_ctrl_c_in_the_test_of_speed_ends_its_workers(data):
    def group(leader):
        listed = subprocess.run(["ps", "-eo", "pgid,stat"], capture_output=True, text=True, check=True).stdout
        rows = [line.split() for line in listed.splitlines()[1:]]
        return sum(row[0] == str(leader) and not row[1].startswith("Z") for row in rows)

    leaders = []

    def working(process):
        leaders.append(process.pid)
        assert process.stdout.readline() == "testing\n"  # imports start processes, too, which are no workers
        end = time.monotonic() + 60
        while group(process.pid) < 3:
            assert process.poll() is None
            assert time.monotonic() < end, "no workers came"
            time.sleep(0.05)

    assert interrupted(LONG_TEST, ".", working) == (130, "audiofeed: interrupted\n")
    end = time.monotonic() + 10
    while group(leaders[0]):
        assert time.monotonic() < end, "a worker is left"
        time.sleep(0.05)
    assert not list(Path().glob("*.html*"))
