"""The pages that a notebook shows: `_repr_html_` of batches, datasets, transforms and augmentations."""

from __future__ import annotations

import base64
import io
import os
import subprocess
import sys
import wave
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

import audiofeed as af
from audiofeed.data import AudioReadError
from audiofeed.drawing.module_page import settings_of
from audiofeed.feed import AudioBatch, GPUSpecCollate, PadCollate
from audiofeed.loading.fault_ledger import FaultLedger
from audiofeed.loading.stats import Stats

ROOT = Path(__file__).resolve().parents[2]
RATE = 8000
_EMPTY = {"img", "line", "polyline", "br"}


class Page(HTMLParser):
    """A page as a browser reads it: its text, its rows of cells, its pictures; its tags must close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.words: list[str] = []
        self.rows: list[list[str]] = []
        self.images: list[dict[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open, f"tags left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in _EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def table(self) -> dict[str, str]:
        return {row[0]: row[1] for row in self.rows}


def page_of(thing) -> Page:
    text = thing._repr_html_()
    assert isinstance(text, str)
    assert "<script" not in text
    assert "cannot be shown" not in text
    return Page(text)


# ---------------------------------------------------------------- transforms


def test_a_transform_says_its_settings_shapes_method_and_filters():
    transform = af.LogMelSpectrogram(sample_rate=16000, n_fft=400, hop_length=160, n_mels=80, trainable_mel=True)
    page = page_of(transform)
    assert "LogMelSpectrogram waveform (..., time) → (..., 80, frames)" in page.text.replace("  ", " ")
    assert "1 s at 16000 Hz (16000 samples) gives 101 frames, 10 ms apart" in page.text
    assert f"computed by {transform.runs_on(torch.zeros(1, 1600))} (float32 on cpu)" in page.text
    assert "trains mel (80 x 201)" in page.text
    chosen = [row for row in page.rows if len(row) == 3][: page.rows.index(["setting", "value", "default"], 1)]
    assert chosen == [
        ["setting", "value", "default"],
        ["sample_rate", "16000", "(must be given)"],
        ["n_fft", "400", "2048"],
        ["n_mels", "80", "128"],
        ["trainable_mel", "True", "False"],
    ]
    # settled from others or given: nobody can tell afterwards
    (line,) = [words for words in page.words if words.startswith("given, or settled")]
    assert "hop_length=160" in line
    assert "f_max=8000" in line
    every = page.rows[len(chosen) :]
    assert len(every) == 1 + len(settings_of(transform)) == 31
    assert ["mel_scale", "'slaney'", "'slaney'"] in every
    assert page.seen.count("svg") == 1
    assert "weight of |X|^2" in page.text
    assert "80 filters, one of 2 drawn" in page.text


SHAPES = {
    "waveform (..., time) → complex (..., 201, frames)": lambda: af.STFT(400),
    "waveform (..., time) → complex (..., 24, frames)": lambda: af.CQT(sample_rate=RATE, n_bins=24, power=None),
    "waveform (..., time) → (..., 2, 24, frames)": lambda: af.HarmonicCQT(
        sample_rate=RATE, harmonics=(1, 2), n_bins=24
    ),
    "waveform (..., time) → (..., 7, frames)": lambda: af.SpectralContrast(sample_rate=16000, n_bands=6),
    "features (batch, ..., bins, frames) → the same shape": lambda: af.Normalize(0.0, 1.0),
    "magnitude (..., 201, frames) → (..., time)": lambda: af.GriffinLim(400),
    "waveform (..., time) → (..., 80, frames)": lambda: af.presets.whisper(),
}


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.filterwarnings("ignore:.* filters .*:UserWarning")
def test_shapes_have_the_settings_in_them(shapes):
    assert shapes in page_of(SHAPES[shapes]()).text


def test_the_shapes_on_a_page_are_those_of_the_result():
    for transform in (af.MFCC(sample_rate=RATE, n_mfcc=13), af.Chroma(sample_rate=RATE), af.LFCC(sample_rate=RATE)):
        _, bins, frames = transform(torch.zeros(1, RATE)).shape
        text = page_of(transform).text
        assert f"→ (..., {bins}, frames)" in text
        assert f"gives {frames} frames" in text


def test_a_chain_and_a_stack_show_their_members():
    chain = af.presets.whisper()
    page = page_of(chain)
    assert "1: LogMelSpectrogram" in page.text
    assert ["n_mels", "80", "128"] in page.rows
    assert "gives 3000 frames" in page.text
    assert page.seen.count("svg") == 1
    stack = af.Stack(mel=af.MFCC(sample_rate=RATE), raw=af.STFT(512, sample_rate=RATE))
    page = page_of(stack)
    assert "gives 16 of mel, 63 of raw frames" in page.text
    assert "mel: MFCC waveform (..., time) → (..., 20, frames)" in page.text


def test_an_augmentation_shows_its_settings_and_members():
    augment = af.augment.Compose([af.augment.Gain((-6.0, 6.0), p=0.5), af.augment.OneOf([af.augment.Polarity()])])
    page = page_of(augment)
    assert "members.0: Gain" in page.text
    assert ["gain_db", "(-6.0, 6.0)", "(-18.0, 6.0)"] in page.rows
    assert ["p", "0.5", "1"] in page.rows
    assert "Polarity" in page.text


def public_modules():
    settings = {"sample_rate": 16000}
    for name in af.__all__:
        cls = getattr(af, name)
        if not (isinstance(cls, type) and issubclass(cls, torch.nn.Module)):
            continue
        for given in ({}, settings, {**settings, "n_fft": 512}, {"n_fft": 512}):
            try:
                yield name, cls(**given)
                break
            except (TypeError, ValueError, NotImplementedError):
                continue


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_transform_has_a_page_and_is_not_changed_by_it():
    names = []
    state = torch.get_rng_state()
    for name, transform in public_modules():
        before = {key: value.clone() for key, value in transform.state_dict().items()}
        page = page_of(transform)
        assert page.words[0] == name
        assert all(torch.equal(value, before[key]) for key, value in transform.state_dict().items())
        names.append(name)
    assert torch.equal(torch.get_rng_state(), state)
    assert len(names) > 45


def test_every_preset_has_a_page():
    for name in ("whisper", "kaldi_fbank", "parakeet", "ast", "encodec", "wav2vec2", "hifigan"):
        page = page_of(getattr(af.presets, name)())
        assert page.seen


def test_what_is_broken_still_shows_its_name():
    class Broken(af.Transform):
        method = "none"

        def __init__(self, *, level: float = 1.0) -> None:
            super().__init__(16000)
            self.level = level

        def frame_lengths(self, lengths):
            raise RuntimeError("<no> frames")

    text = Broken()._repr_html_()
    assert Page(text).text == "Broken  cannot be shown: RuntimeError: <no> frames"
    chain = af.Chain(Broken(), torch.nn.Identity())
    assert "Chain" in Page(chain._repr_html_()).text

    class Worse(af.FeatureTransform):
        def __init__(self) -> None:
            super().__init__()

        @property
        def sample_rate(self):
            class SilentError(Exception):
                def __str__(self):
                    raise RuntimeError

            raise SilentError

    assert Page(Worse()._repr_html_()).text == "Worse  cannot be shown: SilentError"


def test_settings_are_escaped():
    class Named(af.FeatureTransform):
        def __init__(self, label: str = "") -> None:
            super().__init__()
            self.label = label

    text = Named("<img src=x onerror=alert(1)>")._repr_html_()
    assert "<img" not in text
    assert ["label", "'<img src=x onerror=alert(1)>'", "''"] in Page(text).rows


def test_long_values_are_shortened():
    class Long(af.FeatureTransform):
        def __init__(self, text: str = "", weights: list[float] | None = None) -> None:
            super().__init__()
            self.text, self.weights = text, weights

    page = page_of(Long("x" * 10_000, [0.5] * 1000))
    assert len(page.table()["text"]) <= 120
    assert "weights=<1000 values>" in page.text


@pytest.mark.parametrize("value", [torch.ones(3), np.ones(3), np.nan, [], None])
def test_settings_of_any_kind(value):
    class Any_(af.FeatureTransform):  # noqa: N801
        def __init__(self, value: object = 0) -> None:
            super().__init__()
            self.value = value

    assert page_of(Any_(value)).rows or value is None


# ---------------------------------------------------------------- batches


@pytest.fixture
def clips():
    generator = torch.Generator().manual_seed(0)
    return [
        {
            "waveform": torch.randn(n, generator=generator),
            "target": i % 2,
            "path": f"<b>{i}</b>.wav",
            "sample_rate": RATE,
        }
        for i, n in enumerate((8000, 4000, 2000))
    ]


@pytest.fixture
def mel():
    return af.LogMelSpectrogram(sample_rate=RATE, n_fft=256, hop_length=80, n_mels=40)


def test_a_batch_shows_its_fields_and_computes_nothing(clips, mel):
    batch = GPUSpecCollate(mel, device="cpu")(clips)
    page = page_of(batch)
    assert page.words[:2] == ["AudioBatch", " 3 clips at 8000 Hz"]
    assert "1.75 s of audio, clips of 0.25 to 1 s, 41.7 % padding" in page.text
    assert "targets (clips): 0 (2), 1 (1)" in page.text
    assert page.table()["features"] == "computed at the first read, by LogMelSpectrogram"
    assert page.table()["waveforms"] == "float32 (3, 8000) on cpu"
    assert not page.images
    assert batch.describe("features") == "computed at the first read, by LogMelSpectrogram"
    batch.features  # noqa: B018
    page = page_of(batch)
    assert page.table()["features"] == "float32 (3, 40, 101) on cpu"
    assert "41.7 % padding" in page.text
    assert len(page.images) == 1


def test_the_small_picture_has_the_features_and_their_padding(clips, mel):
    image = pytest.importorskip("PIL.Image", reason="Pillow reads the picture, which comes with matplotlib")
    batch = GPUSpecCollate(mel, device="cpu")(clips)
    low, high = float("inf"), -float("inf")
    for i, n in enumerate(batch.feature_lengths.tolist()):
        low, high = min(low, float(batch.features[i, :, :n].min())), max(high, float(batch.features[i, :, :n].max()))
    (found,) = page_of(batch).images
    assert found["alt"] == "features of the first 3 clips"
    picture = image.open(io.BytesIO(base64.b64decode(found["src"].removeprefix("data:image/png;base64,"))))
    levels = np.asarray(picture)
    assert levels.shape == (40, 3 * 101 + 2 * 2)
    want = np.round((batch.features[1].numpy() - low) / (high - low) * 253)[::-1]
    second = levels[:, 103:204]
    np.testing.assert_allclose(second[:, :51], want[:, :51], atol=1)
    assert set(second[:, 51:].ravel().tolist()) == {254}
    assert set(levels[:, 101:103].ravel().tolist()) == {255}
    alpha = np.asarray(picture.convert("RGBA"))[..., 3]
    assert alpha[:, :101].min() == 255
    assert alpha[:, 101:103].max() == 0


def test_large_features_make_a_small_page():
    batch = AudioBatch({"features": torch.rand(1, 512, 3000).expand(64, -1, -1)})
    assert len(batch._repr_html_()) < 60_000


BATCHES = {
    "complex": {"features": torch.rand(2, 3, 4).to(torch.complex64)},
    "bfloat16": {"features": torch.rand(2, 3, 4).bfloat16()},
    "one clip": {"features": torch.rand(1, 3, 4)},
    "zero frames": {"features": torch.rand(2, 3, 0)},
    "no clips": {"features": torch.rand(0, 3, 4)},
    "not finite": {"features": torch.full((2, 3, 4), torch.nan)},
    "channels": {"features": torch.rand(2, 2, 3, 4)},
    "pooled": {"features": torch.rand(2, 3)},
    "several": {"features": {"a": torch.rand(2, 3, 4), "b": torch.rand(2, 5, 9)}},
    "meta": {"features": torch.rand(2, 3, 4, device="meta")},
    "named": {"waveforms": torch.rand(2, 8), "targets": ["<i>", "b"], "names": ["<i>.wav", None]},
    "no clip's samples": {"waveforms": torch.rand(0, 8), "lengths": torch.zeros(0, dtype=torch.int64)},
    "in other words": {"input_values": torch.rand(2, 8), "labels": torch.tensor([1, 2])},
}


@pytest.mark.parametrize("name", BATCHES)
def test_any_batch_has_a_page(name):
    page = page_of(AudioBatch(BATCHES[name]))
    assert page.words[0] == "AudioBatch"
    drawn = name in ("complex", "bfloat16", "one clip", "channels", "several")
    assert bool(page.images) == drawn


def test_labels_are_data_and_not_html(clips):
    text = AudioBatch(BATCHES["named"])._repr_html_()
    assert "<i>" not in text
    assert "&lt;i&gt;" in text


def test_a_batch_that_is_augmented_later_says_no_lengths_that_will_change(clips, mel):
    collate = GPUSpecCollate(mel, device="cpu", augment=af.augment.Speed((0.5, 0.5)))
    batch = collate(clips)
    assert "s of audio" not in page_of(batch).text
    batch.features  # noqa: B018
    assert "3.5 s of audio" in page_of(batch).text


def test_a_batch_without_features_or_with_replaced_ones(clips):
    batch = PadCollate()(clips)
    assert page_of(batch).table()["features"] == "None"
    batch["features"] = torch.rand(3, 4, 5)
    assert len(page_of(batch).images) == 1
    del batch["waveforms"]
    page_of(batch)


# ---------------------------------------------------------------- datasets


@pytest.fixture
def folder(tmp_path):
    for number, label in enumerate(("<b>cat<b>", "dog")):
        (tmp_path / label).mkdir()
        for take in range(number + 1):
            with wave.open(str(tmp_path / label / f"{take}.wav"), "wb") as file:
                file.setparams((1, 2, RATE, 0, "NONE", None))
                file.writeframes(bytes(2 * RATE * (take + 1)))
    return tmp_path


def test_a_folder_shows_what_is_known_of_it(folder):
    dataset = af.AudioFolder(folder, crop=af.RandomCrop(seconds=0.5))
    text = dataset._repr_html_()
    assert "<b>cat" not in text
    page = page_of(dataset)
    assert page.words[:2] == ["AudioFolder", " 3 examples from 3 files, 1.5 s, 8000 Hz"]
    assert page.rows[:3] == [
        ["class", "number", "examples", "hours"],
        ["dog", "1", "2", "0.000278"],
        ["<b>cat<b>", "0", "1", "0.000139"],
    ]
    settings = page.table()
    assert settings["root"] == str(folder)
    assert settings["crop"] == repr(dataset.crop)
    assert settings["mono"] == "True"
    assert settings["seed"] == "0"
    assert [str(folder / "dog" / "0.wav"), "0.5", "dog"] in page.rows
    part = dataset.select([2])
    assert page_of(part).words[1] == " 1 example from 1 file, 0.5 s, 8000 Hz"


def test_a_folder_is_shown_without_reading_a_file(folder, monkeypatch):
    dataset = af.AudioFolder(folder)
    for path in folder.rglob("*.wav"):
        path.unlink()
    for name in ("stat", "open", "scandir", "listdir"):
        monkeypatch.setattr(os, name, None)
    page_of(dataset)


def test_many_classes_are_cut(tmp_path):
    for i in range(25):
        (tmp_path / f"class-{i:02}").mkdir()
        with wave.open(str(tmp_path / f"class-{i:02}" / "0.wav"), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", None))
            file.writeframes(bytes(2000))
    page = page_of(af.AudioFolder(tmp_path))
    assert "and 5 more classes" in page.text
    assert "class-19" in page.text
    assert "class-20" not in page.text


def test_faults_and_manifests(folder, tmp_path):
    bad = folder / "dog" / "bad.wav"
    bad.write_bytes(b"RIFF<i>")
    with pytest.warns(UserWarning, match="leaves out 1 of 4 files"):
        page = page_of(af.AudioFolder(folder, on_error="skip"))
    assert "1 fault, in .faults; the first:" in page.text
    manifest = af.AudioManifest(
        [{"path": str(folder / "dog" / "1.wav"), "start": 0.5, "duration": 0.25, "who": "ann"}], target_column=None
    )
    page = page_of(manifest)
    assert page.words[0] == "AudioManifest"
    assert page.table()["fields"] == "who"


# ---------------------------------------------------------------- what a loader tells


def test_statistics_are_shown_as_their_table():
    stats = Stats({"wait": 3.0, "step": 1.0, "decode": 5.8}, batches=10, clips=640, choice="<chosen>")
    text = stats._repr_html_()
    assert "<chosen>" not in text
    assert Page(text).text == str(stats)


def test_a_ledger_is_shown_as_a_table():
    ledger = FaultLedger()
    ledger.add([AudioReadError.of("<b>.wav", "too short", 7)] * 2, clips=4)
    assert repr(ledger) == "FaultLedger(1 fault, 2 failures)"
    page = page_of(ledger)
    assert page.words[:2] == ["FaultLedger", " 1 fault, 2 failures"]
    assert page.rows == [["times", "path", "offset", "cause"], ["2", "<b>.wav", "7", "too short"]]


def test_reprs_say_one_line(folder):
    dataset = af.AudioFolder(folder)
    assert repr(dataset) == "AudioFolder(3 examples, 0.00 h, 8000 Hz, 2 classes)"
    assert repr(dataset.select([0])) == "AudioFolder(1 example, 0.00 h, 8000 Hz, 2 classes)"
    assert repr(dataset.fields) == "Fields(3 examples: no fields)"
    rows = [{"path": str(folder / "dog" / "0.wav"), "who": "ann", "take": 0}]
    assert repr(af.AudioManifest(rows, target_column=None).fields) == "Fields(1 example: who, take)"
    responses = af.MelSpectrogram(sample_rate=16000, n_fft=400, n_mels=40).filter_responses()
    assert repr(responses) == "FilterResponses(40 filters at 201 frequencies, 0 to 8000 Hz, 'weight of |X|^2')"


# ---------------------------------------------------------------- nothing is imported unasked


def test_plot_is_imported_when_it_is_asked_for_and_matplotlib_when_it_draws(folder):
    code = f"""
import sys
import torch, audiofeed as af
drawing = [name for name in sys.modules if name.startswith(("audiofeed.plot", "audiofeed.drawing"))]
assert drawing == ["audiofeed.drawing", "audiofeed.drawing.reprs"], drawing
assert "plot" in af.__all__ and callable(af.plot.filters) and callable(af.plot.compare)
from audiofeed.plot import plot_batch
mel = af.MelSpectrogram(sample_rate=16000)
sys.modules["matplotlib"] = None  # as if it was not installed
batch = af.AudioBatch({{"features": torch.rand(2, 3, 4)}})
for thing in (af.AudioFolder({str(folder)!r}), mel, af.augment.SpecAugment(), batch):
    assert "cannot be shown" not in thing._repr_html_()
del sys.modules["matplotlib"]
af.plot.filters(mel)
assert "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules
try:
    af.plots
except AttributeError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "module 'audiofeed' has no attribute 'plots'"
