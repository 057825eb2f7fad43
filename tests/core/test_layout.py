"""The shape of the package: who may import whom, what stays out of `import audiofeed`, that no file is forgotten."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packages import is_skipped_here

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "audiofeed"
FILES = sorted(PACKAGE.rglob("*.py"))

# The way the data flows; a part imports only from parts above it. data/ knows no transform, and feed/ knows a transform
# only as a callable module.
ORDER = [
    "starting", "progress", "arguments", "drawing", "parallel", "signal", "plans", "methods", "transforms", "augment",
    "presets", "data", "sampling", "feed", "loading", "plot", "survey", "report", "demo", "info", "cli",
]  # fmt: skip
# One vocabulary of folders in these parts. A family imports only from families above it; a file beside the families
# (a window, a frame, a logarithm) from none of them; `contract` from no family, and every family from it.
FAMILIES = [
    "contract", "waveform", "short_time", "auditory", "cepstral", "normalization", "descriptors", "inverse",
    "constant_q", "harmony", "rhythm", "compose",
]  # fmt: skip
IN_FAMILIES = ("signal", "plans", "methods", "transforms")
MOST_FILES = 15
MOST_STOREYS = 3
FORBIDDEN = {
    ("data", "transforms"),
    ("data", "augment"),
    ("data", "presets"),
    ("feed", "transforms"),
    ("feed", "presets"),
}
HEAVY = {
    "triton", "torchaudio", "matplotlib", "librosa", "ray", "webdataset", "soundfile", "soxr", "scipy", "rich",
    "pyarrow", "llvmlite", "miniaudio",
}  # fmt: skip
MAY_IMPORT_TRITON = {"methods/short_time/fused/triton_kernel.py"}


def part_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def is_module(package: str | None, name: str) -> bool:
    """Whether a name that is imported from a package of ours is a file of it."""
    return (ROOT / f"{package}.{name}".replace(".", "/")).with_suffix(".py").exists()


def imports(path: Path) -> list[tuple[str, bool]]:
    """(module, whether at the top level of the file) for everything a file imports at run time."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.dump(branch.test)
        for node in ast.walk(branch)
    }
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
    }
    found = []
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) not in inside) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            at_top = id(node) not in inside
            found.append((str(node.module), at_top))
            found += [
                (f"{node.module}.{alias.name}", at_top) for alias in node.names if is_module(node.module, alias.name)
            ]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_from_what_stands_above_it(path):
    part = part_of(path)
    if part in ("__init__", "__main__"):
        return
    assert part in ORDER, f"{part} has no place in the order"
    for module, _ in imports(path):
        names = module.split(".")
        if names[0] != "audiofeed" or len(names) == 1:
            assert names[0] != "audiofeed" or part in ("cli", "demo"), f"{path} imports the whole package"
            continue
        assert ORDER.index(names[1]) <= ORDER.index(part), f"{path} imports {module}, which stands below it"
        assert (part, names[1]) not in FORBIDDEN, f"{path} imports {module}"


def family_of(part: str, module: str) -> str | None:
    """The family that a module of a part belongs to; None for a file beside the families."""
    names = module.split(".")
    in_folder = len(names) > 2 and (PACKAGE / part / names[2]).is_dir()
    return names[2] if names[1] == part and in_folder else None


@pytest.mark.parametrize("part", IN_FAMILIES)
def test_a_part_has_no_folder_but_families(part):
    folders = {path.name for path in (PACKAGE / part).iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders <= set(FAMILIES), f"{part} has other folders: {sorted(folders - set(FAMILIES))}"


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if part_of(path) in IN_FAMILIES and path.name != "__init__.py"],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_a_family_imports_only_from_families_above_it(path):
    part = part_of(path)
    own = path.relative_to(PACKAGE).parts[1]
    place = FAMILIES.index(own) if own in FAMILIES else -1
    for module, _ in imports(path):
        family = family_of(part, module) if module.startswith("audiofeed.") else None
        if family is not None:
            assert FAMILIES.index(family) <= place, f"{path} imports {module}, which stands below it"


def test_no_folder_has_too_many_files():
    for folder in {
        path.parent for path in [*FILES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    }:
        files = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(files) <= MOST_FILES, f"{folder} has {len(files)} files"


def cycles(arrows: dict[str, set[str]]) -> set[str]:
    """Modules that lie on a circle of imports."""

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        ahead = set(arrows.get(start, ()))
        while ahead:
            found |= ahead
            ahead = {module for at in ahead for module in arrows.get(at, ())} - found
        return found

    return {module for module in arrows if module in reached(module)}


def test_no_import_goes_in_a_circle():
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == {"a", "b", "c"}
    known = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in FILES}
    arrows = {
        name: {module for module, at_top in imports(path) if at_top and module in known} for name, path in known.items()
    }
    assert sum(map(len, arrows.values())) > 100
    assert not cycles(arrows)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_packages_are_imported_where_they_are_used(path):
    if str(path.relative_to(PACKAGE)) in MAY_IMPORT_TRITON:
        return
    for module, at_top in imports(path):
        assert not (at_top and module.split(".")[0] in HEAVY), f"{path} imports {module} at its top"


def storeys(cls: type, package: str) -> int:
    """Classes of a package on the longest way from a class to one that derives from none of them, both counted."""
    return 1 + max((storeys(base, package) for base in cls.__bases__ if base.__module__.startswith(package)), default=0)


def test_no_class_stands_on_more_than_three_storeys():
    modules = [
        importlib.import_module(info.name)
        for info in pkgutil.walk_packages([str(PACKAGE)], "audiofeed.")
        if info.name != "audiofeed.__main__"
    ]
    classes = {
        member
        for module in modules
        for member in vars(module).values()
        if inspect.isclass(member) and member.__module__.startswith("audiofeed.")
    }
    assert storeys(type("D", (type("C", (type("B", (), {}),), {}),), {}), __name__) == 3
    high = {f"{cls.__module__}.{cls.__name__}": storeys(cls, "audiofeed.") for cls in classes}
    assert len(high) > 100
    assert {name: n for name, n in high.items() if n > MOST_STOREYS} == {}


def test_importing_the_package_loads_nothing_beside_torch_and_numpy():
    """How long that takes is measured by benchmarks/import_time.py."""
    code = (
        "import sys, torch, numpy; before = set(sys.modules); import audiofeed; "
        "print(sorted({name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert set(ast.literal_eval(out.stdout)) <= {"audiofeed", "numpy"}


def test_importing_the_package_needs_torch_and_numpy_alone():
    code = f"import sys; sys.modules.update(dict.fromkeys({sorted(HEAVY - {'triton'})!r})); import audiofeed"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_no_file_is_long_or_named_after_nothing():
    for path in [*FILES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]:
        assert path.stem not in ("util", "utils", "helper", "helpers", "common", "misc"), path
        assert len(path.read_text().splitlines()) <= 500, f"{path} has grown into two files"


def test_every_test_file_is_collected(request):
    """A file of tests that pytest never collects would pass for ever. Holds when the whole suite runs."""
    collected = {Path(item.fspath) for item in request.session.items}
    folder = ROOT / "tests"
    here = sorted(path for path in folder.rglob("test_*.py") if not is_skipped_here(path))
    stray = list(folder.rglob("*_test.py"))
    assert not stray, f"pytest collects test_*.py only: {stray}"
    if len({path.parent for path in collected if folder in path.parents}) < len({path.parent for path in here}):
        pytest.skip("part of the suite was asked for; the whole suite checks this")
    missing = [path for path in here if path not in collected]
    assert not missing, f"no test was collected from {missing}"
    doctests = {item.name for item in request.session.items if PACKAGE in Path(item.fspath).parents}
    assert doctests == examples()


def examples() -> set[str]:
    """Every docstring of the package with an example, as pytest names it."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    modules = [importlib.import_module(name) for name in module_names() if not name.endswith("__main__")]
    return {test.name for module in modules for test in finder.find(module, module.__name__) if test.examples}


def module_names() -> list[str]:
    paths = [path.relative_to(ROOT).with_suffix("").parts for path in FILES]
    return [".".join(parts).removesuffix(".__init__") for parts in paths]


def test_there_are_examples():
    assert len(examples()) > 200
