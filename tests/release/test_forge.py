"""The files for a forge say what the Makefile does, and the policies name nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import audiofeed

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = {path.name: path.read_text(encoding="utf-8") for path in (GITHUB / "workflows").glob("*.yml")}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
POLICIES = ["SECURITY.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "docs/deprecations.md"]
KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]


def parsed(path: Path) -> dict:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_each_file_is_yaml_of_its_form():
    for name in WORKFLOWS:
        said = parsed(GITHUB / "workflows" / name)
        assert said["permissions"] == {"contents": "read"}
        for job in said["jobs"].values():
            assert job["timeout-minutes"] <= 120, "a job that hangs must end"
            assert all(("uses" in step) != ("run" in step) for step in job["steps"])
    for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml"):
        said = parsed(path)
        if path.name != "config.yml":
            ids = [part["id"] for part in said["body"]]
            assert len(set(ids)) == len(ids)
            assert all(part["type"] in ("textarea", "checkboxes") for part in said["body"])
            assert {"name", "description", "body"} <= set(said)
    assert parsed(ROOT / "CITATION.cff")["title"].startswith("audiofeed")


def test_hooks_fetch_nothing_and_run_what_the_makefile_installs():
    said = parsed(ROOT / ".pre-commit-config.yaml")
    assert [one["repo"] for one in said["repos"]] == ["local"]
    for hook in said["repos"][0]["hooks"]:
        assert hook["language"] == "system"
        assert hook["entry"].startswith(".venv/bin/")
        for path in re.findall(r"tests/\S+", hook["entry"]):
            assert (ROOT / path).exists()


def test_workflows_run_the_commands_that_everybody_runs():
    assert "bash .ci/run" in WORKFLOWS["ci.yml"]
    assert 'make release RELEASE_OPTIONS="--tag' in WORKFLOWS["release.yml"]
    for text in WORKFLOWS.values():
        for target in re.findall(r"\bmake ([a-z][a-z-]*)", text):
            assert re.search(rf"^{target}:", MAKEFILE, flags=re.MULTILINE), target
    # nothing that an attacker may name reaches a shell as text
    assert not [text for text in WORKFLOWS.values() if re.search(r"run:.*\$\{\{", text)]


def test_only_a_pushed_tag_whose_release_was_tried_is_published():
    publish = parsed(GITHUB / "workflows" / "release.yml")["jobs"]["publish"]
    assert publish["needs"] == "try"
    assert publish["if"] == "github.event_name == 'push' && github.ref_type == 'tag'"
    assert publish["permissions"] == {"id-token": "write"}
    assert "password" not in WORKFLOWS["release.yml"].split("steps:")[-1]


@pytest.mark.parametrize("name", POLICIES)
def test_what_a_policy_names_is_there(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for path in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        # a report is written by a run of the matrix
        assert ((ROOT / name).parent / path).exists() or "/results/" in path, path
    for target in re.findall(r"`make ([a-z][a-z-]*)", text):
        assert re.search(rf"^{target}:", MAKEFILE, flags=re.MULTILINE), target
    for path in re.findall(r"`((?:audiofeed|tests|release|docs|benchmarks|\.github)/[\w./]+\.\w+)`", text):
        assert (ROOT / path).exists() or path.startswith(("release/results/", "benchmarks/results/")), path
    for module in re.findall(r"`?python -m ([\w.]+)", text):
        found = ROOT / module.replace(".", "/")
        assert found.with_suffix(".py").exists() or (found / "__main__.py").exists(), module
    assert not re.findall(r"[\w.]+@[\w.]+", text), "an address must exist to be named"


def test_a_public_module_that_the_deprecations_name_is_there():
    text = (ROOT / "docs" / "deprecations.md").read_text(encoding="utf-8").split("##")[1]
    modules = set(re.findall(r"`(?:af|audiofeed)\.(\w+)`", text))
    assert {"augment", "presets", "data", "feed"} <= modules
    for module in modules:
        assert (ROOT / "audiofeed" / module).exists() or (ROOT / "audiofeed" / f"{module}.py").exists(), module


def test_the_changelog_has_the_headings_of_its_form():
    releases = re.findall(r"^## (.*)$", CHANGELOG, flags=re.MULTILINE)
    assert releases[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", one) for one in releases[1:]), releases
    for release in CHANGELOG.split("\n## ")[1:]:
        kinds = re.findall(r"^### (.*)$", release, flags=re.MULTILINE)
        assert set(kinds) <= set(KINDS)
        assert kinds == sorted(kinds, key=KINDS.index), "each heading once, in the order of the form"
        assert len(set(kinds)) == len(kinds)
    before = CHANGELOG.split("\n### ")[0]
    assert "\n- " not in before, "a line of the changelog stands under no heading"


def test_the_version_is_one_that_can_be_released():
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", audiofeed.__version__)
