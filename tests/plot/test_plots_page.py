"""docs/plots.md names every argument."""

from __future__ import annotations

import inspect
import re

import pytest

import audiofeed as af
from audiofeed.feed import AudioBatch
from tests.pages import ROOT


def test_the_page_names_every_argument_of_a_batchs_plot():
    page = (ROOT / "docs" / "plots.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)
    assert listed == [name for name in inspect.signature(AudioBatch.plot).parameters if name not in ("self", "batch")]


@pytest.mark.parametrize("function", [AudioBatch.plot, af.plot.filters, af.plot.compare, af.plot.plot_batch])
def test_every_argument_has_an_entry(function):
    entries = re.findall(r"^    (\w+): ", inspect.getdoc(function), flags=re.MULTILINE)
    parameters = [name for name in inspect.signature(function).parameters if name not in ("self",)]
    own = [name for name in parameters if name != "batch" or function is af.plot.plot_batch]
    assert sorted(entry for entry in entries if entry in own) == sorted(own)
