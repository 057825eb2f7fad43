"""The public names of audiofeed, found by walking the package: what each is, and what stands near it.

A name is public where a package's `__all__` has it. What several packages have is known by the shortest name:
`audiofeed.CQT`, not `audiofeed.transforms.CQT`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import io
import os
import pkgutil
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import audiofeed

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = ("forward", "frame_lengths", "frequencies", "times")  # what each transform has, whoever defines it
_NEAR = 8  # names of a see-also
_FAMILIES = {
    "compose": "Composition",
    "constant_q": "Constant Q",
    "contract": "To derive from",
    "short_time": "Short-time",
}
_PARTS = {
    "transforms": "Features",
    "augment": "Augmentation",
    "presets": "Front-ends of known models",
    "data": "Data",
    "sampling": "Sampling",
    "feed": "Batches",
    "loading": "Feeding",
    "plot": "Pictures",
    "signal": "Definitions in NumPy",
}


@dataclass(frozen=True, eq=False)
class PublicName:
    """A public name.

    Args:
        name: whole, such as "audiofeed.augment.Gain".
        value: what it is a name of.
        module: where that is defined, such as "audiofeed.augment.levels.gain".
    """

    name: str
    value: Any
    module: str

    @property
    def short(self) -> str:
        """The name as one writes it after `import audiofeed as af`, without `af.`."""
        return self.name.removeprefix("audiofeed.")

    @property
    def kind(self) -> str:
        """ "exception", "class", "function" or "data", as autodoc's directives are called."""
        if inspect.isclass(self.value):
            return "exception" if issubclass(self.value, BaseException) else "class"
        return "function" if callable(self.value) else "data"

    @property
    def part(self) -> str:
        """The heading that it stands under."""
        part = self.module.split(".")[1]
        return _PARTS.get(part, part.capitalize())

    @property
    def family(self) -> str:
        """The heading of the folder within the part, such as "Constant Q"; empty where there is none."""
        names = self.module.split(".")
        return _FAMILIES.get(names[2], names[2].replace("_", " ").capitalize()) if len(names) > 3 else ""

    @property
    def doc(self) -> str:
        """Its documentation."""
        return (
            inspect.getdoc(self.value) or ""
            if self.kind != "data"
            else _data_doc(self.module, self.name.rpartition(".")[2])
        )

    @property
    def summary(self) -> str:
        """The first sentence of its documentation, without the full stop."""
        return " ".join(self.doc.split("\n\n")[0].split()).removesuffix(".")

    @property
    def parameters(self) -> list[str]:
        """Its arguments; of an error whose `__init__` is Python's, none."""
        if self.kind == "data":
            return []
        with contextlib.suppress(ValueError):
            return list(inspect.signature(self.value).parameters)
        return []

    @property
    def path(self) -> Path:
        """The file that defines it."""
        return Path(str(importlib.import_module(self.module).__file__))

    def members(self) -> list[str]:
        """Methods and properties to be shown: its own, and those of bases that have no page."""
        if self.kind != "class":
            return []
        with_page = {name.value for name in public_names() if name.kind == "class"} - {self.value}
        shown = {}
        for base in reversed(self.value.__mro__):
            if base.__module__.split(".")[0] != "audiofeed":
                continue
            above = {member for other in base.__mro__[1:] if other in with_page for member in vars(other)}
            for member in vars(base):
                hook = member in above and member not in CONTRACT
                if member.startswith("_") or hook or not inspect.getdoc(getattr(self.value, member)):
                    continue
                if callable(getattr(base, member)) or isinstance(
                    vars(base)[member], (property, functools.cached_property)
                ):
                    shown[member] = base
        return [member for member, base in shown.items() if base not in with_page]

    def inherited(self) -> list[tuple[str, str]]:
        """(name of the base, member) for what each transform has and this one takes from a base with a page."""
        if self.kind != "class":
            return []
        pages = {
            name.value: name.name for name in public_names() if name.kind == "class" and name.value is not self.value
        }
        found = []
        for member in sorted(
            {m for base in self.value.__mro__ if base in pages for m in vars(base)} - set(self.members())
        ):
            if not member.startswith("_") and (member in CONTRACT or callable(getattr(self.value, member, None))):
                owner = next(base for base in self.value.__mro__ if member in vars(base))
                hook = "contract" in owner.__module__ and member not in CONTRACT
                if owner in pages and not hook and member in _by_value()[id(owner)].members():
                    found.append((pages[owner], member))
        return found


def _data_doc(module: str, own: str) -> str:
    """What the `#:` comment above the assignment of a constant says."""
    text = Path(str(importlib.import_module(module).__file__)).read_text()
    above = re.search(rf"((?:^#:.*\n)+){own}\b", text, re.MULTILINE)
    return "\n".join(line[3:] for line in above[1].splitlines()) if above else ""


def _module_of(value: Any, package: str, own: str) -> str:
    """The module that defines what a package names."""
    if hasattr(value, "__module__"):
        return str(value.__module__)
    for found in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        path = Path(getattr(found.module_finder, "path", "")) / f"{found.name.split('.')[-1]}.py"
        if path.exists() and re.search(rf"^{own}\b.*=", path.read_text(), re.MULTILINE):
            return found.name
    return package


def packages() -> list[str]:
    """The packages and modules that have an `__all__`, the whole first."""
    found = ["audiofeed"]
    for module in pkgutil.walk_packages(audiofeed.__path__, "audiofeed."):
        path = Path(getattr(module.module_finder, "path", "")) / module.name.split(".")[-1]
        source = path / "__init__.py" if module.ispkg else path.with_suffix(".py")
        if re.search(r"^__all__\b", source.read_text(), re.MULTILINE):
            found.append(module.name)
    return found


@functools.cache
def public_names() -> tuple[PublicName, ...]:
    """All public names, in the order of the parts and families, each once under its shortest name."""
    found: dict[int, PublicName] = {}
    for package in packages():
        module = importlib.import_module(package)
        for own in module.__all__:
            value = getattr(module, own)
            if inspect.ismodule(value):
                continue
            known = found.get(id(value))
            if known is None or len(f"{package}.{own}") < len(known.name):
                found[id(value)] = PublicName(f"{package}.{own}", value, _module_of(value, package, own))
    order = [*_PARTS.values(), *sorted({name.part for name in found.values()} - set(_PARTS.values()))]
    return tuple(sorted(found.values(), key=lambda name: (order.index(name.part), name.family, name.short.lower())))


@functools.cache
def _by_value() -> dict[int, PublicName]:
    return {id(name.value): name for name in public_names()}


@functools.cache
def spellings() -> dict[str, PublicName]:
    """The ways to write each name: "CQT", "af.CQT", "audiofeed.transforms.CQT"; what would mean two names is none."""
    found: dict[str, list[PublicName]] = {}
    for name in public_names():
        own = name.name.rpartition(".")[2]
        for text in {name.name, name.short, f"af.{name.short}", own, f"{name.module}.{own}", *_other_names(name)}:
            found.setdefault(text, []).append(name)
    exact = {name.short for name in public_names()}
    return {text: names[0] for text, names in found.items() if len(names) == 1 or text in exact}


def _other_names(name: PublicName) -> set[str]:
    own = name.name.rpartition(".")[2]
    return {f"{p}.{own}" for p in packages() if getattr(importlib.import_module(p), own, None) is name.value}


@functools.cache
def _code(name: PublicName) -> frozenset[int]:
    """The public names that a text has in code."""
    found = re.findall(r"`([\w.]+)`", name.doc)
    return frozenset(id(spellings()[text]) for text in found if text in spellings())


def see_also(name: PublicName) -> list[PublicName]:
    """The names near one: those its text names, those that name it, those of its file, its family, its part."""

    def nearness(other: PublicName) -> int:
        named = 8 * (id(other) in _code(name)) + 4 * (id(name) in _code(other)) + 4 * bool(peers(name) & peers(other))
        same_part = other.part == name.part
        return named + 3 * (other.module == name.module) + 2 * (same_part and other.family == name.family) + same_part

    near = {other: nearness(other) for other in public_names() if other is not name}
    ranked = sorted(near, key=near.__getitem__, reverse=True)
    return ([other for other in ranked if near[other] > 1] or [other for other in ranked if near[other] > 0])[:_NEAR]


@functools.cache
def peers(name: PublicName) -> frozenset[str]:
    """What other libraries call it: by its own text, and by the tables of docs/ that set names beside ours."""
    named = set(re.findall(r"`((?:librosa|torchaudio|nnAudio|transformers|scipy)\.[\w.]+\w)`", name.doc))
    return frozenset(named | _tables().get(id(name.value), set()))


@functools.cache
def _tables() -> dict[int, set[str]]:
    """The other libraries' names for each of ours, from tables whose second column is headed "audiofeed"."""
    found: dict[int, set[str]] = {}
    for page in sorted((ROOT / "docs").rglob("*.md")):
        library = None
        for line in page.read_text().splitlines():
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if len(cells) < 2:
                library = None
            elif cells[1] == "audiofeed" and re.fullmatch(r"[\w, .]+", cells[0]):
                library = re.split("[, ]", cells[0])[0].replace("-", "_")  # as one imports it
            elif library:
                theirs = re.findall(r"`([A-Za-z_][\w.]*)(?:\(.*?\))?`", cells[0])
                for text in re.findall(r"`(?:af\.)?([A-Za-z][\w.]*)", cells[1]):
                    if text in spellings():
                        said = {text if text.startswith(library) else f"{library}.{text}" for text in theirs}
                        found.setdefault(id(spellings()[text].value), set()).update(said)
    return found


@functools.cache
def _pages() -> dict[str, set[str]]:
    """The names in code that each page of docs/ has."""
    found = {}
    for page in sorted((ROOT / "docs").rglob("*.md")):
        relative = page.relative_to(ROOT / "docs")
        if relative.parts[0] not in ("_build", "gallery", "api", "extensions", "static"):
            words = re.findall(r"(?<![\w.])(?:af\.|audiofeed\.)?((?:\w+\.)*\w+)", page.read_text())
            found[str(relative.with_suffix(""))] = {
                word for word in words if word[0].isupper() or "." in word or "_" in word
            }
    return found


def pages_of(name: PublicName) -> list[str]:
    """The pages of docs/ that speak of it, without their suffix."""
    return [page for page, words in _pages().items() if name.short in words]


@dataclass(frozen=True)
class Command:
    """A command of the command line.

    Args:
        name: "demo".
        summary: a line on it.
        text: what `audiofeed demo --help` prints.
    """

    name: str
    summary: str
    text: str


def _help(*arguments: str) -> str:
    from audiofeed import cli

    out = io.StringIO()
    plain = mock.patch.dict(os.environ, COLUMNS="88", NO_COLOR="1")
    with plain, contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        cli.main([*arguments, "--help"])
    return out.getvalue().rstrip()


@functools.cache
def commands() -> tuple[Command, ...]:
    """The commands of `audiofeed`, as its own help lists them."""
    listed = _help().partition("COMMAND")[2]
    found = re.findall(r"^    (\w+) +(\S(?:.|\n {6,})*)$", listed, re.MULTILINE)
    return tuple(Command(name, " ".join(summary.split()), _help(name)) for name, summary in found)
