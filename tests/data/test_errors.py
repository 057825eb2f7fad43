"""AudioReadError through workers, the example that carries a waveform, and what a folder without files says."""

from __future__ import annotations

import pickle
import re
from pathlib import PureWindowsPath

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from audiofeed.cli import main
from audiofeed.data import AudioExample, AudioFolder, AudioReadError


class Failing(Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        raise AudioReadError.of('dir/it\'s "a".wav', ValueError("two\nlines"), offset=17)


@pytest.mark.parametrize("path", ["a b/ü.wav", "it's.wav", 'it\'s "both".wav', "back\\slash\n.wav", "colon: x.wav"])
def test_the_parts_come_back_from_the_text(path):
    for offset in (None, 0, 12345):
        error = AudioReadError.of(path, "too short: 3 bytes", offset)
        for text in (str(error), f"Caught AudioReadError.\nTraceback:\n  raise x\nAudioReadError: {error}\n"):
            again = AudioReadError(text)
            assert (again.path, again.offset, again.cause) == (path, offset, "too short: 3 bytes")


@pytest.mark.parametrize(
    "path",
    [
        r"C:\Users\ann\x.wav", r"C:\new\table.wav", r"D:\x", r"\\server\Uploads\N.wav", r"..\data\U0001.wav",
        r"C:\\Users", r"C:/Users/a.wav", "E:\\", r"\U99999999", r"a\N{DASH}.wav",
    ],
)  # fmt: skip
def test_a_windows_path(path):
    """Its backslashes were read as escapes: SyntaxError, in place of the error itself."""
    error = AudioReadError.of(path, "no such file", 3)
    assert (error.path, error.offset) == (path, 3)
    again = AudioReadError(f"Traceback ...\naudiofeed.data.errors.AudioReadError: {error}")
    assert (again.path, again.offset, again.cause) == (path, 3, "no such file")
    assert pickle.loads(pickle.dumps(error)).path == path
    assert AudioReadError.of(PureWindowsPath(path), "x").path == str(PureWindowsPath(path))


@pytest.mark.parametrize(
    "path", [r"C:\Users\ann\x.wav", r"C:\new\table.wav", r"D:\x", r"..\data\U0001.wav", r"\\srv\q"]
)
def test_a_windows_path_in_a_text_of_another_hand(path):
    error = AudioReadError(f"cannot read '{path}': no such file")
    assert error.cause == "no such file"
    assert error.path in (path, path.replace("\\\\", "\\"))  # of two backslashes at the start one may be meant


def test_the_last_of_chained_errors_counts():
    first, second = AudioReadError.of("a.wav", "x", 3), AudioReadError.of("b.wav", "y")
    again = AudioReadError(f"{first}\n\nDuring handling of the above ...\n\n{second}")
    assert (again.path, again.offset, again.cause) == ("b.wav", None, "y")


def test_any_other_text_has_no_parts():
    error = AudioReadError("something else")
    assert (error.path, error.offset, error.cause) == (None, None, None)


def test_it_survives_a_worker():
    with pytest.raises(AudioReadError) as caught:
        next(iter(DataLoader(Failing(), num_workers=1)))
    assert caught.value.path == 'dir/it\'s "a".wav'
    assert (caught.value.offset, caught.value.cause) == (17, "two lines")


def test_an_example_pickles():
    fault = AudioReadError.of("b.wav", "x")
    example = AudioExample(
        torch.arange(5, dtype=torch.int16), 8000, target=2, key="a.wav", seed=9, faults=(fault,), fields={"take": 3}
    )
    again = pickle.loads(pickle.dumps(example))
    assert torch.equal(again.waveform, example.waveform)
    assert (again.sample_rate, again.target, again.key, again.seed) == (8000, 2, "a.wav", 9)
    assert again.faults[0].path == "b.wav"
    assert again.fields == {"take": 3}
    assert "fields={'take': 3}, faults=1" in repr(again)
    assert AudioExample(example.waveform, 8000).fields == {}


def test_an_example_is_frozen():
    example = AudioExample(torch.zeros(5), 8000)
    with pytest.raises(AttributeError):
        example.target = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("waveform", "rate", "error", "rule"),
    [
        (torch.zeros(5, dtype=torch.float64), 8000, TypeError, "float64"),
        ([0.0], 8000, TypeError, "list"),
        (torch.zeros(1, 1, 5), 8000, ValueError, r"\(1, 1, 5\)"),
        (torch.zeros(0), 8000, ValueError, "at least one"),
        (torch.zeros(5), 0, ValueError, "sample_rate=0"),
    ],
)
def test_what_is_no_waveform(waveform, rate, error, rule):
    with pytest.raises(error, match=rule):
        AudioExample(waveform, rate)


@pytest.mark.parametrize("fields", [[("take", 3)], None, {1: "take"}])
def test_fields_are_named(fields):
    with pytest.raises(TypeError, match=r"fields=.*mapping from names"):
        AudioExample(torch.zeros(5), 8000, fields=fields)


def test_a_folder_of_files_that_need_ffmpeg_says_how_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr("audiofeed.data.folder.known_extensions", lambda: (".wav",))  # as without torchcodec
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "a.m4a").write_bytes(b"\0\0\0 ftypM4A ")
    with pytest.raises(
        ValueError, match=r"\(1 other file: 1 \.m4a.*; for \.m4a: pip install 'audiofeed\[torchcodec\]'"
    ):
        AudioFolder(tmp_path / "recordings")
    (tmp_path / "recordings" / "a.m4a").rename(tmp_path / "recordings" / "a.txt")
    with pytest.raises(ValueError, match=r"\(1 other file: 1 \.txt\); pass the right folder or extensions$"):
        AudioFolder(tmp_path / "recordings")


def test_a_relative_root_that_is_not_there_says_from_where_it_counts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=rf"root='none' does not exist in {re.escape(repr(str(tmp_path)))}"):
        AudioFolder("none")
    with pytest.raises(FileNotFoundError, match=r"does not exist$"):
        AudioFolder(tmp_path / "none")


def test_a_bad_file_says_how_to_go_on(tmp_path):
    (tmp_path / "bad.wav").touch()
    with pytest.raises(AudioReadError, match=r"the file is empty \(0 bytes\); .* with on_error='skip'$"):
        AudioFolder(tmp_path)


def test_the_demo_names_no_option_that_it_lacks(tmp_path, capsys):
    (tmp_path / "sounds/a").mkdir(parents=True)
    (tmp_path / "sounds/a/bad.wav").touch()
    assert main(["demo", "--data", str(tmp_path / "sounds"), "--out", str(tmp_path / "out"), "--no-open"]) == 2
    told = capsys.readouterr().err
    assert told.rstrip().endswith("the file is empty (0 bytes); remove or replace the file")
    assert "on_error" not in told
