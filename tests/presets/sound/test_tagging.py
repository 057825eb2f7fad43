"""Front-ends of taggers of sounds and music against their formulas, torchaudio's Kaldi features and transforms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import audiofeed as af
from tests.presets import comparison
from tests.presets.comparison import Case
from tests.transforms.frontends import public_code


def panns_at(rate: int):
    """`Spectrogram` and `LogmelFilterBank` of torchlibrosa with the settings of the models of a rate."""
    n_fft, top = {16000: (512, 8000), 8000: (256, 4000)}[rate]

    def features(x: np.ndarray) -> np.ndarray:
        power = public_code.centered(x, n_fft, rate // 100)
        filters = public_code.triangles(rate, n_fft, 64, 50, top, "slaney", area=True)
        return 10 * np.log10(np.maximum(filters @ power, 1e-10))

    return features


def beats_of_torchaudio(x: np.ndarray) -> np.ndarray:
    kaldi = pytest.importorskip("torchaudio").compliance.kaldi
    waveform = torch.from_numpy(x)[None] * 2**15
    banks = kaldi.fbank(waveform, num_mel_bins=128, sample_frequency=16000, frame_length=25, frame_shift=10)
    return ((banks - 15.41663) / (2 * 6.55582)).T.numpy()


def music_tagging_of_torchaudio(x: np.ndarray) -> np.ndarray:
    transforms = pytest.importorskip("torchaudio").transforms
    mel = transforms.MelSpectrogram(sample_rate=16000, n_fft=512, f_min=0.0, f_max=8000.0, n_mels=96)
    return transforms.AmplitudeToDB()(mel(torch.from_numpy(x))).numpy()


def musicnn_of_librosa(x: np.ndarray) -> np.ndarray:
    librosa = pytest.importorskip("librosa")
    mel = librosa.feature.melspectrogram(y=x, sr=16000, hop_length=256, n_fft=512, n_mels=96)
    return np.log10(10000 * mel + 1)


CASES = [
    Case(
        name="panns-32000",
        preset=af.presets.panns,
        definition=public_code.panns,
        count=lambda n: 1 + n // 320,
        rate=32000,
    ),
    *[
        Case(
            name=f"panns-{rate}",
            preset=lambda rate=rate: af.presets.panns(sample_rate=rate),
            definition=panns_at(rate),
            count=lambda n, rate=rate: 1 + n // (rate // 100),
            rate=rate,
        )
        for rate in (16000, 8000)
    ],
    Case(
        name="passt",
        preset=af.presets.passt,
        definition=public_code.efficientat,
        count=lambda n: 1 + max(1, n - 1) // 320,
        rate=32000,
    ),
    Case(
        name="efficientat",
        preset=af.presets.efficientat,
        definition=public_code.efficientat,
        count=lambda n: 1 + max(1, n - 1) // 320,
        rate=32000,
    ),
    Case(
        name="beats",
        preset=af.presets.beats,
        definition=public_code.beats,
        reference=beats_of_torchaudio,
        count=lambda n: max(1, 1 + (n - 400) // 160),
    ),
    Case(
        name="music_tagging",
        preset=af.presets.music_tagging,
        definition=public_code.fcn,
        reference=music_tagging_of_torchaudio,
        count=lambda n: 1 + n // 256,
    ),
    Case(
        name="musicnn",
        preset=af.presets.musicnn,
        definition=public_code.musicnn,
        reference=musicnn_of_librosa,
        count=lambda n: 1 + n // 256,
    ),
    Case(
        name="onsets_and_frames",
        preset=af.presets.onsets_and_frames,
        definition=public_code.onsets_and_frames,
        count=lambda n: 1 + max(1, n - 1) // 512,
    ),
]


@pytest.mark.parametrize("check", comparison.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_preset(case, check):
    check(case)


def test_a_rate_without_a_model_is_refused():
    with pytest.raises(ValueError, match="sample_rate=44100 must be 32000, 16000 or 8000"):
        af.presets.panns(sample_rate=44100)


def test_musicnn_reflects_as_librosa_did():
    x = 0.1 * np.random.default_rng(0).standard_normal(3000)
    found = af.presets.musicnn(pad_mode="reflect")(torch.from_numpy(x)).numpy()
    power = public_code.centered(x, 512, 256)
    filters = public_code.triangles(16000, 512, 96, 0, 8000, "slaney", area=True)
    np.testing.assert_allclose(found, np.log10(1 + 10000 * filters @ power), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["passt", "efficientat"])
def test_taggers_of_other_filters(name):
    """64 bins from 50 to 12,000 Hz: their arguments arrive."""
    x = 0.1 * np.random.default_rng(0).standard_normal(3000)
    found = getattr(af.presets, name)(n_mels=64, f_min=50.0, f_max=12000.0)(torch.from_numpy(x)).numpy()
    power = public_code.centered(x[1:] - 0.97 * x[:-1], 1024, 320, win=800, symmetric=True)
    filters = public_code.kaldi_triangles(32000, 1024, 64, 50, 12000)
    np.testing.assert_allclose(found, (np.log(filters @ power + 1e-5) + 4.5) / 5, rtol=1e-10, atol=1e-12)
    other = af.presets.beats(mean=10.0, std=2.0)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(other * 4.0 + 10.0, public_code.beats(x) * 2 * 6.55582 + 15.41663, rtol=1e-10)
