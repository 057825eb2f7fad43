"""`audiofeed scan` from the outside: what it prints, what it writes, and a clean end whatever happens."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from audiofeed import progress
from audiofeed.cli import main
from audiofeed.data import AudioFolder, AudioManifest
from audiofeed.data.listing import scan as scan_file
from audiofeed.data.listing.scanned_columns import HEADER_COLUMNS
from audiofeed.survey import text
from tests.survey.conftest import write_wav

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_shows_what_the_command_prints(speech, scan):
    page = (ROOT / "docs" / "scan.md").read_text()
    command, shown = re.search(r"```console\n\$ audiofeed scan ([^\n]*)\n(.*?)```", page, flags=re.DOTALL).groups()
    code, out, err = scan(*command.split())
    assert (code, err) == (1, "")
    assert out == shown
    assert max(map(len, out.splitlines())) <= 80


def test_json_has_the_same_figures(speech, scan):
    code, out, err = scan("speech", "--json", "--duplicates", "--batch-size", 8)
    survey = json.loads(out)
    assert (code, err) == (1, "")
    assert (survey["files"], survey["good"], survey["bad"], survey["clips"]) == (206, 201, 5, 201)
    with pytest.warns(UserWarning, match="passes over|leaves out"):
        dataset = AudioFolder(speech, on_error="skip", sample_rate=16_000)
    own = dataset.durations
    assert survey["hours"] == pytest.approx(own.sum() / 3600, rel=1e-4)
    assert survey["durations"]["median"] == pytest.approx(np.median(own), abs=1e-3)
    assert sum(survey["durations"]["histogram"]["clips"]) == 201
    assert survey["sample_rates"]["22050 Hz"]["files"] == 10
    assert sum(found["hours"] for found in survey["sample_rates"].values()) == pytest.approx(survey["hours"])
    assert survey["channels"]["1"]["files"] == survey["formats"]["WAV PCM_16"]["files"] == 201
    assert survey["classes"] == {"count": 3, "fewest": 66, "most": 68, "without_good_files": []}
    assert {bad["path"] for bad in survey["bad_files"]} == {fault.path for fault in dataset.faults}
    assert survey["duplicates"] == [["speech/ann/copy.wav", "speech/bob/001.wav"]]
    assert survey["passed_over"] == {".m4a": 2, ".md": 1}
    assert survey["errors"] == []


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("place", ["speech/set", "set"])
def test_a_written_manifest_opens_without_a_second_scan(speech, scan, monkeypatch, ending, place):
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
    assert scan(speech, "--write", place + ending)[0] == 1
    opened = []
    read_info = scan_file.read_info
    monkeypatch.setattr(scan_file, "read_info", lambda path: opened.append(path) or read_info(path))
    dataset = AudioManifest(place + ending, sample_rate=16_000)
    assert opened == []
    assert (len(dataset), dataset.classes) == (201, ["ann", "bob", "eve"])
    assert dataset.fields.names == []
    with pytest.warns(UserWarning, match="leaves out"):
        folder = AudioFolder(speech, on_error="skip", extensions=".wav", sample_rate=16_000)
    assert [os.path.abspath(path) for path in dataset.paths] == [os.path.abspath(path) for path in folder.paths]
    np.testing.assert_array_equal(dataset.durations, folder.durations)
    np.testing.assert_array_equal(dataset.targets, folder.targets)
    assert dataset[7].waveform.equal(folder[7].waveform)
    # paths below the manifest count from its folder, so both may move
    if place == "speech/set":
        opened.clear()
        os.rename("speech", "elsewhere")
        assert len(AudioManifest(f"elsewhere/set{ending}", sample_rate=16_000)) == 201
        assert opened == []
        assert scan(f"elsewhere/set{ending}")[0] == 0


def test_a_manifest_keeps_its_rows_and_columns(speech, scan):
    rows = [
        {"path": "speech/ann/000.wav", "start": 0.1, "duration": 0.5, "target": 1, "speaker": "ann"},
        {"path": "speech/ann/000.wav", "start": 0.6, "duration": 0.5, "target": 2, "speaker": "ann"},
        {"path": "speech/eve/cut0.wav", "start": None, "duration": None, "target": 2, "speaker": "eve"},
    ]
    Path("parts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, _ = scan("parts.jsonl", "--write", "scanned.jsonl")
    assert code == 1
    assert "1 good, 1 bad" in out
    assert "clips         2 " in out
    written = [json.loads(line) for line in Path("scanned.jsonl").read_text().splitlines()]
    assert [{name: row[name] for name in rows[0]} for row in written] == rows[:2]
    assert all(row["frames"] > 8000 and row["reader"] == "wav" for row in written)
    dataset = AudioManifest("scanned.jsonl")
    np.testing.assert_allclose(dataset.durations, 0.5)
    # once more, onto itself: the columns of the last time are replaced
    assert scan("scanned.jsonl", "--write", "scanned.jsonl")[0] == 0
    assert [json.loads(line) for line in Path("scanned.jsonl").read_text().splitlines()] == written


def test_targets_from_a_pattern(speech, scan):
    code, _, _ = scan("speech/bob", "--target-pattern", "{take}{target}", "--write", "bob.csv")
    assert code == 0
    assert AudioManifest("bob.csv", sample_rate=16_000).fields[0] == {"take": "0"}
    os.link("speech/bob/001.wav", "speech/top.wav")
    code, out, err = scan("speech")
    assert "classes" not in out  # some have a folder and one has none
    code, out, err = scan("speech", "--write", "set.csv")
    assert code == 2
    assert "some files lie in 'speech' itself" in err


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl"])
@pytest.mark.parametrize(
    "names", [("10", "20", "5"), ("1e3", "007", "+7"), (" a", "a", "b "), ("10", " ", "x"), ("10", "x")]
)
def test_targets_open_as_the_folders_whatever_they_look_like(tmp_path, monkeypatch, scan, ending, names):
    monkeypatch.chdir(tmp_path)
    for i, name in enumerate(names):
        write_wav(Path(f"speech/{name}/{i}.wav"), 800)
    folder = AudioFolder("speech")
    assert scan("speech", "--write", f"set{ending}")[0] == 0
    for _ in range(2):
        dataset = AudioManifest(f"set{ending}")
        assert (dataset.classes, dataset.fields.names) == (folder.classes, [])
        np.testing.assert_array_equal(dataset.targets, folder.targets)
        assert AudioManifest(f"set{ending}", classes=folder).targets.tolist() == folder.targets.tolist()
        # scanned again, it keeps what it says
        assert scan(f"set{ending}", "--write", f"set{ending}")[0] == 0
    assert ("target_type" in Path(f"set{ending}").read_text()) == (ending != ".jsonl" and "x" not in names[1:2])
    # a folder that changed may need no such column any more
    del folder, dataset
    write_wav(Path("speech/new/new.wav"), 800)
    if ending != ".jsonl":
        assert scan("speech", "--write", f"set{ending}")[0] == 0
        assert AudioManifest(f"set{ending}").classes == AudioFolder("speech").classes


def test_who_says_what_targets_in_csv_are(tmp_path, monkeypatch, scan):
    monkeypatch.chdir(tmp_path)
    for name in ("3_1", "5_2"):
        write_wav(Path(f"speech/{name}.wav"), 800)
    scan("speech", "--target-pattern", "{target}_{take}", "--write", "set.csv")
    assert AudioManifest("set.csv", target_type="number").targets.tolist() == [3, 5]
    assert AudioManifest("set.csv", target_column="take").targets.tolist() == [1, 2]
    text = Path("set.csv").read_text()
    # a row added by hand
    Path("more.csv").write_text(text + "speech/3_1.wav,7,4" + "," * (text.split("\n")[0].count(",") - 2) + "\n")
    assert AudioManifest("more.csv").classes == ["3", "5", "7"]
    # a table of another's making
    Path("own.csv").write_text("path,target,target_type\nspeech/3_1.wav,3,class\n")
    own = AudioManifest("own.csv")
    assert (own.targets.tolist(), own.fields[0]) == ([3], {"target_type": "class"})
    code, _, err = scan("speech", "--target-pattern", "{target}_{target_type}", "--write", "other.csv")
    assert code == 2
    assert "the pattern has a field 'target_type', which CSV needs" in err


def test_all_bad_files_are_written_on_request(speech, scan):
    code, out, _ = scan(speech, "--bad", "bad.jsonl")
    listed = [json.loads(line) for line in Path("bad.jsonl").read_text().splitlines()]
    assert code == 1
    assert [os.path.basename(bad["path"]) for bad in listed] == [
        "empty.wav", "page.wav", "cut0.wav", "cut1.wav", "cut2.wav",
    ]  # fmt: skip
    assert "written: bad.jsonl" in out
    assert "--bad FILE" not in out


def test_nothing_but_bad_files(speech, scan):
    for path in [*speech.rglob("0*.wav"), *speech.rglob("1*.wav"), speech / "ann/copy.wav"]:
        path.unlink()
    code, out, err = scan("speech", "--write", "set.csv")
    assert code == 2
    assert "0 good, 5 bad" in out
    assert "set.csv' is not written, because there is no good file" in err
    assert scan("speech")[0] == 1
    assert not Path("set.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["empty"], "'empty' holds no audio file, only 1 .txt; name a folder with files that end in"),
        (["nothing"], "'nothing' does not exist"),
        (["s3://bucket/speech"], "'s3://bucket/speech' is a URL, and only local files are read: download it first"),
        (["file:///speech"], "pass the path alone"),
        (["speech.tar.gz"], "'speech.tar.gz' is an archive: unpack it first"),
        (["speech/ann/000.wav"], "is neither a folder nor a manifest"),
        (["broken.csv"], "line 2 of broken.csv has 3 values for 2 columns"),
        (["url.csv"], "line 2 of url.csv: path='https://example.org/a.wav' is a URL"),
        (["speech", "--write", "set.txt"], "--write 'set.txt' must end in one of .csv"),
        (["speech", "--write", "no/set.csv"], "lies in a folder that does not exist"),
        (["speech", "--write", "broken.csv"], "exists and is no manifest; it is left as it is"),
        (["speech", "--write", "url.csv"], "has a column 'mine' that would be lost"),
        (["speech", "--write", "directory.csv"], "directory.csv' exists and is no manifest"),
        (["speech", "--batch-seconds", "1"], "--batch-seconds 1 does not hold the longest clip of"),
        (["speech", "--target-pattern", "{x}"], "--target-pattern: target='{x}' must contain {target}"),
        (["speech", "--target-pattern", "{target}_{x}"], "does not match the name of"),
        (["typed.jsonl", "--target-pattern", "{target}"], "--target-pattern is for a folder"),
        (["typed.jsonl", "--write", "typed.csv"], "is written as .jsonl or .ndjson or .parquet only"),
        (["own.csv", "--write", "new.csv"], "has a column 'seconds' of its own"),
        (["speech", "--index", "url.csv"], "is not an index of scanned files"),
        (["speech", "--plot", "no/such.png"], "--plot 'no/such.png' cannot be written"),
        (["speech", "--plot", "picture.txt"], "--plot 'picture.txt' cannot be written"),
        (["speech", "--bad", "no/such.jsonl"], "cannot be written: No such file or directory"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(few, scan, arguments, message):
    Path("empty").mkdir()
    Path("directory.csv").mkdir()
    Path("empty/notes.txt").touch()
    Path("broken.csv").write_text("path,target\na,b,c\n")
    Path("url.csv").write_text("path,target,mine\nhttps://example.org/a.wav,1,2\n")
    Path("own.csv").write_text("path,seconds\nspeech/ann/000.wav,5\n")
    Path("typed.jsonl").write_text('{"path": "speech/ann/000.wav"}\n')
    before = {path: path.read_bytes() for path in Path().glob("*.csv") if path.is_file()}
    code, _, err = scan(*arguments)
    assert code == 2
    assert message in err
    assert err.startswith("audiofeed scan: ")
    assert err.count("\n") == 1
    assert all(path.read_bytes() == content for path, content in before.items())
    assert not list(Path().glob(".*partial"))


@pytest.mark.parametrize(
    "option",
    [
        ["--batch-size", "0"],
        ["--batch-seconds", "nan"],
        ["--sample-rate", "x"],
        ["--sample-rate", "99"],
        ["--sample-rate", "10000001"],
        [],
    ],
)
def test_options_out_of_range(scan, option):
    with pytest.raises(SystemExit) as told:
        scan(*(["speech", *option] if option else []))
    assert told.value.code == 2


def test_an_archive_or_url_as_a_dataset(tmp_path):
    for name, error in (("https://x.org/speech", FileNotFoundError), ("speech.zip", FileNotFoundError)):
        with pytest.raises(error, match=r"is a URL|is an archive"):
            AudioFolder(name)
        with pytest.raises(ValueError, match=r"is a URL|is an archive"):
            AudioManifest(name)
    (tmp_path / "speech.tar").touch()
    with pytest.raises(NotADirectoryError, match="is an archive: unpack it"):
        AudioFolder(tmp_path / "speech.tar")
    with pytest.raises(ValueError, match=r"row 1 of the list: path='s3://b/a\.wav' is a URL"):
        AudioManifest([{"path": "s3://b/a.wav"}])


def test_an_index_spares_the_second_scan(speech, scan, monkeypatch):
    opened = []
    read_info = scan_file.read_info
    monkeypatch.setattr(scan_file, "read_info", lambda path: opened.append(path) or read_info(path))
    first = scan(speech, "--index", "speech.index")
    assert len(opened) == 206
    second = scan(speech, "--index", "speech.index")
    assert len(opened) == 206
    assert first == second


def test_a_file_that_changed_is_said(speech, scan):
    scan(speech, "--write", "set.csv")
    Path("speech/bob/001.wav").touch()
    code, out, err = scan("set.csv")
    assert code == 0
    assert "1 of 201 files changed since they were scanned for set.csv" in err
    assert "201, none bad" in out


def test_a_file_written_during_the_scan_has_no_size_in_the_manifest(speech, scan):
    # of a file system that counts in whole seconds, so that a busy machine has some to begin with the scan
    now = -(-time.time_ns() // 10**9) * 10**9
    os.utime("speech/bob/001.wav", ns=(now, now))
    scan(speech, "--write", "set.jsonl")
    rows = {row["path"]: row for row in map(json.loads, Path("set.jsonl").read_text().splitlines())}
    assert rows["speech/bob/001.wav"]["size"] is None
    assert rows["speech/ann/000.wav"]["size"] > 0
    assert set(HEADER_COLUMNS) <= set(rows["speech/ann/000.wav"])


def test_names_that_are_no_text(speech, scan):
    try:
        os.link("speech/bob/001.wav", "speech/bob/caf\udce9.wav")
        Path("speech/bob/grün.wav").write_bytes(b"RIFF")
    except (OSError, UnicodeEncodeError):
        pytest.skip("this file system has Unicode names only")
    code, out, err = scan("speech", "--duplicates", "--write", "set.jsonl")
    assert (code, err) == (1, "")
    assert "caf\\udce9.wav" in out
    assert "speech/bob/caf\udce9.wav" in [
        os.path.relpath(path) for path in AudioManifest("set.jsonl", sample_rate=8000).paths
    ]
    code, out, err = scan("speech", "--write", "set.csv")
    assert code == 2
    assert "write .jsonl, which can hold names of any bytes" in err
    assert "bad: 6 of" in out  # the survey is printed all the same


def test_control_characters_of_names_are_escaped(tmp_path, monkeypatch, scan):
    monkeypatch.chdir(tmp_path)
    odd = "a\x1b[2J\nb\r\x9b\u202e"
    shown = r"a\x1b[2J\nb\r\x9b\u202e"
    write_wav(Path(f"speech/{odd}.wav"), 800)
    write_wav(Path(f"speech/{odd}2.wav"), 800)
    Path(f"speech/{odd}.x\x1b").touch()
    Path(f"speech/{odd}bad.wav").write_bytes(f"{odd}".encode())
    code, out, err = scan("speech", "--duplicates", "--bad", f"{odd}.jsonl", "--plot", f"{odd}/no.png")
    assert code == 2
    assert not {character for character in out + err if not character.isprintable()} - {"\n"}
    assert f"      speech/{shown}bad.wav\n" in out
    assert f"  speech/{shown}.wav\n    = speech/{shown}2.wav\n" in out
    assert r"1 .x\x1b" in out
    assert f"written: {shown}.jsonl\n" in out
    # errors and warnings, of the command and of the files
    assert err.count("\n") == 1
    Path("other").mkdir()
    Path(f"other/a.{odd}").touch()
    Path("odd.jsonl").write_text(json.dumps({"path": f"speech/{odd}.wav", f"mine{odd}": "\udce9"}) + "\n")
    for arguments in (["other"], [f"no{odd}"], ["speech", "--write", f"{odd}.txt"], [f"speech/{odd}.wav"]):
        code, out, err = scan(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert not {character for character in err if not character.isprintable()} - {"\n"}
    assert scan("speech", "--write", f"{odd}.csv")[0] == 1
    os.utime(f"speech/{odd}.wav")
    for arguments, told in (
        ([f"{odd}.csv"], "1 of 2 files changed"),
        (["odd.jsonl", "--write", "a.parquet"], f"mine{shown}"),
    ):
        _, out, err = scan(*arguments)
        assert told in err
        assert not {character for character in out + err if not character.isprintable()} - {"\n"}
    # for machines, nothing is changed
    assert f"speech/{odd}bad.wav" in [bad["path"] for bad in json.loads(scan("speech", "--json")[1])["bad_files"]]
    assert text.printable("grün ünï 日本　.wav") == "grün ünï 日本　.wav"


def test_a_picture(few, scan):
    pytest.importorskip("matplotlib")
    assert scan(few, "--plot", "lengths.png")[0] == 0
    assert Path("lengths.png").read_bytes().startswith(b"\x89PNG")


# pipes, terminals, signals


def test_into_a_pipe_there_is_no_bar_and_no_color(few, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    # any work takes longer than a bar waits for
    monkeypatch.setattr(progress, "_PATIENCE", -1.0)
    pipe = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", pipe)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main(["scan", "speech"]) == 0
    out = pipe.buffer.getvalue()
    assert b"\x1b" not in out
    assert b"####" in out
    assert capsys.readouterr().err == ""
    # on a terminal there is a bar, where it is no part of the output
    monkeypatch.setattr(pipe, "isatty", lambda: True, raising=False)
    assert main(["scan", "speech"]) == 0
    assert pipe.buffer.getvalue() == 2 * out
    assert "2/2" in capsys.readouterr().err


def test_classes_without_a_good_file_are_named(speech, capsys):
    for name in ("old", "none"):
        Path("speech", name).mkdir()
    Path("speech/old/empty.wav").touch()
    Path("speech/ann/none").mkdir()
    Path("speech/ann/none/.hidden").touch()
    assert main(["scan", "speech"]) == 1
    said = "  classes       3, 66 to 68 clips each\n                3 more without a good file: ann/none, none, old\n"
    assert said in capsys.readouterr().out
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        dataset = AudioFolder("speech", on_error="skip", sample_rate=16_000)
    assert dataset.classes == ["ann", "bob", "eve", "old"]
    texts = [str(warning.message) for warning in warned]
    named = [text for text in texts if text.startswith("empty folders in root='speech' make no class: ")]
    assert len(named) == 1
    assert "'ann/none', 'none'; where other datasets have files of such a class" in named[0]


def test_a_reader_that_leaves_early(few, monkeypatch, capsys):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert main(["scan", "speech"]) == 141
        # as Python does at its end; what the pipe did not take goes nowhere
        pipe.flush()
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(sys.platform != "linux", reason="a pipe that blocks the scan")
def test_ctrl_c_leaves_without_a_traceback(few):
    """A file that is slow to open stands for a long scan: its reader says when it has begun, then waits."""
    code = (
        "import sys, time\n"
        "from audiofeed.data.readers import WavReader\n"
        "def info(self, file):\n"
        "    open('begun', 'w').close()\n"
        "    time.sleep(30)\n"
        "WavReader.info = info\n"
        "from audiofeed.cli import main\n"
        "sys.exit(main(['scan', 'speech']))\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    until = time.monotonic() + 60
    while not Path("begun").exists():
        assert time.monotonic() < until
        assert run.poll() is None
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert (run.returncode, out, err) == (130, b"", b"audiofeed: interrupted\n")
