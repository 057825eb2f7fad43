"""Make an environment of the matrix, put the package into it, and try it there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from release.archives import Archives
from release.matrix import Environment

PASSED, FAILED, NOT_OFFERED, NOT_TRIED = "passed", "failed", "not offered here", "not tried"
SMOKE = Path(__file__).with_name("smoke.py")
BESIDE = Path(__file__).with_name("stored_log_mel.json")
SECONDS_TO_INSTALL, SECONDS_TO_TRY = 1800, 1800
# what uv says where no release of a package, for this Python and system, is in the registry
_NO_SUCH_RELEASE = ("No solution found", "was not found in the package registry", "has no wheels with a matching")
# what is large and has files for each Python, which no environment after this one needs
_OF_ONE_PYTHON = ("torch", "torchaudio", "triton")
# variables by which a developer's own settings would reach the environment
_OURS = ("PYTHON", "VIRTUAL_ENV", "PIP_", "AUDIOFEED_", "COV_", "COVERAGE_")


@dataclass
class Outcome:
    """What came of an environment.

    Args:
        name: Of the environment.
        state: `PASSED`, `FAILED`, `NOT_OFFERED`, or `NOT_TRIED` where the run was ended before.
        reason: Why it did not pass; empty where it did.
        seconds: What it took, the installation included.
        versions: What was installed.
        steps: What was tried: name, seconds, what was found, and the error or None.
    """

    name: str
    state: str = PASSED
    reason: str = ""
    seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)


class _StopError(Exception):
    """End of the work on an environment: its state and the reason."""

    def __init__(self, state: str, reason: str) -> None:
        super().__init__(state, reason)
        self.state, self.reason = state, reason


def interpreter(version: str) -> Path | None:
    """Find a Python: this one, one on the path, or one of pyenv's.

    Args:
        version: Its first two numbers, as "3.12".

    >>> interpreter(f"{sys.version_info.major}.{sys.version_info.minor}") == Path(sys.executable)
    True
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    places = [sys.executable, shutil.which(f"python{version}")]
    places += sorted(map(str, pyenv.glob(f"{version}.*/bin/python")), reverse=True)
    ask = "import sys; print(f'{sys.version_info.major}.{sys.version_info.minor}')"
    for place in filter(None, places):
        done = subprocess.run([place, "-c", ask], capture_output=True, text=True)
        if done.stdout.strip() == version:
            return Path(place)
    return None


class Workshop:
    """Where environments are made, one at a time.

    Args:
        folder: For environments and the files that they share.
        archives: What is to be tried.
        keep: Whether environments stay for the next run.
        disk_gb: What the first environment of a torch may take.
        uv: The command that installs.
    """

    def __init__(
        self, folder: Path, archives: Archives, *, keep: bool, disk_gb: float, uv: Sequence[str] | None = None
    ) -> None:
        self.folder, self.archives, self.keep, self.disk_gb = folder, archives, keep, disk_gb
        self.cache = folder / "cache"
        self.uv = list(uv or [sys.executable, "-m", "uv"])

    def try_out(self, environment: Environment) -> Outcome:
        """Make an environment, install the package there and try it; whatever fails is the outcome."""
        start = time.perf_counter()
        outcome = Outcome(environment.name)
        place = self.folder / environment.folder
        try:
            python = self._made(environment, place)
            self._install(environment, python)
            self._smoke(environment, python, outcome)
            if environment.own_tests:
                self._own_tests(environment, python, outcome)
        except _StopError as stop:
            outcome.state, outcome.reason = stop.state, stop.reason
        except subprocess.TimeoutExpired as error:
            outcome.state, outcome.reason = FAILED, f"{_shown(error.cmd)} took more than {error.timeout:.0f} s"
        if not self.keep:
            shutil.rmtree(place, ignore_errors=True)
            self.call("cache", "clean", *_OF_ONE_PYTHON, may_fail=True)
        outcome.seconds = round(time.perf_counter() - start, 1)
        return outcome

    def resolve(self, python: str) -> Outcome:
        """Look for versions of everything in all extras together, for a Python that need not be here."""
        start = time.perf_counter()
        outcome = Outcome(f"all extras resolve, python {python}")
        project = str(Path(__file__).parents[1] / "pyproject.toml")
        options = ["--all-extras", "--python-version", python, "--no-header", "--quiet", "--output-file", os.devnull]
        done = self.call("pip", "compile", project, *options, may_fail=True)
        if done.returncode:
            outcome.state, outcome.reason = FAILED, _short(done.stderr)
        outcome.seconds = round(time.perf_counter() - start, 1)
        return outcome

    def forget(self) -> None:
        """Remove the files that environments share, unless they are kept."""
        if not self.keep:
            shutil.rmtree(self.cache, ignore_errors=True)

    def _made(self, environment: Environment, place: Path) -> Path:
        """Return the Python of an environment that has all but the package."""
        python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        note = place / "made-for.json"
        wanted = json.dumps(environment.others)
        if self.keep and note.exists() and note.read_text(encoding="utf-8") == wanted:
            return python
        base = interpreter(environment.python)
        if base is None:
            raise _StopError(NOT_OFFERED, f"no Python {environment.python} on the path or among pyenv's")
        self.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free / 1e9
        if free < self.disk_gb:
            raise _StopError(NOT_OFFERED, f"{free:.1f} GB of disk are free, and it may take {self.disk_gb:g}")
        self.call("venv", "--clear", "--python", str(base), str(place))
        done = self.call("pip", "install", "--python", str(python), *environment.others, may_fail=True)
        if done.returncode:
            offered = not any(words in done.stderr for words in _NO_SUCH_RELEASE)
            raise _StopError(FAILED if offered else NOT_OFFERED, _short(done.stderr))
        note.write_text(wanted, encoding="utf-8")
        return python

    def _install(self, environment: Environment, python: Path) -> None:
        """Install the package beside what is there, which stays as it is, and remove what it is to do without."""
        there = self.call("pip", "freeze", "--python", str(python)).stdout.splitlines()
        fixed = [line for line in there if line.split("==")[0] in ("torch", "torchaudio", "librosa")]
        oldest = ["--resolution", "lowest-direct"] if environment.lowest else []
        archive = self.archives.sdist if environment.archive == "sdist" else self.archives.wheel
        package = ["--reinstall-package", "audiofeed", str(archive)]
        self.call("pip", "install", "--python", str(python), *oldest, *package, *fixed)
        if environment.without:
            self.call("pip", "uninstall", "--python", str(python), *environment.without)

    def _smoke(self, environment: Environment, python: Path, outcome: Outcome) -> None:
        """Run the smoke test in a folder of its own, far from the checkout."""
        options = [f"--version={self.archives.version}"]
        options += [f"--with={package}" for package in ("torchaudio", "librosa") if getattr(environment, package)]
        options += [f"--without={package}" for package in environment.without]
        with tempfile.TemporaryDirectory() as folder:
            for path in (SMOKE, BESIDE):
                shutil.copy(path, folder)
            result = Path(folder) / "result.json"
            done = _run([str(python), SMOKE.name, result.name, *options], Path(folder), SECONDS_TO_TRY)
            if not result.exists():
                raise _StopError(FAILED, _short(done.stderr))
            said = json.loads(result.read_text(encoding="utf-8"))
        outcome.versions, outcome.steps = said["versions"], said["steps"]
        failed = [step for step in said["steps"] if step["error"] is not None]
        if failed:
            raise _StopError(FAILED, "; ".join(f"{step['step']}: {_short(step['error'])}" for step in failed))

    def _own_tests(self, environment: Environment, python: Path, outcome: Outcome) -> None:
        """Run some of the tests of the unpacked source archive, which is then the package that they import."""
        there = self.call("pip", "freeze", "--python", str(python)).stdout.splitlines()
        fixed = [line for line in there if line.split("==")[0] in ("torch", "torchaudio")]
        self.call("pip", "install", "--python", str(python), f"{self.archives.sdist}[core-test]", *fixed)
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            with tarfile.open(self.archives.sdist) as archive:
                # the argument that Python 3.14 sets by itself and 3.10 has only since its last releases
                archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
            unpacked = Path(folder) / self.archives.sdist.name.removesuffix(".tar.gz")
            chosen = ["-q", "-p", "no:cacheprovider", "-m", "not torchaudio and not slow", "--sample"]
            done = _run([str(python), "-m", "pytest", *chosen, *environment.own_tests], unpacked, SECONDS_TO_TRY)
        last = (done.stdout.strip().splitlines() or [""])[-1]
        seconds = round(time.perf_counter() - start, 2)
        error = None if done.returncode == 0 else done.stdout[-4000:] + done.stderr[-2000:]
        outcome.steps.append({"step": "own_tests", "seconds": seconds, "found": last, "error": error})
        if error is not None:
            raise _StopError(FAILED, f"own_tests: {last}")

    def call(self, *arguments: str, may_fail: bool = False) -> subprocess.CompletedProcess[str]:
        """Run uv with files of this workshop's own; a failure ends the environment, unless it may fail."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = {"UV_CACHE_DIR": str(self.cache), "UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never"}
        done = _run([*self.uv, *arguments], self.folder, SECONDS_TO_INSTALL, settings)
        if done.returncode and not may_fail:
            raise _StopError(FAILED, f"uv {' '.join(arguments[:2])}: {_short(done.stderr)}")
        return done


def _run(
    command: list[str], folder: Path, seconds: float, also: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return subprocess.run(
        command, cwd=folder, env={**kept, **(also or {})}, capture_output=True, encoding="utf-8", errors="replace",
        timeout=seconds, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def _shown(command: Any) -> str:
    return " ".join(map(str, command)) if isinstance(command, (list, tuple)) else str(command)


def _short(text: str, most: int = 400) -> str:
    """Return the last words of an error, on one line, without the lines that uv draws beside them."""
    lines = [line.strip(" \u2570\u2500\u25b6\u00d7\u2502") for line in text.strip().splitlines()]
    lines = [line for line in lines if line]
    at = max((number for number, line in enumerate(lines) if "Error" in line), default=0)
    return " ".join(lines[at:])[:most] or "no word"
