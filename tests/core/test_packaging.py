"""What is published: the wheel has its types and no tests, the sdist all that its tests read, both the one version."""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import pytest

import audiofeed
from tests.packages import is_skipped_here

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED_BESIDE_THE_PACKAGE = [
    ".ci/run", ".github/workflows/ci.yml", ".gitignore", ".pre-commit-config.yaml", "CHANGELOG.md", "CITATION.cff",
    "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "SECURITY.md", "release/matrix.toml",
    "release/requirements.txt", "release/stored_log_mel.json",
    "audiofeed/data/README.md", "benchmarks/reading.py", "benchmarks/results/reading.json", "constraints.txt",
    "docs/design.md", "docs/coming_from/librosa.md", "examples/own_dataset.py", "pyproject.toml",
    "tests/core/test_packaging.py",
]  # fmt: skip

# a user's line -> what mypy says of it; None: nothing
TYPED_LINES = [
    ("af.LogMelSpectrogram(sample_rate=16_000, n_fft=400, hop_length=160, n_mels=80)", None),
    ("af.GPUSpecCollate(af.MFCC(sample_rate=16_000))", None),
    ("af.AudioFolder('recordings', sample_rate=16_000, crop=af.RandomCrop(2.0))[0].waveform.shape", None),
    ("af.STFT(power=2)", 'Unexpected keyword argument "power"'),
    ("af.LogMelSpectrogram(sample_rate='x')", 'Argument "sample_rate" to "LogMelSpectrogram" has incompatible type'),
    ("af.RandomCrop('2 s')", 'Argument 1 to "RandomCrop" has incompatible type'),
    ("af.AudioFolder('recordings')[0].wavefrom", '"AudioExample" has no attribute "wavefrom"'),
    ("af.LogMelSpectogram", 'Module has no attribute "LogMelSpectogram"'),
]


@dataclass(frozen=True)
class Built:
    """The two archives, and the sdist unpacked."""

    wheel: Path
    sdist: Path
    unpacked: Path

    @property
    def metadata(self) -> Message:
        with zipfile.ZipFile(self.wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            return email.message_from_string(archive.read(name).decode())


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The archives, built once, from this folder and without a network."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-d", folder, cwd=ROOT)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        # the argument that Python 3.14 sets by itself and 3.10 has only since its last releases
        archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    return Built(wheel, sdist, folder / sdist.name.removesuffix(".tar.gz"))


def run(*command: str | Path, cwd: Path, fails: bool = False, also: dict[str, str] | None = None) -> str:
    # the archive's own package must be the one that is tested, whatever is installed
    environment = {
        **os.environ,
        **(also or {}),
        "PYTHONPATH": os.pathsep.join([str(cwd), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert fails == bool(done.returncode), done.stdout + done.stderr
    return done.stdout


def test_the_wheel_is_the_package_with_its_types_and_no_tests(built):
    with zipfile.ZipFile(built.wheel) as archive:
        names = archive.namelist()
    assert "audiofeed/py.typed" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"audiofeed"}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "audiofeed").rglob("*.py")}
    assert modules == {name for name in names if name.endswith(".py")}


def test_the_sdist_has_each_file_that_its_tests_read(built):
    for name in PUBLISHED_BESIDE_THE_PACKAGE:
        assert (built.unpacked / name).read_bytes() == (ROOT / name).read_bytes(), name
    for folder, pattern in [("tests", "*.py"), ("benchmarks", "*"), ("examples", "*.py"), ("docs", "*.md")]:
        here = {
            path.relative_to(ROOT)
            for path in (ROOT / folder).rglob(pattern)
            if path.is_file() and "__pycache__" not in path.parts
        }
        there = {path.relative_to(built.unpacked) for path in (built.unpacked / folder).rglob(pattern)}
        assert here <= there, f"not published: {sorted(map(str, here - there))}"


def test_one_version(built):
    assert built.metadata["Version"] == audiofeed.__version__
    assert not re.search(r'^version = "', (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)
    assert built.wheel.name.startswith(f"audiofeed-{audiofeed.__version__}-")
    assert built.sdist.name == f"audiofeed-{audiofeed.__version__}.tar.gz"


def test_the_metadata_says_who_and_where(built):
    assert built.metadata["Author"] == "The audiofeed developers"
    urls = dict(url.split(", ") for url in built.metadata.get_all("Project-URL"))
    assert set(urls) == {"Homepage", "Documentation", "Issues", "Changelog"}
    assert "Typing :: Typed" in built.metadata.get_all("Classifier")


def test_the_citation_names_the_license_of_the_package_and_the_paper_it_continues(built):
    lines = (ROOT / "CITATION.cff").read_text().splitlines()
    keys = {line.split(":")[0] for line in lines if re.match(r"[a-z-]+:", line)}
    assert {"cff-version", "message", "title", "authors", "references"} <= keys
    assert "version" not in keys, "the version has one place, audiofeed/__init__.py"
    assert f"license: {built.metadata['License-Expression']}" in lines
    assert "    doi: 10.1109/ACCESS.2020.3019084" in lines


@pytest.mark.slow
def test_the_tests_of_an_unpacked_sdist_are_collected_and_run(built, chosen_marks):
    collected = run(
        sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", cwd=built.unpacked
    )
    names = {line.split("::")[0] for line in collected.splitlines() if "::" in line}
    files = [path for path in (ROOT / "tests").rglob("test_*.py") if not is_skipped_here(path)]
    assert {str(path.relative_to(ROOT)) for path in files} <= names
    paths = "tests/core/test_readme.py::test_every_path_and_make_target_of_the_readme_exists"
    sample = [paths, "tests/data/formats/test_wav.py", "tests/docs/test_coming_from.py", "audiofeed/data"]
    where = "import audiofeed, sys; print(audiofeed.__file__)"
    assert run(sys.executable, "-c", where, cwd=built.unpacked).startswith(str(built.unpacked))
    run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *sample, cwd=built.unpacked, also=chosen_marks)


@pytest.fixture(scope="session")
def reported(built: Built, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What mypy says of each of a user's lines, where the wheel is installed and this repository is not."""
    pytest.importorskip("mypy", reason="mypy is not installed")
    folder = tmp_path_factory.mktemp("user")
    run(sys.executable, "-m", "venv", "--without-pip", "environment", cwd=folder)
    python = folder / "environment" / "bin" / "python"
    (site,) = run(python, "-c", "import site; print(*site.getsitepackages(), sep='\\n')", cwd=folder).split()[:1]
    run(
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        "--target",
        site,
        built.wheel,
        cwd=folder,
    )
    # torch and numpy come from the outer environment; its .pth files are not read, so an editable install stays hidden
    outer = subprocess.run(
        [sys.executable, "-c", "import torch, pathlib; print(pathlib.Path(torch.__file__).parents[1])"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    Path(site, "outer.pth").write_text(outer)
    names = {f"line_{number}.py": line for number, (line, _) in enumerate(TYPED_LINES)}
    for name, line in names.items():
        (folder / name).write_text(f"import audiofeed as af\n\n{line}\n")
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--python-executable", python, *names],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found: dict[str, list[str]] = {line: [] for line in names.values()}
    for text in done.stdout.splitlines():
        name, _, rest = text.partition(":")
        if name in names and ": error:" in text:
            found[names[name]].append(rest)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("line", "error"), TYPED_LINES)
def test_mypy_sees_the_types_of_an_installed_wheel(reported, line, error):
    said = reported[line]
    if error is None:
        assert said == []
    else:
        assert len(said) == 1, said
        assert error in said[0]
