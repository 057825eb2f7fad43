"""A training script that had torchaudio, moved with at most ten changed lines, sees the same features."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys

import pytest
import torch

from tests.docs.moved_script import AFTER, BEFORE, PAGE, changed, written
from tests.docs.sounds import write_clip


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    root = tmp_path_factory.mktemp("moved") / "recordings"
    for take in range(24):  # two pitches that a classifier can tell apart
        write_clip(root / "low" / f"{take}.wav", 0.35 + 0.02 * take, seed=7 * take)
        write_clip(root / "high" / f"{take}.wav", 0.35 + 0.02 * take, seed=7 * take + 5)
    return root


def accuracy(script, recordings) -> float:
    done = subprocess.run([sys.executable, script, recordings], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return float(re.findall(r"accuracy ([\d.]+)", done.stdout)[0])


def test_at_most_ten_lines_change_and_the_page_shows_them():
    assert 0 < len(changed()) <= 10
    assert not any("def " in line or "for " in line for line in changed()), "the dataset, the model and the loop stay"
    text = PAGE.read_text()
    assert text == written(text), "run `python -m tests.docs.moved_script`"
    assert all(line.rstrip() in text for line in changed())


@pytest.mark.slow
def test_the_script_with_audiofeed_learns(recordings):
    assert accuracy(AFTER, recordings) > 0.9


@pytest.mark.slow
@pytest.mark.torchaudio
def test_the_script_with_torchaudio_learns_the_same_of_the_same_features(recordings):
    assert accuracy(BEFORE, recordings) > 0.9
    seen = []
    for script in (BEFORE, AFTER):
        names = runpy.run_path(str(script), run_name="script")
        sounds = names["Sounds"](str(recordings))
        names["make_loader"].__globals__["DataLoader"] = in_this_process
        seen.append(list(names["make_loader"](sounds, shuffle=False)))
    assert len(seen[0]) == len(seen[1]) == 3
    for (before, classes), (after, targets) in zip(*seen, strict=True):
        assert before.shape == after.shape == (16, 64, 51)
        assert torch.equal(classes, targets.cpu())
        # in decibels; the quietest bands lie 80 below the peak, where torchaudio's own float32 error is as large
        assert (before - after.cpu()).abs().max() < 5e-3


def in_this_process(dataset, **settings):
    return torch.utils.data.DataLoader(dataset, **{**settings, "num_workers": 0})
