"""Band-limited sound, whose empty bands a float32 FFT fills with its own rounding: `precision="double"` does not."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

import audiofeed as af

RATE = 22050
DB = 10 / np.log(10)


@pytest.fixture(params=["low-pass", "high-pass", "band-pass", "fades to silence", "16 bits"])
def x(request):
    """A clip of 0.7 s in float32, as a decoder of MP3 or a resampler leaves one."""
    spectrum = torch.fft.rfft(torch.randn(16384, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    if request.param in ("low-pass", "band-pass", "16 bits"):
        spectrum[5000:] = 0
    if request.param in ("high-pass", "band-pass"):
        spectrum[:2500] = 0
    clip = torch.fft.irfft(spectrum)
    clip /= clip.abs().max()
    if request.param == "fades to silence":
        clip *= torch.logspace(0, -12, len(clip), dtype=torch.float64)
    if request.param == "16 bits":
        clip = (clip * 32767).round() / 32768
    return clip.float()


# in decibels of each
LOGARITHMS = {
    "SpectralContrast": (af.SpectralContrast, {"sample_rate": RATE}, 1.0),
    "log-mel": (af.LogMelSpectrogram, {"sample_rate": RATE, "floor": 1e-30}, DB),
    "log-mel, dB": (af.LogMelSpectrogram, {"sample_rate": RATE, "log": "db", "floor": 1e-30}, 1.0),
    "MFCC": (af.MFCC, {"sample_rate": RATE, "top_db": None, "floor": 1e-30}, 1.0),
    "BFCC": (af.BFCC, {"sample_rate": RATE, "top_db": None, "floor": 1e-30}, 1.0),
    "LFCC": (af.LFCC, {"sample_rate": RATE, "n_filter": 64, "n_lfcc": 20}, 1.0),
    "SpectralFlatness": (af.SpectralFlatness, {"amin": 1e-30}, 1.0),
    "CFP": (af.CFP, {"sample_rate": 16000}, 1.0),
}


@pytest.mark.parametrize("name", LOGARITHMS)
def test_with_double_precision_float32_samples_have_the_values_of_float64(name, x):
    cls, settings, factor = LOGARITHMS[name]
    transform = cls(**settings, precision="double")
    found = transform(x)
    assert found.dtype == torch.float32
    exact = cls(**settings)(x.double())
    assert float((found.double() - exact).abs().max()) * factor <= 1e-3


def test_contrast_is_librosas_of_the_same_float32_samples(x):
    expected = librosa.feature.spectral_contrast(y=x.numpy(), sr=RATE, hop_length=512)
    found = af.SpectralContrast(sample_rate=RATE, hop_length=512, precision="double")(x)
    np.testing.assert_allclose(found.numpy()[:, 1:-1], expected[:, 1:-1], rtol=0, atol=0.1)


def test_without_it_a_float32_fft_shows_its_rounding():
    """The reason for the setting; where this fails, a better FFT has made it superfluous."""
    spectrum = torch.fft.rfft(torch.randn(65536, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    spectrum[20000:] = 0
    clip = torch.fft.irfft(spectrum).float()
    contrast = af.SpectralContrast(sample_rate=RATE)
    assert float((contrast(clip).double() - contrast(clip.double())).abs().max()) > 0.1


def test_features_over_the_same_frames_are_not_shared_with_single_precision(x):
    stack = af.Stack(plain=af.Spectrogram(256), exact=af.Spectrogram(256, precision="double"))
    found = stack(x[None])
    assert torch.equal(found["plain"], af.Spectrogram(256)(x[None]))
    assert torch.equal(found["exact"], af.Spectrogram(256)(x[None].double()).float())


def test_runs_on_tells_of_it():
    assert str(af.STFT(256, precision="double").runs_on(torch.zeros(1, 800))) == "fft: kernel: float64"


@pytest.mark.parametrize("precision", ["single", "float64", None, 64])
def test_another_precision_is_refused(precision):
    with pytest.raises(ValueError, match=r"precision=.*must be 'input' or 'double'"):
        af.MFCC(sample_rate=RATE, precision=precision)
