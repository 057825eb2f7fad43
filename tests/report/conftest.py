"""A data set whose figures are known to the digit, and the command that reports on it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiofeed.cli import main

RATE = 8000
HOSTILE = "<script>alert(1)<&'é\u202e\x1b.wav"


def alternating(seconds: float) -> np.ndarray:
    """Samples of 0.25 and -0.25 in turn: an RMS of 0.25 and no offset."""
    return np.where(np.arange(round(seconds * RATE)) % 2, -8192, 8192).astype(np.int16)


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """Seven files that open, one of them not good beyond its header, and two that do not."""
    root = tmp_path_factory.mktemp("known") / "data"
    for name in ("loud", "quiet", "<b>odd"):
        (root / name).mkdir(parents=True)
    clipped = alternating(1.0)
    clipped[101:106], clipped[200:202], clipped[301:305] = 32767, 32767, -32768
    half = np.concatenate([alternating(1.0), np.zeros(RATE, dtype=np.int16)])
    files = {
        "loud/clipped.wav": clipped,
        "loud/offset.wav": np.full(RATE // 2, 3277, dtype=np.int16),
        "loud/pair.wav": np.stack([alternating(0.5), np.zeros(RATE // 2, dtype=np.int16)], axis=1),
        "quiet/half.wav": half,
        "quiet/silent.wav": np.zeros(RATE, dtype=np.int16),
        f"<b>odd/{HOSTILE}": half,
    }
    for name, samples in files.items():
        soundfile.write(root / name, samples, RATE, format="WAV", subtype="PCM_16")
    soundfile.write(root / "quiet/nan.wav", np.full(RATE, np.nan, dtype=np.float32), RATE, subtype="FLOAT")
    (root / "quiet/text.wav").write_text("hello")
    (root / "loud/empty.wav").touch()
    for path in root.rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return root


@pytest.fixture
def data(written, tmp_path, monkeypatch):
    """The data set in the current folder, to be changed."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(written, "data"))


@pytest.fixture
def report(capsys):
    """Run `audiofeed report` in this process without a test of speed; return exit code, output and errors."""

    def run(*arguments):
        code = main(["report", *map(str, arguments), "--device", "cpu", "--speed-seconds", "0"])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run
