"""The tables of docs/presets.md, made of the presets themselves: `python -m tests.presets.page` writes them."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import torch

import audiofeed as af
from audiofeed.presets.extractors import EXTRACTORS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "presets.md"
NAMES = [name for name in af.presets.__all__ if name != "from_extractor"]
_TABLES = re.compile(r"(<!-- presets -->\n).*?(<!-- end -->)(.*?)(<!-- classes -->\n).*?(<!-- end -->)", re.DOTALL)


def shape_of(features: torch.Tensor | dict[str, torch.Tensor]) -> str:
    """Bins and frames, or samples, of a clip."""
    if isinstance(features, dict):
        return ", ".join(f"{name} {shape_of(value)}" for name, value in features.items())
    return " x ".join(map(str, features.shape[1:]))


def row(name: str) -> str:
    function = getattr(af.presets, name)
    text = inspect.cleandoc(function.__doc__)
    first = " ".join(text.split("\n\n")[0].split())
    first = re.sub(r"^Return ", "", first).split(", as a module")[0].split(", as the module")[0].rstrip(".")
    first = first.replace(" as a module", "").replace("|", "\\|")
    module = function()
    rate = getattr(module, "sample_rate", None) or 16000
    shape = shape_of(module(torch.zeros(1, int(rate))))
    return f"| `{name}` | {first[0].upper()}{first[1:]} | {int(rate):,} | {shape} |"


def tables() -> tuple[str, str]:
    """The table of presets, and the list of classes."""
    head = "| preset | what it is | Hz | 1 s becomes |\n|---|---|---|---|\n"
    presets = head + "".join(f"{row(name)}\n" for name in NAMES)
    return presets, ", ".join(f"`{name}`" for name in sorted(EXTRACTORS)) + "\n"


def written(text: str) -> str:
    """The page with its tables made anew."""
    presets, classes = tables()
    found = _TABLES.subn(lambda m: "".join([m[1], presets, m[2], m[3], m[4], classes, m[5]]), text)
    assert found[1] == 1, "the page has lost its marks"
    return found[0]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
    sys.stdout.write(f"wrote {PAGE.name}\n")
