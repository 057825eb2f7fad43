"""Every public name says what a page of the reference needs: its arguments, an example, what to see beside it."""

from __future__ import annotations

import doctest
import re
import sys
from pathlib import Path

import pytest

import audiofeed as af

EXTENSIONS = Path(__file__).resolve().parents[2] / "docs" / "extensions"
sys.path.append(str(EXTENSIONS))

import public_names  # noqa: E402

NAMES = public_names.public_names()
every = pytest.mark.parametrize("name", NAMES, ids=lambda name: name.name)


def test_the_walk_finds_what_a_user_imports():
    found = {name.short for name in NAMES}
    own = {name for name in af.__all__ if name not in ("augment", "plot", "presets")}
    assert own <= found
    assert {f"augment.{name}" for name in af.augment.__all__} - found == {"augment.Dither"}  # which is af.Dither
    assert {f"presets.{name}" for name in af.presets.__all__} <= found
    assert {"data.register_reader", "data.readers.READERS", "sampling.takes_keys", "signal.mel_filterbank"} <= found
    assert len(found) == len(NAMES)
    assert {command.name for command in public_names.commands()} >= {"demo", "scan"}


@every
def test_each_argument_has_an_entry(name):
    section = re.search(r"^Args:\n((?:    .*\n|\n(?=    ))*)", name.doc + "\n", re.MULTILINE)
    entries = re.findall(r"^    (\*{0,2}\w+(?:, \*{0,2}\w+)*):", section[1], re.MULTILINE) if section else []
    named = {argument.lstrip("*") for entry in entries for argument in entry.split(", ")}
    assert not set(name.parameters) - named, f"{name.name} has no entry for {sorted(set(name.parameters) - named)}"


@every
def test_an_example_and_a_summary(name):
    assert name.summary
    assert ">>> " in name.doc, f"{name.name} has no example"


@pytest.mark.parametrize("name", [name for name in NAMES if name.kind == "data"], ids=lambda name: name.name)
def test_the_example_of_a_constant_runs(name):
    """Its text is a comment, which pytest does not look into."""
    test = doctest.DocTestParser().get_doctest(name.doc, {}, name.name, None, None)
    assert doctest.DocTestRunner().run(test).failed == 0
    assert test.examples


@every
def test_a_see_also(name):
    near = public_names.see_also(name)
    assert near
    assert name not in near


def test_near_names_come_first():
    near = public_names.see_also(public_names.spellings()["CQT"])
    assert {"InverseCQT", "VQT"} <= {name.short for name in near}
    assert "librosa.cqt" in public_names.peers(public_names.spellings()["CQT"])


@pytest.mark.parametrize("command", public_names.commands(), ids=lambda command: command.name)
def test_a_command_has_its_options_and_examples(command):
    assert "--help" in command.text
    assert f"audiofeed {command.name} " in command.text.split("usage:", 1)[1]
    assert command.summary
