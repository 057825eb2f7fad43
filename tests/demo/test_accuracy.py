"""What `make demo` promises, and what spoken digits get without further flags; times: benchmarks/demo_runs.py."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

FSDD = Path(os.environ.get("AUDIOFEED_FSDD", Path(__file__).parents[2].parent / "shared" / "data" / "fsdd"))


@pytest.mark.slow
def test_the_default_demo_learns_its_sounds(run_command, tmp_path):
    code, text, errors = run_command("demo", cwd=tmp_path)
    assert (code, errors) == (0, "")
    metrics = json.loads((tmp_path / "demo-out" / "metrics.json").read_text())
    assert metrics["accuracy"] > 0.9
    assert "writing 576 sounds" in text
    # the second run finds the files of the first
    code, text, errors = run_command("demo", "--epochs", 1, cwd=tmp_path)
    assert (code, errors) == (0, "")
    assert "using the 576 sounds" in text


@pytest.mark.slow
@pytest.mark.skipif(
    not (FSDD / "recordings").is_dir(), reason=f"no {FSDD}/recordings; set AUDIOFEED_FSDD to the dataset's folder"
)
def test_spoken_digits(run_command, tmp_path):
    code, _, errors = run_command(
        "demo", "--data", FSDD / "recordings", "--target-pattern", "{target}_{speaker}_{take}", "--test", "take=0-4",
        "--out", tmp_path,
    )  # fmt: skip
    assert (code, errors) == (0, "")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["test_clips"] == 300
    assert metrics["training_clips"] == 2700
    assert metrics["settings"]["sample_rate"] == 8000
    assert metrics["accuracy"] >= 0.97
