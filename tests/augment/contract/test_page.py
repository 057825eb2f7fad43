"""What the page on augmentation shows works as shown, and names every augmentation."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

import audiofeed as af
from tests.pages import named_examples, run_page


def test_the_python_of_the_page_runs(tmp_path, monkeypatch, capsys):
    (tmp_path / "recordings").mkdir()
    for seed, name in enumerate("abc"):
        noise = np.random.default_rng(seed).normal(0, 3000, 8000).astype("<i2")
        with wave.open(str(tmp_path / "recordings" / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(noise.tobytes())
    monkeypatch.chdir(tmp_path)
    names = run_page("augmentation.md", blocks=5)
    assert names["backwards"].tolist() == [[3, 2, 1], [4, 5, 0]]
    assert "torch.Size([3, 40," in capsys.readouterr().out


def test_the_page_names_every_augmentation_and_examples_that_exist():
    page = (Path(__file__).resolve().parents[3] / "docs" / "augmentation.md").read_text()
    assert [name for name in af.augment.__all__ if f"`{name}" not in page and f"augment.{name}" not in page] == []
    assert all(path.exists() for path in named_examples("augmentation.md"))
