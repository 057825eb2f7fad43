"""The end of the demo: the report of its data, a browser only where there is somebody, and what to type next."""

from __future__ import annotations

import json
import shlex
import shutil
import webbrowser
from pathlib import Path

import pytest

from audiofeed.cli import main
from audiofeed.demo import browser
from audiofeed.demo.browser import has_viewer, show_page


def demo(*arguments):
    return main(["demo", "--epochs", "1", "--workers", "0", "--device", "cpu", *map(str, arguments)])


@pytest.fixture
def shown(monkeypatch):
    """The pages that the demo would show, at a machine with somebody before it."""
    pages = []
    monkeypatch.setattr("audiofeed.demo.run.show_page", pages.append)
    return pages


def test_it_writes_the_report_and_says_what_to_type_next(sounds, tmp_path, capsys, shown):
    assert demo("--data", sounds.root, "--out", tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    page = (tmp_path / "report.html").read_text()
    assert f"{sounds.count} files, {sounds.count} of them with a good header" in page
    assert "RandomCrop(seconds=3.0)" in page
    assert "LogMelSpectrogram" in page
    assert "clips/s" in page
    assert json.loads((tmp_path / "metrics.json").read_text())["report"] == str(tmp_path / "report.html")
    assert f"the data as the model saw it, with sound, in {tmp_path / 'report.html'}" in lines
    assert lines[-1] == f"next, with the features of your model: audiofeed report {sounds.root} --transform whisper"
    assert shown == [tmp_path / "report.html"]
    assert demo("--data", sounds.root, "--out", tmp_path, "--no-open") == 0
    assert len(shown) == 1


def test_what_it_says_to_type_can_be_typed(sounds, tmp_path, capsys, shown, monkeypatch):
    odd = tmp_path / "a b"
    shutil.copytree(sounds.root, odd)
    assert demo("--data", odd, "--out", tmp_path / "out") == 0
    typed = capsys.readouterr().out.splitlines()[-1].partition(": ")[2]
    monkeypatch.chdir(tmp_path)
    program, *arguments = shlex.split(typed)
    assert program == "audiofeed"
    assert main([*arguments, "--speed-seconds", "0", "--clips", "1", "--measure-hours", "0.001"]) == 0
    assert Path("report.html").exists()


def test_a_report_that_fails_is_a_line_and_no_error(sounds, tmp_path, capsys, shown):
    (tmp_path / "report.html").mkdir()  # nothing can be written there
    assert demo("--data", sounds.root, "--out", tmp_path) == 0
    assert "no report: --out" in capsys.readouterr().out
    assert json.loads((tmp_path / "metrics.json").read_text())["report"] is None
    assert shown == []


@pytest.mark.parametrize(
    ("environment", "platform", "is_terminal", "answer"),
    [
        ({"DISPLAY": ":0"}, "linux", True, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True, True),
        ({}, "linux", True, False),
        ({"DISPLAY": ":0"}, "linux", False, False),
        ({"DISPLAY": ":0", "CI": "true"}, "linux", True, False),
        ({"DISPLAY": "localhost:10.0", "SSH_CONNECTION": "1 2 3 4"}, "linux", True, False),
        ({"SSH_TTY": "/dev/pts/1"}, "darwin", True, False),
        ({}, "darwin", True, True),
        ({}, "win32", True, True),
    ],
)
def test_a_browser_needs_somebody_before_it(environment, platform, is_terminal, answer):
    assert has_viewer(environment, platform, is_terminal) is answer


def test_a_browser_that_would_take_the_terminal_is_not_started(monkeypatch, tmp_path):
    opened = []

    class Window(webbrowser.BackgroundBrowser):
        def open(self, url, new=0, autoraise=True):
            opened.append(url)
            return True

    monkeypatch.setattr(browser, "has_viewer", lambda *found: True)
    page = tmp_path / "a b.html"
    monkeypatch.setattr(webbrowser.GenericBrowser, "open", lambda self, url: opened.append(url) or True)
    monkeypatch.setattr(webbrowser, "get", lambda: webbrowser.GenericBrowser("lynx"))
    assert show_page(page) is False
    assert opened == []
    monkeypatch.setattr(webbrowser, "get", lambda: Window("firefox"))
    assert show_page(page) is True
    assert opened == [page.as_uri()]

    def none():
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "get", none)
    assert show_page(page) is False
    monkeypatch.undo()
    assert show_page(page) is False  # a test has no terminal
