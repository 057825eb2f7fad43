"""A small corpus that is the same everywhere, and the command that looks at it."""

from __future__ import annotations

import os
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from audiofeed.cli import main

ROOT = Path(__file__).resolve().parents[2]
# long before any test, with a fraction of a second
TIME = 1_700_000_000_123_456_789


def write_wav(path: Path, frames: int, rate: int = 16_000, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", None))
        file.writeframes(np.random.default_rng(seed).integers(-9000, 9000, frames, dtype="<i2").tobytes())
    os.utime(path, ns=(TIME, TIME))


@pytest.fixture
def speech(tmp_path, monkeypatch):
    """The corpus of docs/scan.md, in the current folder: 200 clips of log-normal length, 5 bad files, a copy."""
    monkeypatch.chdir(tmp_path)
    lengths = np.exp(np.random.default_rng(3).normal(np.log(3.0), 0.6, 200)).clip(0.4, 20)
    for i, seconds in enumerate(lengths):
        rate = 22_050 if i % 20 == 7 else 16_000
        write_wav(Path(f"speech/{('ann', 'bob', 'eve')[i % 3]}/{i:03d}.wav"), int(seconds * rate), rate, i)
    whole = Path("speech/bob/001.wav").read_bytes()
    for i, size in enumerate((1000, 2000, 3000)):
        Path(f"speech/eve/cut{i}.wav").write_bytes(whole[:size])
    Path("speech/ann/empty.wav").touch()
    Path("speech/ann/page.wav").write_bytes(b"<!DOCTYPE html>")
    Path("speech/ann/copy.wav").write_bytes(whole)
    for name in ("a.m4a", "b.m4a", "README.md"):
        Path(f"speech/{name}").write_bytes(b"x")
    for path in Path("speech").rglob("*.*"):
        os.utime(path, ns=(TIME, TIME))
    return Path("speech")


@pytest.fixture
def scan(capsys):
    """Run `audiofeed scan` in this process; return its exit code, output and errors."""

    def run(*arguments):
        code = main(["scan", *map(str, arguments)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


@pytest.fixture
def scan_process():
    """Start `audiofeed scan` as a process of its own."""

    def start(*arguments, **options):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
        return subprocess.Popen(
            [sys.executable, "-m", "audiofeed", "scan", *map(str, arguments)],
            stdout=options.pop("stdout", subprocess.PIPE),
            stderr=subprocess.PIPE,
            env=environment,
            **options,
        )

    return start
