"""The text of a transform: read as calls with literals, and never evaluated."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import audiofeed as af
from audiofeed import presets
from audiofeed.report.transform_text import read_transform
from audiofeed.survey.settings import ScanError

MEL = {"sample_rate": 16_000, "n_fft": 512, "win_length": 400, "hop_length": 160}


def made(text, sample_rate=16_000):
    return read_transform(text).make(sample_rate)


@pytest.mark.parametrize(
    ("text", "transform"),
    [
        ("MelSpectrogram(sample_rate=16000, n_mels=80)", lambda: af.MelSpectrogram(sample_rate=16_000, n_mels=80)),
        ("melspectrogram(n_mels=80)", lambda: af.MelSpectrogram(sample_rate=16_000, n_mels=80)),
        ("af.STFT(400, hop_length=160)", lambda: af.STFT(400, hop_length=160, sample_rate=16_000)),
        (" CQT( n_bins = 24 , f_min = 110.0 ) ", lambda: af.CQT(sample_rate=16_000, n_bins=24, f_min=110.0)),
        ("whisper", presets.whisper),
        ("audiofeed.presets.whisper(n_mels=128)", lambda: presets.whisper(n_mels=128)),
        (
            "Chain(MelSpectrogram(), AmplitudeToDB())",
            lambda: af.Chain(af.MelSpectrogram(sample_rate=16_000), af.AmplitudeToDB()),
        ),
        ("mel", lambda: af.LogMelSpectrogram(**MEL, n_mels=80)),
        ("mel(n_mels=40, log='db')", lambda: af.LogMelSpectrogram(**MEL, n_mels=40, log="db")),
    ],
)
def test_a_text_makes_what_the_code_makes(text, transform):
    own, waveform = made(text), torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))
    expected = transform()
    assert str(own) == str(expected)
    torch.testing.assert_close(own(waveform), expected(waveform), rtol=0, atol=0)


def test_every_preset_has_a_text():
    for name in presets.__all__:
        if name != "from_extractor":
            assert read_transform(name).text == name


def test_the_rate_of_the_data_is_taken_where_none_is_given():
    assert made("MelSpectrogram(n_fft=512, n_mels=20)", 8000).sample_rate == 8000
    assert made("MelSpectrogram(sample_rate=16000)", 8000).sample_rate == 16_000
    assert made("STFT", 8000).sample_rate == 8000
    assert made("whisper", 8000).sample_rate == 16_000


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("wisper", ["'wisper'", "did you mean whisper?"]),
        ("Melspektrogram()", ["did you mean MelSpectrogram"]),
        ("open('x', 'w')", ["'open' is neither a transform nor a preset"]),
        ("__import__('pathlib').Path('x').touch()", ["is no transform of audiofeed"]),
        ("torch.nn.Identity()", ["torch.nn.Identity is no transform"]),
        ("from_extractor", ["'from_extractor'"]),
        ("MelSpectrogram(n_mels=(lambda: 3)())", ["is no transform of audiofeed"]),
        ("MelSpectrogram(n_mels=[n for n in [3]])", ["is no literal"]),
        ("MelSpectrogram(n_mels=20 + 20)", ["20 + 20 is no literal"]),
        ("MelSpectrogram(window=hann)", ["write text in quotes: 'hann'"]),
        ("MelSpectrogram(**{'n_mels': 3})", ["has **"]),
        ("Chain(*[1])", ["is no literal"]),
        ("mel(n_mls=40)", ["'n_mls'", "n_mels"]),
        ("MelSpectrogram(1)", ["MelSpectrogram", "positional"]),
        ("mel(", ["no call of a transform"]),
        ("", ["no call of a transform"]),
        ("3", ["no call of a transform"]),
        ("mel; whisper", ["no call of a transform"]),
        ("(" * 300 + "mel" + ")" * 300, ["no call of a transform"]),
        ("mel\0", ["no call of a transform"]),
    ],
)
def test_texts_that_are_refused(text, parts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ScanError) as told:
        read_transform(text)
    assert all(part in str(told.value) for part in parts), str(told.value)
    assert not list(Path().iterdir())  # nothing was evaluated


def test_settings_out_of_range_and_transforms_of_features():
    with pytest.raises(ScanError, match="--transform mel: n_mels=-3 must be"):
        made("mel(n_mels=-3)")
    with pytest.raises(ScanError, match=r"takes features.*Chain\(MelSpectrogram\(\), AmplitudeToDB\)"):
        made("AmplitudeToDB")
