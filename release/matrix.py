"""The environments of a release, as `matrix.toml` lists them, and which pairs of their settings none of them has."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MATRIX = Path(__file__).with_name("matrix.toml")
NEWEST = "newest"

# a setting and its value
Chosen = tuple[str, Any]


@dataclass(frozen=True, kw_only=True)
class Environment:
    """An environment of the matrix: see the comment at the top of `matrix.toml`."""

    python: str
    torch: str
    torchaudio: bool = False
    librosa: bool = False
    without: tuple[str, ...] = ()
    lowest: bool = False
    archive: str = "wheel"
    own_tests: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name in the report, from what it holds.

        >>> Environment(python="3.10", torch="2.6", torchaudio=True, without=("llvmlite",)).name
        'python 3.10, torch 2.6, torchaudio, no llvmlite'
        """
        parts = [f"python {self.python}", f"torch {self.torch}"]
        parts += [package for package in ("torchaudio", "librosa") if getattr(self, package)]
        parts += [f"no {package}" for package in self.without]
        parts += ["lowest versions"] * self.lowest
        parts += [f"from the {self.archive}"] * (self.archive != "wheel")
        return ", ".join(parts)

    @property
    def folder(self) -> str:
        """Name of its folder.

        >>> Environment(python="3.10", torch="2.6", without=("llvmlite",)).folder
        'python-3.10-torch-2.6-no-llvmlite'
        """
        return self.name.replace(", ", "-").replace(" ", "-")

    @property
    def others(self) -> list[str]:
        """What is installed before the package, whose absence from a registry is no fault of the package.

        >>> Environment(python="3.10", torch="2.6", torchaudio=True).others
        ['torch==2.6.*', 'torchaudio==2.6.*']
        >>> Environment(python="3.12", torch="newest", librosa=True).others
        ['torch', 'librosa']
        """
        release = "" if self.torch == NEWEST else f"=={self.torch}.*"
        found = [f"torch{release}"]
        found += [f"torchaudio{release}"] * self.torchaudio
        return found + ["librosa"] * self.librosa

    @property
    def chosen(self) -> set[Chosen]:
        """Its settings, those of which every pair is to be tried."""
        return {
            ("python", self.python),
            ("torch", self.torch),
            ("torchaudio", self.torchaudio),
            ("librosa", self.librosa),
            ("without_llvmlite", "llvmlite" in self.without),
        }


@dataclass(frozen=True)
class Matrix:
    """All environments, the values of the settings, and the combinations that cannot be."""

    environments: tuple[Environment, ...]
    pythons: tuple[str, ...]
    torches: tuple[str, ...]
    impossible: tuple[frozenset[Chosen], ...]
    disk_gb: float

    @property
    def by_torch(self) -> Iterator[tuple[str, list[Environment]]]:
        """The environments of each torch, which share most of their files; the newest, most likely to fail, first."""
        for torch in reversed(self.torches):
            yield torch, [environment for environment in self.environments if environment.torch == torch]

    def uncovered(self) -> set[frozenset[Chosen]]:
        """Pairs of settings that could be together and are so in no environment."""
        yes_or_no = (False, True)
        values = {
            "python": self.pythons,
            "torch": self.torches,
            "torchaudio": yes_or_no,
            "librosa": yes_or_no,
            "without_llvmlite": yes_or_no,
        }
        wanted = {
            frozenset({(one, first), (other, second)})
            for one, other in itertools.combinations(values, 2)
            for first, second in itertools.product(values[one], values[other])
        } - set(self.impossible)
        return {pair for pair in wanted if not any(pair <= environment.chosen for environment in self.environments)}


def load(path: Path = MATRIX) -> Matrix:
    """Read the matrix from its file; a mistake in it is a ValueError that names the entry."""
    said = tomllib.loads(path.read_text(encoding="utf-8"))
    known = {field.name for field in fields(Environment)}
    environments = []
    for number, entry in enumerate(said["environment"], 1):
        where = f"{path.name}: environment {number}"
        if entry.keys() - known:
            raise ValueError(f"{where}: {sorted(entry.keys() - known)} are no settings; there are {sorted(known)}")
        made = Environment(**{key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()})
        _check(made.python, said["pythons"], f"{where}: python")
        _check(made.torch, said["torches"], f"{where}: torch")
        _check(made.archive, ["wheel", "sdist"], f"{where}: archive")
        environments.append(made)
    names = [environment.name for environment in environments]
    if len(set(names)) < len(names):
        raise ValueError(f"{path.name}: an environment stands there twice: {sorted(names)}")
    pairs = [{key: value for key, value in entry.items() if key != "reason"} for entry in said["impossible"]]
    return Matrix(
        tuple(environments),
        tuple(said["pythons"]),
        tuple(said["torches"]),
        tuple(frozenset(pair.items()) for pair in pairs),
        float(said["disk_gb"]),
    )


def _check(value: str, allowed: Sequence[str], where: str) -> None:
    if value not in allowed:
        raise ValueError(f"{where}={value!r} must be one of {list(allowed)}")
