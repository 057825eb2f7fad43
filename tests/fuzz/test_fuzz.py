"""A bounded run of the fuzzer; `python -m tests.fuzz.run` is the long one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from audiofeed.data import AudioReadError
from tests.fuzz import judge
from tests.fuzz.corpus import make
from tests.fuzz.mutate import mutate

ROOT = Path(__file__).resolve().parents[2]


def test_changed_files_of_every_format(tmp_path):
    """No crash, no hang, little memory, no exception but AudioReadError, and what soundfile reads where it is right."""
    arguments = ["--files", "2500", "--seconds", "12", "--keep", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.run", *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["formats"] >= 24
    assert {"refused", "read", "broken"} <= set(result["counts"])
    assert result["files"] >= 400


def test_the_corpus_itself_is_read(tmp_path):
    for name, body in make().items():
        path = tmp_path / name.replace(" ", "_")
        path.write_bytes(body)
        assert judge.judge(str(path), 0) == "read", name


def test_a_change_is_the_same_whenever_it_is_made():
    files = make()
    for name in ("wav", "vorbis", "mp3"):
        assert mutate(files, name, 5) == mutate(files, name, 5) != mutate(files, name, 6)


def test_the_judge_sees_what_is_wrong(tmp_path, monkeypatch):
    path = tmp_path / "a.flac"
    path.write_bytes(make()["flac"])
    honest = judge.read
    monkeypatch.setattr(judge, "read", lambda *args, **how: (honest(*args, **how)[0] + 1, 8000))
    with pytest.raises(judge.WrongError, match="samples differ"):
        judge.judge(str(path), 0)
    monkeypatch.setattr(judge, "read", lambda *args, **how: (honest(*args, **how)[0][..., :5], 8000))
    with pytest.raises(judge.WrongError, match="frames from"):
        judge.judge(str(path), 0)

    def nameless(*_, **__):
        raise AudioReadError("something else")

    monkeypatch.setattr(judge, "read_info", nameless)
    with pytest.raises(judge.WrongError, match="does not name the file"):
        judge.judge(str(path), 0)
