"""Ctrl-C while the command's process imports torch, and before that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from audiofeed import cli, starting

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def python(tmp_path):
    """Start Python where torch sends Ctrl-C to whoever imports it, in place of taking seconds."""
    (tmp_path / "torch.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nprint('went on')\n")

    def run(*arguments, **options):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, **options)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def script(tmp_path):
    """The file that an installer makes of the wheel's entry point."""
    module, function = entry_point().split(":")
    (tmp_path / "bin").mkdir()
    path = tmp_path / "bin" / "audiofeed"
    path.write_text(f"import sys\nfrom {module} import {function}\nsys.exit({function}())\n")
    return path


def entry_point() -> str:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    return next(line.split('"')[1] for line in lines if line.startswith("audiofeed = "))


@pytest.mark.parametrize("arguments", [["demo"], ["scan", "speech"]])
def test_ctrl_c_during_imports_is_a_line_and_code_130(python, script, arguments):
    left = (130, "", "audiofeed: interrupted\n")
    assert python("-m", "audiofeed", *arguments) == left
    assert python(script, *arguments) == left


def test_other_processes_are_left_alone(python):
    code, out, err = python("-c", "import audiofeed", "scan")
    assert (code in (130, -signal.SIGINT), out) == (True, "")
    assert err.startswith("Traceback")
    assert err.endswith("KeyboardInterrupt\n")


def test_a_command_that_ignores_ctrl_c_goes_on(python):
    ignored = lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)  # noqa: E731  # as `audiofeed demo &` in a script
    _, out, err = python("-m", "audiofeed", "demo", preexec_fn=ignored)
    assert out == "went on\n"
    assert "interrupted" not in err


@pytest.mark.parametrize(
    ("arguments", "original", "is_command"),
    [
        (["-m", "scan", "x"], ["python", "-m", "audiofeed", "scan", "x"], True),
        (["-m"], ["python", "-X", "dev", "-um", "audiofeed"], True),
        (["-m"], ["python", "-maudiofeed"], True),
        (["/usr/bin/audiofeed", "demo"], ["/usr/bin/python", "/usr/bin/audiofeed", "demo"], True),
        (["-m", "audiofeed"], ["python", "-m", "pytest", "audiofeed"], False),
        (["-c", "audiofeed"], ["python", "-c", "import audiofeed", "audiofeed"], False),
        # a process that the demo starts has its own command line, and gets the demo's sys.argv
        (["/usr/bin/audiofeed", "demo"], ["python", "-c", "from multiprocessing.spawn import spawn_main"], False),
        (["/home/audiofeed/train.py"], ["python", "/home/audiofeed/train.py"], False),
        ([], ["python"], False),
        ([""], [], False),
    ],
)
def test_who_is_the_command(arguments, original, is_command):
    assert starting.is_command(arguments, original) is is_command


@pytest.mark.parametrize("command", ["demo", "scan"])
def test_work_that_has_begun_ends_in_order(monkeypatch, capsys, command):
    found = []

    def work(settings):
        found.append(signal.getsignal(signal.SIGINT))
        assert found == [signal.default_int_handler]
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("audiofeed.demo.run.run", work)
    monkeypatch.setattr("audiofeed.survey.run.run_survey", work)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        starting.leave_at_interrupt()
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        assert cli.main([command, *(["speech"] if command == "scan" else [])]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(found) == 1
    assert capsys.readouterr().err == "audiofeed: interrupted\n"
