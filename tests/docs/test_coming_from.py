"""The pages on coming from other libraries name everything there is, theirs and ours, and nothing that is not."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import io
import re

import librosa
import pytest

import audiofeed as af
from audiofeed import transforms
from tests.pages import ROOT

PAGES = {path.stem: path.read_text() for path in (ROOT / "docs" / "coming_from").glob("*.md")}
PAGE = "\n".join(PAGES.values())


def names_of(page: str) -> str:
    """The part of a page that holds its tables of names."""
    return PAGES[page].split("\n## Names\n")[1]


def column(text: str, number: int) -> str:
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return "\n".join(row[number] for row in rows if len(row) > number)


def test_every_name_in_our_column_is_ours():
    ours = "\n".join(column(names_of(page), 1) for page in PAGES if page != "index")
    named = set(re.findall(r"`([A-Z][A-Za-z]+)", ours))
    assert len(named) > 30
    assert named <= {*af.__all__, *af.augment.__all__}


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
    theirs = column(names_of("nnaudio"), 0)
    assert {name for name in classes if not re.search(rf"`{name}\b", theirs)} == set()


@pytest.mark.torchaudio
def test_every_feature_of_torchaudio_is_on_the_page():
    import torchaudio.transforms as ta

    features = {
        "AmplitudeToDB", "ComputeDeltas", "GriffinLim", "InverseMelScale", "InverseSpectrogram", "LFCC", "MFCC",
        "MelScale", "MelSpectrogram", "SlidingWindowCmn", "SpectralCentroid", "Spectrogram", "TimeStretch",
    }  # fmt: skip
    assert features <= set(ta.__all__)
    theirs = column(names_of("torchaudio"), 0)
    assert {name for name in features if f"`{name}`" not in theirs} == set()


def test_every_augmentation_of_torch_audiomentations_is_on_the_page():
    classes = {  # of 0.12
        "AddBackgroundNoise", "AddColoredNoise", "ApplyImpulseResponse", "BandPassFilter", "BandStopFilter", "Compose",
        "Gain", "HighPassFilter", "Identity", "LowPassFilter", "Mix", "OneOf", "PeakNormalization", "PitchShift",
        "PolarityInversion", "Shift", "ShuffleChannels", "SomeOf", "SpliceOut", "TimeInversion",
    }  # fmt: skip
    theirs = column(names_of("torch_audiomentations"), 0)
    assert {name for name in classes if f"`{name}`" not in theirs} == set()


def test_every_feature_of_librosa_is_on_the_page():
    theirs = column(names_of("librosa"), 0)
    names = {name for name in dir(librosa.feature) if not name.startswith("_")} - {"inverse"}
    assert {name for name in names if not re.search(rf"\b{name}\b", theirs)} == set()


@pytest.mark.parametrize("page", [page for page in PAGES if page != "index"])
def test_a_page_begins_with_what_it_is_for_and_has_messages_with_a_remedy_each(page):
    title, sentence = PAGES[page].split("\n\n")[:2]
    assert title.startswith("# ")
    assert sentence.startswith("For ")
    messages = PAGES[page].split("\n## Messages\n")[1].split("\n## ")[0]
    rows = [line for line in messages.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 3
    assert all(len(row.split(" | ")) == 3 for row in rows), "message, where it comes from, what to do here"


@pytest.mark.torchaudio
def test_what_torchaudio_is_said_to_lack_it_lacks():
    import torchaudio

    if tuple(int(part) for part in torchaudio.__version__.split(".")[:2]) < (2, 9):
        pytest.skip("of torchaudio 2.9 and newer")
    for name in re.findall(r"module 'torchaudio' has no attribute '(\w+)'", PAGES["torchaudio"]):
        assert not hasattr(torchaudio, name)
    for name in re.findall(r"No module named 'torchaudio\.(\w+)'", PAGES["torchaudio"]):
        assert importlib.util.find_spec(f"torchaudio.{name}") is None
    if importlib.util.find_spec("torchcodec") is None:
        (said,) = re.findall(r"`ImportError: (TorchCodec [^`]+)`", PAGES["torchaudio"])
        with pytest.raises(ImportError, match=re.escape(said)):
            torchaudio.load("no.wav")
