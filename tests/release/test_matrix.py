"""The environments of `make release`: what pyproject.toml promises is tried, and any two settings together."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from release import matrix
from release.matrix import MATRIX, Environment

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
LISTED = matrix.load()


def test_any_two_settings_are_tried_together():
    assert LISTED.uncovered() == set()


def test_an_environment_that_is_taken_away_leaves_its_pairs_uncovered():
    first = LISTED.environments[0]
    left = dataclasses.replace(LISTED, environments=LISTED.environments[1:])
    assert frozenset({("python", first.python), ("torch", first.torch)}) in left.uncovered()


def test_a_pair_that_is_called_impossible_is_in_no_environment():
    for pair in LISTED.impossible:
        assert len(pair) == 2
        assert not [one.name for one in LISTED.environments if pair <= one.chosen]


def test_the_pythons_and_the_oldest_torch_are_those_of_the_metadata():
    assert set(LISTED.pythons) == set(re.findall(r'"Programming Language :: Python :: (3\.\d+)"', PYPROJECT))
    assert f'"torch>={LISTED.torches[0]}"' in PYPROJECT
    assert f'requires-python = ">={LISTED.pythons[0]}"' in PYPROJECT
    assert LISTED.torches[-1] == matrix.NEWEST


def test_the_constraints_are_one_of_the_environments_torches():
    pinned = re.search(r"^torch==(\d+\.\d+)", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    assert pinned is not None
    assert pinned[1] in LISTED.torches


def test_the_lowest_versions_a_source_archive_and_its_own_tests_are_tried():
    assert [one for one in LISTED.environments if one.lowest and one.torch == LISTED.torches[0]]
    assert [one for one in LISTED.environments if one.archive == "sdist"]
    tried = [path for one in LISTED.environments for path in one.own_tests]
    assert tried
    assert all((ROOT / path).exists() for path in tried), tried


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('python = "3.10"', 'python = "3.9"'), "environment 1: python='3.9' must be one of"),
        (('torch = "2.6"', 'torch = "2.5"'), "environment 1: torch='2.5' must be one of"),
        (("lowest = true", "oldest = true"), "environment 1: ['oldest'] are no settings"),
        (('archive = "sdist"', 'archive = "egg"'), "archive='egg' must be one of"),
        (('without = ["llvmlite", "miniaudio"]', ""), None),
        (
            ('[[environment]]\npython = "3.12"\ntorch = "2.11"', '[[environment]]\npython = "3.10"\ntorch = "2.11"'),
            None,
        ),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path, change, words):
    text = MATRIX.read_text(encoding="utf-8")
    assert change[0] in text
    path = tmp_path / "matrix.toml"
    path.write_text(text.replace(*change, 1), encoding="utf-8")
    if words is None:
        assert matrix.load(path).uncovered()
    else:
        with pytest.raises(ValueError, match=re.escape(words)):
            matrix.load(path)


def test_an_environment_that_stands_there_twice_is_named(tmp_path):
    path = tmp_path / "matrix.toml"
    last = '\n[[environment]]\npython = "3.13"\ntorch = "2.11"\n'
    path.write_text(MATRIX.read_text(encoding="utf-8") + last, encoding="utf-8")
    with pytest.raises(ValueError, match="stands there twice"):
        matrix.load(path)


def test_names_and_folders_tell_environments_apart():
    assert len({one.folder for one in LISTED.environments}) == len(LISTED.environments)
    assert (
        Environment(python="3.11", torch="newest", archive="sdist").name == "python 3.11, torch newest, from the sdist"
    )


def test_what_is_installed_before_the_package_has_the_torch_that_was_asked_for():
    assert Environment(python="3.13", torch="2.11", torchaudio=True, librosa=True).others == [
        "torch==2.11.*", "torchaudio==2.11.*", "librosa",
    ]  # fmt: skip
