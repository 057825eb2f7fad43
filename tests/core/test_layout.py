"""The shape of the package: who may import whom, what stays out of `import audiofeed`, that no file is forgotten."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "audiofeed"
FILES = sorted(PACKAGE.rglob("*.py"))

# The way the data flows; a part imports only from parts above it. data/ knows no transform, and feed/ knows a transform
# only as a callable module.
ORDER = ["signal", "methods", "transforms", "augment", "presets", "data", "feed", "plot", "report", "demo", "cli"]
FORBIDDEN = {
    ("data", "transforms"),
    ("data", "augment"),
    ("data", "presets"),
    ("feed", "transforms"),
    ("feed", "presets"),
}
HEAVY = {
    "triton", "torchaudio", "matplotlib", "librosa", "ray", "webdataset", "soundfile", "soxr", "scipy", "rich",
    "pyarrow", "llvmlite",
}  # fmt: skip
MAY_IMPORT_TRITON = {"methods/fused.py"}


def part_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


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
            found.append((str(node.module), id(node) not in inside))
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


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_packages_are_imported_where_they_are_used(path):
    if str(path.relative_to(PACKAGE)) in MAY_IMPORT_TRITON:
        return
    for module, at_top in imports(path):
        assert not (at_top and module.split(".")[0] in HEAVY), f"{path} imports {module} at its top"


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, torch, numpy; before = set(sys.modules); import audiofeed; "
        f"print(sorted({HEAVY!r} & ({{name.split('.')[0] for name in set(sys.modules) - before}})))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"


def test_importing_the_package_needs_torch_and_numpy_alone():
    code = f"import sys; sys.modules.update(dict.fromkeys({sorted(HEAVY - {'triton'})!r})); import audiofeed"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_importing_the_package_adds_at_most_a_fifth_of_a_second_to_torch():
    """As `python -X importtime` counts: the time of everything that `import torch` has not loaded. Best of three."""
    code = "import torch, time; start = time.perf_counter(); import audiofeed; print(time.perf_counter() - start)"
    seconds = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout)
        for _ in range(3)
    ]
    assert min(seconds) <= 0.2


def test_no_room_without_a_name_and_no_file_too_long():
    for path in [*FILES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]:
        assert path.stem not in ("util", "utils", "helper", "helpers", "common", "misc"), path
        assert len(path.read_text().splitlines()) <= 500, f"{path} has grown into two files"


def test_every_test_file_is_collected(request):
    """A file of tests that pytest never collects would pass for ever. Holds when the whole suite runs."""
    collected = {Path(item.fspath) for item in request.session.items}
    folder = ROOT / "tests"
    here = sorted(folder.rglob("test_*.py"))
    stray = list(folder.rglob("*_test.py"))
    assert not stray, f"pytest collects test_*.py only: {stray}"
    if len({path.parent for path in collected if folder in path.parents}) < len({path.parent for path in here}):
        pytest.skip("part of the suite was asked for; the whole suite checks this")
    missing = [path for path in here if path not in collected]
    assert not missing, f"no test was collected from {missing}"
    doctests = [item for item in request.session.items if PACKAGE in Path(item.fspath).parents]
    assert len(doctests) >= 30, f"only {len(doctests)} doctests were collected"
