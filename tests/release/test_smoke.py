"""The smoke test of a release passes for the wheel of this checkout, beside what is installed here, and can fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from release import smoke, stored_values

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 900  # on a machine that others use, too


def done(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, cwd=cwd, env=kept, capture_output=True, text=True, timeout=SECONDS)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has the wheel, and sees the packages that are installed here, but not this checkout."""
    folder = tmp_path_factory.mktemp("environment")
    built = done(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("*.whl")
    assert done(sys.executable, "-m", "venv", "--without-pip", "venv", cwd=folder).returncode == 0
    python = folder / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel]
    installed = done(*pip, cwd=folder)
    assert installed.returncode == 0, installed.stderr
    own = done(python, "-c", "import site; print(site.getsitepackages()[0])", cwd=folder).stdout.strip()
    # the .pth files there are not read, so that an editable install stays hidden
    Path(own, "outer.pth").write_text(str(Path(torch.__file__).parents[1]))
    return python


def tried(python: Path, folder: Path, *options: str, values: dict | None = None) -> tuple[int, dict]:
    (folder / "smoke.py").write_bytes(Path(smoke.__file__).read_bytes())
    (folder / smoke.STORED.name).write_text(smoke.STORED.read_text() if values is None else json.dumps(values))
    ended = done(python, "smoke.py", "result.json", *options, cwd=folder)
    assert (folder / "result.json").exists(), ended.stderr
    return ended.returncode, json.loads((folder / "result.json").read_text())


@pytest.mark.slow
def test_a_stranger_can_use_the_wheel(python, tmp_path):
    code, said = tried(python, tmp_path)
    assert [step["error"] for step in said["steps"] if step["error"] is not None] == []
    assert code == 0
    steps = [step["step"] for step in said["steps"]]
    assert {"has_a_command", "equals_the_stored_values", "trains", "runs_the_readme", "scans"} <= set(steps)
    assert said["versions"]["python"] == sys.version.split()[0]


@pytest.mark.slow
def test_what_is_not_as_it_should_be_is_named_and_the_other_steps_are_taken(python, tmp_path):
    values = json.loads(smoke.STORED.read_text())
    values["2"][40] += 2 * smoke.TOLERANCE
    steps = ["imports", "has_what_it_should", "equals_the_stored_values", "write_recordings"]
    options = ["--version=9.9.9", "--without=numpy", *(f"--step={step}" for step in steps)]
    code, said = tried(python, tmp_path, *options, values=values)
    assert [step["step"] for step in said["steps"]] == steps
    failed = {step["step"]: step["error"] for step in said["steps"] if step["error"] is not None}
    assert code == 1
    assert set(failed) == set(steps[:3])
    assert "numpy is installed" in failed["has_what_it_should"]


def test_the_stored_values_are_librosas_in_float64():
    pytest.importorskip("librosa", reason="librosa is not installed")
    stored = json.loads(smoke.STORED.read_text())
    expected = stored_values.log_mel(smoke.chirp())
    assert [int(frame) for frame in stored] == list(stored_values.FRAMES)
    for frame, column in stored.items():
        np.testing.assert_allclose(column, expected[:, int(frame)], rtol=0, atol=1e-9)


def test_the_clip_is_in_16_bit_steps_and_has_no_quiet_band():
    clip = smoke.chirp()
    assert clip.dtype == np.float32
    assert np.array_equal(clip * 2**15, np.round(clip * 2**15))
    assert np.abs(clip).max() < 1
    assert min(min(column) for column in json.loads(smoke.STORED.read_text()).values()) > -9
