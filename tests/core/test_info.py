"""`audiofeed info`: what a bug report needs, on any machine, whatever is missing or broken there."""

from __future__ import annotations

import importlib.metadata
import json
import sys
import types
from pathlib import Path

import pytest
import torch

import audiofeed
from audiofeed import info
from audiofeed.cli import main


def shown(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["info", *options]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def test_versions_are_those_of_what_runs(capsys):
    lines = json.loads(shown(capsys, "--json"))
    assert lines["audiofeed"] == audiofeed.__version__
    assert lines["python"].startswith(sys.version.split()[0])
    assert lines["torch"].startswith(f"{torch.__version__}, built for ")
    assert lines["numpy"] == importlib.metadata.version("numpy")
    assert f"torch computes on {torch.get_num_threads()}" in lines["threads"]


def test_the_text_has_a_line_for_each_entry(capsys):
    text, lines = shown(capsys), json.loads(shown(capsys, "--json"))
    assert [line.split("  ")[0] for line in text.splitlines()] == list(lines)
    assert all(value in text for value in lines.values())


def test_it_says_how_features_are_computed_and_why(capsys, monkeypatch):
    from audiofeed.methods.short_time.kernel import limits

    monkeypatch.setattr(limits, "missing", lambda n_fft: "no compiler today")
    assert json.loads(shown(capsys, "--json"))["on the CPU"].endswith("no compiler today")


def test_a_package_that_is_missing_and_one_that_does_not_import_are_told_apart(capsys, monkeypatch):
    def broken(name: str) -> types.ModuleType:
        if name == "soxr":
            raise OSError("libsoxr.so.0: cannot open shared object file\nand more")
        return types.ModuleType(name)

    def version(name: str) -> str:
        if name == "torchaudio":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.2.3"

    monkeypatch.setattr(info.importlib, "import_module", broken)
    monkeypatch.setattr(info.importlib.metadata, "version", version)
    lines = info.describe("0")
    assert lines["soxr"] == "1.2.3, which does not import: OSError: libsoxr.so.0: cannot open shared object file"
    assert lines["torchaudio"] == "not installed"
    assert lines["numpy"] == "1.2.3"


def test_settings_of_the_environment_are_named(capsys, monkeypatch):
    monkeypatch.setenv("AUDIOFEED_KERNELS", "0")
    monkeypatch.setenv("SECRET_TOKEN", "never shown")
    text = shown(capsys)
    assert "AUDIOFEED_KERNELS=0" in text
    assert "never shown" not in text


def test_the_bug_report_asks_for_it():
    form = Path(__file__).resolve().parents[2] / ".github" / "ISSUE_TEMPLATE" / "bug.yml"
    assert "`audiofeed info`" in form.read_text()
