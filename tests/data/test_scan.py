"""The scan of a folder: what it passes over, the order of links, and what it cannot enter."""

from __future__ import annotations

import contextlib
import os

import pytest

from audiofeed.data import AudioFolder, AudioReadError


@pytest.fixture
def root(write_pcm, tmp_path):
    """Twelve clips of 100 to 1200 frames in folders 2, 10 and 9."""
    for i in range(12):
        write_pcm(f"set/{(2, 10, 9)[i % 3]}/clip{i:02d}_s{i % 2}.wav", 100 * (i + 1))
    return str(tmp_path / "set")


@pytest.mark.parametrize(
    ("others", "line"),
    [
        (["x.m4a"] * 8, r"8 files in root=.*8 \.m4a; "),
        (["x.m4a", "y.M4A", "z.wma", "README.md"], r"4 files.*2 \.m4a, 1 \.md, 1 \.wma; "),
        (["recording"], "1 files.*1 without an extension; "),
        (["a.wav.part", "a.wav.part", "take.zip"], r"3 files.*2 \.part, 1 \.zip; "),
        ([f"x.q{i:02d}" for i in range(13)], r"13 files.*1 \.q09, 3 of other kinds; "),
    ],
)
def test_what_a_folder_passes_over_is_said_once(write, write_pcm, tmp_path, others, line):
    write_pcm("set/a.wav", 100)
    write_pcm("set/b.wav", 100)
    for i, name in enumerate(others):
        write(f"set/{i}/{name}", b"x")
    with pytest.warns(UserWarning, match=line) as told:
        dataset = AudioFolder(tmp_path / "set")
    assert (len(told), told[0].filename) == (1, __file__)
    assert len(dataset) == 2
    assert sum(dataset.passed_over.values()) == len(others)
    # whoever names the extensions has chosen
    assert AudioFolder(tmp_path / "set", extensions=".wav").passed_over == dataset.passed_over


def test_text_and_pictures_beside_recordings_are_no_news(write, write_pcm, tmp_path):
    write_pcm("set/a.wav", 100)
    for name in ("a.txt", "a.TextGrid", "LICENSE", "README.rst", "spectrum.png", "._a.m4a"):
        write(f"set/{name}", b"x")
    passed_over = AudioFolder(tmp_path / "set").passed_over
    assert passed_over == {"": 1, ".png": 1, ".rst": 1, ".textgrid": 1, ".txt": 1}


def test_a_link_to_nothing_is_named(write_pcm, tmp_path):
    write_pcm("set/a.wav", 100)
    os.symlink(tmp_path / "moved", tmp_path / "set" / "speaker")
    with pytest.warns(UserWarning, match="1 broken link"):
        AudioFolder(tmp_path / "set")
    os.symlink(tmp_path / "moved.wav", tmp_path / "set" / "b.wav")
    with pytest.raises(AudioReadError, match=r"set/b\.wav.*No such file"):
        AudioFolder(tmp_path / "set", extensions=".wav")


def scan_order(monkeypatch, reverse):
    """Let folders be listed in alphabetical order, or in the opposite."""
    listed = os.scandir

    class Sorted(contextlib.nullcontext):
        def __iter__(self):
            return iter(self.enter_result)

    def scandir(folder):
        with listed(folder) as entries:
            return Sorted(sorted(entries, key=lambda entry: entry.name, reverse=reverse))

    monkeypatch.setattr(os, "scandir", scandir)


@pytest.mark.parametrize("reverse", [False, True])
def test_labels_do_not_depend_on_the_order_of_the_file_system(write_pcm, tmp_path, monkeypatch, reverse):
    root = tmp_path / "set"
    write_pcm("set/m/1.wav", 100)
    write_pcm("set/m/in/2.wav", 100)
    write_pcm("out/3.wav", 100)
    write_pcm("out/sub/4.wav", 100)
    for link, folder in [("a", root / "m"), ("z", root / "m"), ("c", tmp_path / "out"), ("b", tmp_path / "out"),
                         ("b2", tmp_path / "out" / "sub"), ("m/in/up", root)]:  # fmt: skip
        os.symlink(folder, root / link)
    scan_order(monkeypatch, reverse)
    dataset = AudioFolder(root)
    # real folders under their own names, then the first link in sorted order, with all below it
    assert dataset.classes == ["b", "b/sub", "m", "m/in"]
    assert [os.path.basename(path) for path in dataset.paths] == ["3.wav", "4.wav", "1.wav", "2.wav"]


def test_linked_folders_are_entered_once(write_pcm, tmp_path):
    write_pcm("set/a/1.wav", 100)
    write_pcm("elsewhere/2.wav", 100)
    os.symlink(tmp_path / "set", tmp_path / "set" / "a" / "loop")
    os.symlink(tmp_path / "elsewhere", tmp_path / "set" / "b")
    assert [os.path.basename(path) for path in AudioFolder(tmp_path / "set").paths] == ["1.wav", "2.wav"]


def lock(monkeypatch, *locked):
    """Forbid some folders, as their permissions would if the tests did not run as root."""
    listed = os.scandir

    def scandir(folder):
        if os.path.basename(folder) in locked:
            raise PermissionError(13, "Permission denied", folder)
        return listed(folder)

    monkeypatch.setattr(os, "scandir", scandir)


def test_a_folder_that_cannot_be_entered(root, write, monkeypatch):
    lock(monkeypatch, "9")
    with pytest.raises(AudioReadError, match=r"set/9': the folder cannot be entered: Permission denied") as caught:
        AudioFolder(root)
    assert caught.value.path == os.path.join(root, "9")
    with pytest.warns(
        UserWarning, match=r"leaves out 1 folder not searched, listed in \.faults; the first: .*/9'"
    ) as told:
        dataset = AudioFolder(root, on_error="skip")
    assert (len(told), told[0].filename) == (1, __file__)
    assert (len(dataset), dataset.classes) == (8, ["2", "10"])
    assert [fault.path for fault in dataset.faults] == [os.path.join(root, "9")]
    write("set/2/bad.wav", b"none")
    with pytest.warns(UserWarning, match=r"leaves out 1 of 9 files and 1 folder not searched") as told:
        dataset = AudioFolder(root, on_error="skip")
    assert (len(told), len(dataset.faults)) == (1, 2)


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_no_folder_that_can_be_entered(root, monkeypatch, on_error):
    lock(monkeypatch, "set")
    with pytest.raises(AudioReadError, match=r"set': the folder cannot be entered: .*no audio file is found"):
        AudioFolder(root, on_error=on_error)


@pytest.mark.parametrize("name", ["loop", "loop.wav", "9/loop.txt"])
def test_a_link_to_itself(root, name):
    path = os.path.join(root, name)
    os.symlink(path, path)
    with pytest.raises(AudioReadError, match=r"loop.*Too many levels of symbolic links") as caught:
        AudioFolder(root, target=lambda path: 0)
    assert caught.value.path == path
    with pytest.warns(UserWarning, match="on_error='skip' leaves out 1 ") as told:
        dataset = AudioFolder(root, target=lambda path: 0, on_error="skip")
    assert (len(told), len(dataset), len(dataset.faults)) == (1, 12, 1)


def test_a_folder_whose_path_is_too_long(root, monkeypatch):
    monkeypatch.chdir(os.path.join(root, "2"))
    for _ in range(20):
        os.mkdir("d" * 250)
        os.chdir("d" * 250)
    with pytest.raises(AudioReadError, match="cannot be entered: File name too long"):
        AudioFolder(root)
    with pytest.warns(UserWarning, match="1 folder not searched"):
        assert len(AudioFolder(root, on_error="skip")) == 12
