"""What the tests of the demo share: small folders of sounds, and the command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from audiofeed.demo.synthesis import SoundSet

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def sounds(tmp_path_factory):
    """A folder of 8 classes of 6 sounds, every form of file among them."""
    made = SoundSet(tmp_path_factory.mktemp("sounds"), per_class=6)
    for _ in made.write():
        pass
    return made


@pytest.fixture(scope="session")
def command():
    """Start `python -m audiofeed` with arguments, in its own process group as a shell would."""

    def start(*arguments, **more):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
        return subprocess.Popen(
            [sys.executable, "-m", "audiofeed", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
            **more,
        )

    return start


@pytest.fixture(scope="session")
def run_command(command):
    """Run `python -m audiofeed` with arguments to its end; return exit code, standard output, standard error."""

    def run(*arguments, **more):
        process = command(*arguments, **more)
        try:
            out, err = process.communicate(timeout=300)
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        return process.returncode, out, err

    return run
