"""docs/plots.md: its code runs, and it names every argument."""

from __future__ import annotations

import inspect
import re
import wave

import numpy as np
import pytest

import audiofeed as af
from audiofeed.feed import AudioBatch
from tests.pages import ROOT, named_examples, run_page


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    for label in ("a", "b"):
        (tmp_path / "recordings" / label).mkdir(parents=True)
        for take in range(2):
            with wave.open(str(tmp_path / "recordings" / label / f"{take}.wav"), "wb") as file:
                file.setparams((1, 2, 16_000, 0, "NONE", None))
                file.writeframes((3000 * random.standard_normal(4000 * (take + 1))).astype("<i2").tobytes())
    monkeypatch.chdir(tmp_path)


@pytest.mark.filterwarnings("ignore:'pin_memory':UserWarning")
def test_the_code_of_the_page_runs(recordings, capsys):
    names = run_page("plots.md", blocks=4)
    assert len(names["batch"]) == 4
    assert capsys.readouterr().out == "b - a\nlargest 0, relative L2 0\n"
    assert all(path.exists() for path in named_examples("plots.md"))


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
