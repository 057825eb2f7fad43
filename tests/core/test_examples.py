"""The examples run, and do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples"
# name -> arguments
EXAMPLES = {
    "own_dataset.py": [],
    "ctc.py": [],
    "whisper_trainer.py": ["--cpu"],
    "whisper_encoder.py": ["--cpu"],
    "spectrogram_transformer.py": ["--cpu"],
    "transcription.py": [],
    "tagging.py": [],
    "augmented_tagging.py": [],
    "augmentation_gallery.py": [],
    "plots.py": [],
    "separation.py": [],
    "vocoder.py": [],
    "from_nnaudio.py": [],
    "trainable_bases.py": ["--epochs", "2", "--step", "40"],
}
# of augmentation and known models: each is promised to run in under a minute
SHORT = {"whisper_encoder.py", "spectrogram_transformer.py", "augmented_tagging.py"}


def test_every_example_is_run_here():
    # tests/frameworks/test_ray.py, on several workers; tests/docs/test_moved_script.py, side by side
    elsewhere = {"ray_train.py", "from_torchaudio.py", "from_torchaudio_before.py"}
    assert {path.name for path in FOLDER.glob("*.py")} == {*EXAMPLES, *elsewhere}


def run(name: str, folder: Path) -> str:
    # one thread each: those of models this small wait for a busy core ten times as long as they compute
    done = subprocess.run(
        [sys.executable, FOLDER / name, *EXAMPLES[name]],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=60 if name in SHORT else 300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# the largest relative difference of features from those that a moved script had
NO_PEER = None
SCRIPTS = [
    ("own_dataset.py", NO_PEER),
    ("ctc.py", NO_PEER),
    ("tagging.py", NO_PEER),
    ("augmented_tagging.py", NO_PEER),
    pytest.param("from_nnaudio.py", 1e-6, marks=pytest.mark.torchaudio),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "limit"), SCRIPTS)
def test_an_example_learns_and_keeps_the_features_it_had(name, limit, tmp_path):
    printed = run(name, tmp_path)
    accuracies = [float(found) for found in re.findall(r"accuracy ([\d.]+)", printed)]
    assert accuracies
    assert accuracies[-1] > 0.9
    if limit is not NO_PEER:
        (difference,) = re.findall(r"difference:? ([\d.e-]+)", printed)
        assert float(difference) <= limit


@pytest.mark.slow
def test_whisper_learns_from_the_features_that_transformers_has(tmp_path):
    pytest.importorskip("accelerate", reason="Trainer needs accelerate: pip install -e '.[dev]'")
    pytest.importorskip("transformers", reason="not installed: pip install -e '.[dev]'")
    printed = run("whisper_trainer.py", tmp_path)
    (difference,) = re.findall(r"difference from transformers' features ([\d.e-]+)", printed)
    assert float(difference) <= 1e-5
    before, after = (float(found) for found in re.findall(r"evaluation loss ([\d.]+)", printed))
    assert after < before / 2


@pytest.mark.slow
@pytest.mark.parametrize(("name", "limit"), [("whisper_encoder.py", 2e-5), ("spectrogram_transformer.py", 5e-5)])
def test_a_known_model_learns_from_the_features_of_its_preset(name, limit, tmp_path):
    pytest.importorskip("transformers", reason="not installed: pip install -e '.[dev]'")
    printed = run(name, tmp_path)
    (difference,) = re.findall(r"difference from transformers' features ([\d.e-]+)", printed)
    assert float(difference) <= limit
    assert float(re.findall(r"accuracy ([\d.]+)", printed)[-1]) > 0.9


def test_the_gallery_of_augmentation_is_drawn_and_sounds(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    run("augmentation_gallery.py", tmp_path)
    assert (tmp_path / "gallery" / "augmentation.png").read_bytes()[:4] == b"\x89PNG"
    sounds = {path.stem: soundfile.read(path)[0] for path in (tmp_path / "gallery").glob("*.wav")}
    itself = sounds.pop("the_clip_itself")
    assert len(sounds) >= 15
    for name, sound in sounds.items():
        assert len(sound) == (25_600 if name.startswith("Speed") else 32_000)
        assert abs(sound).max() > 0.01
        assert len(sound) != len(itself) or (sound != itself).any()


def test_the_plots_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    printed = run("plots.py", tmp_path).split()
    pictures = [path for path in (tmp_path / "plots").glob("*.png") if path.read_bytes()[:4] == b"\x89PNG"]
    assert len(pictures) == 8
    assert len(printed) == 9
    page = (tmp_path / "plots" / "pages.html").read_text(encoding="utf-8")
    assert "cannot be shown" not in page
    assert page.count("<svg") == 1
    assert page.count("<img") == 1


@pytest.mark.slow
def test_a_vocoder_learns_by_gradients_through_its_mel_loss(tmp_path):
    before, after = (float(found) for found in re.findall(r"([\d.]+) (?:before|after)", run("vocoder.py", tmp_path)))
    assert after < before / 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "measure", "limit"),
    [("transcription.py", r"F-measure of notes in frames ([\d.]+)", 0.9), ("separation.py", r"gain ([\d.]+) dB", 5.0)],
)
def test_what_follows_the_crop_is_learned(name, measure, limit, tmp_path):
    """With labels or a source that lie beside their sound neither would be."""
    (found,) = re.findall(measure, run(name, tmp_path))
    assert float(found) > limit


@pytest.mark.slow
def test_the_experiment_of_trained_bases_prints_its_table(tmp_path):
    header, *rows = run("trainable_bases.py", tmp_path).splitlines()
    assert header.split() == ["spectrogram", "model", "fixed", "trained", "ratio", "published", "seconds"]
    assert [row.split()[:2] for row in rows] == [
        [name, model] for name in ("STFT", "mel", "CQT") for model in ("Linear", "CNN")
    ]
    assert all(float(value) > 0 for row in rows for value in row.split()[2:5])
