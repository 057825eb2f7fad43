"""The page on coming from another library names everything there is, theirs and ours, and names nothing that is not."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
from pathlib import Path

import librosa
import pytest

import audiofeed as af
from audiofeed import transforms

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "migration.md").read_text()


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}")[1].split("\n## ")[0]


def column(text: str, number: int) -> str:
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return "\n".join(row[number] for row in rows if len(row) > number)


def test_every_name_in_our_column_is_ours():
    ours = column(PAGE, 1)
    named = set(re.findall(r"`([A-Z][A-Za-z]+)", ours))
    assert len(named) > 30
    assert named <= set(af.__all__)


def test_every_transform_that_another_library_has_is_on_the_page():
    """A class whose documentation compares it with another library's; one that nobody else has need not be."""
    public = [getattr(transforms, name) for name in transforms.__all__]
    compared = [cls for cls in public if re.search(r"librosa\.|torchaudio\.|nnAudio", cls.__doc__ or "")]
    assert len(compared) > 40
    assert {cls.__name__ for cls in compared if f"`{cls.__name__}" not in PAGE} == set()


@pytest.mark.torchaudio
def test_every_class_of_nnaudio_is_on_the_page():
    with contextlib.redirect_stdout(io.StringIO()):
        from nnAudio2 import features
    classes = {name for name, member in vars(features).items() if inspect.isclass(member)} - {"STFTBase"}
    theirs = column(section("nnAudio"), 0)
    assert {name for name in classes if not re.search(rf"`{name}\b", theirs)} == set()


@pytest.mark.torchaudio
def test_every_feature_of_torchaudio_is_on_the_page():
    import torchaudio.transforms as ta

    features = {
        "AmplitudeToDB", "ComputeDeltas", "GriffinLim", "InverseMelScale", "InverseSpectrogram", "LFCC", "MFCC",
        "MelScale", "MelSpectrogram", "SlidingWindowCmn", "SpectralCentroid", "Spectrogram", "TimeStretch",
    }  # fmt: skip
    assert features <= set(ta.__all__)
    theirs = column(section("torchaudio"), 0)
    assert {name for name in features if f"`{name}`" not in theirs} == set()


def test_every_feature_of_librosa_is_on_the_page():
    theirs = column(section("librosa"), 0)
    names = {name for name in dir(librosa.feature) if not name.startswith("_")} - {"inverse"}
    assert {name for name in names if not re.search(rf"\b{name}\b", theirs)} == set()
