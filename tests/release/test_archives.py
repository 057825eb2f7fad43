"""What is looked at in the two archives of a release, and in its tag."""

from __future__ import annotations

import re
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from release import archives
from release.archives import IN_THE_SDIST, Archives, ReleaseError

INFO = "audiofeed-0.1.0.dist-info"
WHEEL = ["audiofeed/__init__.py", "audiofeed/py.typed", f"{INFO}/licenses/LICENSE", f"{INFO}/entry_points.txt"]
DATED = "## [Unreleased]\n\n## [0.1.0] - 2026-12-24\n\n### Added\n"


@pytest.fixture(autouse=True)
def other_checks(monkeypatch) -> list[str]:
    """twine and check-wheel-contents, which are not here, find nothing; the names of those that were asked."""
    asked: list[str] = []

    def run(command: list[str], **settings: object) -> subprocess.CompletedProcess[str]:
        asked.append(command[2])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(archives.subprocess, "run", run)
    return asked


def made(folder: Path, wheel: list[str], sdist: tuple[str, ...], content: bytes = b"") -> Archives:
    found = Archives(folder / "audiofeed-0.1.0-py3-none-any.whl", folder / "audiofeed-0.1.0.tar.gz")
    with zipfile.ZipFile(found.wheel, "w") as archive:
        for name in wheel:
            archive.writestr(name, content)
    with tarfile.open(found.sdist, "w:gz") as archive:
        for name in sdist:
            archive.addfile(tarfile.TarInfo(f"audiofeed-0.1.0/{name}"))
    return found


def test_whole_archives_pass_after_the_checks_of_others(tmp_path, other_checks):
    archives.check(made(tmp_path, WHEEL, IN_THE_SDIST))
    assert other_checks == ["twine", "check_wheel_contents"]


@pytest.mark.parametrize("name", WHEEL[1:])
def test_what_a_wheel_lacks_is_named(tmp_path, name):
    with pytest.raises(ReleaseError, match=f"whl lacks .*{Path(name).name}"):
        archives.check(made(tmp_path, [one for one in WHEEL if one != name], IN_THE_SDIST))


@pytest.mark.parametrize("name", IN_THE_SDIST)
def test_what_a_source_archive_lacks_is_named(tmp_path, name):
    with pytest.raises(ReleaseError, match=f"gz lacks .*{Path(name).name}"):
        archives.check(made(tmp_path, WHEEL, tuple(one for one in IN_THE_SDIST if one != name)))


def test_what_no_release_should_hold_is_named(tmp_path):
    with pytest.raises(ReleaseError, match=r"would install \['tests'\] beside the package"):
        archives.check(made(tmp_path, [*WHEEL, "tests/test_a.py"], IN_THE_SDIST))
    with pytest.raises(ReleaseError, match=r"holds .*a\.pyc"):
        archives.check(made(tmp_path, WHEEL, (*IN_THE_SDIST, "tests/__pycache__/a.pyc")))
    with pytest.raises(ReleaseError, match=r"has 2\.\d MB, more than 2\.0"):
        archives.check(made(tmp_path, WHEEL, IN_THE_SDIST, content=bytes(600_000)))


def test_what_another_check_finds_is_told(tmp_path, monkeypatch):
    told = subprocess.CompletedProcess([], 1, "long_description has syntax errors\n", "")
    monkeypatch.setattr(archives.subprocess, "run", lambda *args, **settings: told)
    with pytest.raises(ReleaseError, match=r"(?s)twine of .*syntax errors"):
        archives.check(made(tmp_path, WHEEL, IN_THE_SDIST))


def test_archives_of_two_versions_are_refused(tmp_path):
    with pytest.raises(ReleaseError, match="two versions"):
        _ = Archives(tmp_path / "audiofeed-0.1.0-py3-none-any.whl", tmp_path / "audiofeed-0.2.0.tar.gz").version


def test_a_tag_is_the_version_and_has_a_dated_entry():
    archives.check_tag("v0.1.0", "0.1.0", DATED)
    with pytest.raises(ReleaseError, match=re.escape("the tag v0.2.0 is not v0.1.0")):
        archives.check_tag("v0.2.0", "0.1.0", DATED)
    with pytest.raises(ReleaseError, match=re.escape("has no '## [0.2.0] - YYYY-MM-DD'")):
        archives.check_tag("v0.2.0", "0.2.0", DATED)
    with pytest.raises(ReleaseError, match="has no"):
        archives.check_tag("v0.1.0", "0.1.0", DATED.replace("2026-12-24", "soon"))
