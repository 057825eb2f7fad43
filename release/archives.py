"""Build the wheel and the source archive, and look into both."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# MB; a wheel of ours is text, and what makes it larger than this has been put there by mistake
LARGEST_WHEEL = 2.0
IN_THE_WHEEL = ("audiofeed/py.typed", "licenses/LICENSE", "entry_points.txt")
IN_THE_SDIST = ("CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml", "tests/conftest.py", "release/matrix.toml")


class ReleaseError(Exception):
    """Error for a release that cannot be made from this commit; the message says what to change."""


@dataclass(frozen=True)
class Archives:
    """The two files of a release."""

    wheel: Path
    sdist: Path

    @property
    def version(self) -> str:
        """Version in the names of both.

        >>> Archives(Path("dist/audiofeed-0.1.0-py3-none-any.whl"), Path("dist/audiofeed-0.1.0.tar.gz")).version
        '0.1.0'
        """
        version = self.wheel.name.split("-")[1]
        if self.sdist.name != f"audiofeed-{version}.tar.gz":
            raise ReleaseError(f"{self.wheel.name} and {self.sdist.name} are of two versions")
        return version


def built(folder: Path) -> Archives:
    """Build the source archive from the checkout, and the wheel from the source archive, as an installer would."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in [*folder.glob("audiofeed-*.whl"), *folder.glob("audiofeed-*.tar.gz")]:
        old.unlink()
    # hatchling is in the environment of the release itself; a build in isolation would fetch it once more
    subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT], check=True)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Archives(wheel, sdist)


def check(archives: Archives) -> None:
    """Raise a ReleaseError for archives that lack something, hold too much, or whose description does not render."""
    for command in (
        ["twine", "check", "--strict", archives.wheel, archives.sdist],
        ["check_wheel_contents", "--config", ROOT / "pyproject.toml", archives.wheel],
    ):
        done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)
        if done.returncode:
            raise ReleaseError(f"{command[0]} of {archives.wheel.name}:\n{done.stdout}{done.stderr}")
    with zipfile.ZipFile(archives.wheel) as wheel:
        _check_names(wheel.namelist(), IN_THE_WHEEL, archives.wheel)
        stray = {name.split("/")[0] for name in wheel.namelist()} - {"audiofeed", _info_of(archives)}
    if stray:
        raise ReleaseError(f"{archives.wheel.name} would install {sorted(stray)} beside the package")
    size = archives.wheel.stat().st_size / 1e6
    if size > LARGEST_WHEEL:
        raise ReleaseError(f"{archives.wheel.name} has {size:.1f} MB, more than {LARGEST_WHEEL}: what is in it?")
    with tarfile.open(archives.sdist) as sdist:
        _check_names(sdist.getnames(), IN_THE_SDIST, archives.sdist)


def _info_of(archives: Archives) -> str:
    return f"audiofeed-{archives.version}.dist-info"


def _check_names(names: list[str], needed: tuple[str, ...], archive: Path) -> None:
    missing = [ending for ending in needed if not any(name.endswith(ending) for name in names)]
    if missing:
        raise ReleaseError(f"{archive.name} lacks {missing}")
    stray = [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".so", ".egg-info"))]
    if stray:
        raise ReleaseError(f"{archive.name} holds {stray[:3]}, which no release should")


def check_tag(tag: str, version: str, changelog: str) -> None:
    """Raise a ReleaseError for a tag that is not the version's, or whose version has no dated entry in the changelog.

    Args:
        tag: As in git.
        version: Of the archives.
        changelog: Text of CHANGELOG.md.

    >>> check_tag("v0.1.0", "0.1.0", "## [0.1.0] - 2026-12-24")
    """
    if tag != f"v{version}":
        raise ReleaseError(f"the tag {tag} is not v{version}, of audiofeed.__version__; change one of them")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, flags=re.MULTILINE):
        raise ReleaseError(
            f"CHANGELOG.md has no '## [{version}] - YYYY-MM-DD'; give the list under '## [Unreleased]' that heading"
        )
