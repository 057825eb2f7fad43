"""A small corpus that is the same everywhere, and the command that looks at it."""

from __future__ import annotations

import os
import shutil
import wave
from pathlib import Path

import numpy as np
import pytest

from audiofeed.cli import main

# long before any test, with a fraction of a second
TIME = 1_700_000_000_123_456_789


def write_wav(path: Path, frames: int, rate: int = 16_000, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", None))
        file.writeframes(np.random.default_rng(seed).integers(-9000, 9000, frames, dtype="<i2").tobytes())
    os.utime(path, ns=(TIME, TIME))


@pytest.fixture(scope="session")
def written_speech(tmp_path_factory):
    """The corpus of docs/scan.md: 200 clips of log-normal length, 5 bad files, a copy."""
    speech = tmp_path_factory.mktemp("corpus") / "speech"
    lengths = np.exp(np.random.default_rng(3).normal(np.log(3.0), 0.6, 200)).clip(0.4, 20)
    for i, seconds in enumerate(lengths):
        rate = 22_050 if i % 20 == 7 else 16_000
        write_wav(speech / f"{('ann', 'bob', 'eve')[i % 3]}/{i:03d}.wav", int(seconds * rate), rate, i)
    whole = (speech / "bob/001.wav").read_bytes()
    for i, size in enumerate((1000, 2000, 3000)):
        (speech / f"eve/cut{i}.wav").write_bytes(whole[:size])
    (speech / "ann/empty.wav").touch()
    (speech / "ann/page.wav").write_bytes(b"<!DOCTYPE html>")
    (speech / "ann/copy.wav").write_bytes(whole)
    for name in ("a.m4a", "b.m4a", "README.md"):
        (speech / name).write_bytes(b"x")
    for path in speech.rglob("*.*"):
        os.utime(path, ns=(TIME, TIME))
    return speech


@pytest.fixture
def speech(written_speech, tmp_path, monkeypatch):
    """The corpus of docs/scan.md in the current folder, to be changed."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(written_speech, "speech"))


@pytest.fixture
def few(written_speech, tmp_path, monkeypatch):
    """Two of its clips in the current folder, which is as good where nothing is counted."""
    monkeypatch.chdir(tmp_path)
    for path in ("ann/000.wav", "bob/001.wav"):
        Path("speech", path).parent.mkdir(parents=True)
        shutil.copy2(written_speech / path, Path("speech", path))
    return Path("speech")


@pytest.fixture
def scan(capsys):
    """Run `audiofeed scan` in this process; return its exit code, output and errors."""

    def run(*arguments):
        code = main(["scan", *map(str, arguments)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run
