"""Onset strength and tempograms against librosa 0.11.

float64: 1e-9 relative L2: gains are differences of decibels of up to 100, and as small as a hundredth of them. float32:
a decibel is 4.3 times a relative error, 1e-5, and a gain of a few decibels has as much: 1e-4.
"""

from __future__ import annotations

import warnings

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiofeed.methods.rhythm.onsets import without_drift
from audiofeed.transforms.auditory.mel import MelSpectrogram
from audiofeed.transforms.descriptors.waveform import RMS
from audiofeed.transforms.rhythm.onset import OnsetStrength
from audiofeed.transforms.rhythm.tempogram import FourierTempogram, Tempogram
from tests import oracle

EXACT, SINGLE = 1e-9, 1e-4
SR = 8000


@st.composite
def beats(draw, channels=((), (2,)), least=300):
    """Noise that comes and goes, silent for a while."""
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    n = draw(st.integers(least, 12000))
    y = random.standard_normal((*draw(st.sampled_from(channels)), n))
    y *= 10.0 ** (-2 * (np.arange(n) % draw(st.integers(500, 3000))) / 3000)
    y[..., : draw(st.sampled_from([0, 0, 900]))] = 0
    return y


@st.composite
def onsets(draw):
    return {
        "n_fft": draw(st.sampled_from([256, 255, 512])),
        "hop_length": draw(st.sampled_from([64, 100, 128, 300])),
        "n_mels": draw(st.integers(2, 20)),
        "lag": draw(st.integers(1, 5)),
        "max_size": draw(st.integers(1, 7)),
        "detrend": draw(st.booleans()),
        "center": draw(st.booleans()),
        "aggregate": draw(st.sampled_from(["mean", "median"])),
    }


def mel_of(y, config, **more):
    """The mel spectrogram in float64 throughout, as librosa's own has float32 filters unless told."""
    settings = {
        "sample_rate": SR,
        "n_fft": config["n_fft"],
        "hop_length": config["hop_length"],
        "n_mels": config["n_mels"],
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bank = librosa.filters.mel(sr=SR, n_fft=config["n_fft"], n_mels=config["n_mels"], dtype=np.float64, **more)
        s = np.abs(oracle.stft(y, n_fft=config["n_fft"], hop_length=config["hop_length"])) ** 2
        assert MelSpectrogram(**settings).n_mels == bank.shape[0]
    return np.einsum("mf,...ft->...mt", bank, s)


def envelope_of(y, config):
    s = librosa.power_to_db(mel_of(y, config))
    options = {name: config[name] for name in ("lag", "max_size", "detrend", "center", "n_fft", "hop_length")}
    aggregate = np.median if config["aggregate"] == "median" else np.mean
    return librosa.onset.onset_strength(S=s, sr=SR, aggregate=aggregate, **options)


def quietly(cls, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of filters without a bin
        return cls(**settings)


@settings(max_examples=60)
@given(y=beats(), config=onsets())
def test_onset_strength(y, config):
    transform = quietly(OnsetStrength, sample_rate=SR, **config)
    x = torch.from_numpy(y)
    ours = oracle.with_its_peaks(transform, x)[..., 0, :]
    expected = envelope_of(y, config)[..., : ours.shape[-1]]
    # beside the gain of a whole decibel: an envelope may be 0 throughout
    scale = max(np.linalg.norm(expected), 1.0)
    assert np.linalg.norm(ours.numpy() - expected) <= EXACT * scale
    single = oracle.with_its_peaks(transform, x.float())[..., 0, :].numpy()
    assert np.linalg.norm(single - expected) <= SINGLE * max(scale, np.sqrt(expected.size))


def test_onset_strength_is_librosa_s_own_by_its_defaults():
    y = np.random.default_rng(0).standard_normal((2, 22050)) * (np.arange(22050) % 5000 < 800)
    expected = librosa.onset.onset_strength(y=y, sr=22050, dtype=np.float64)
    ours = oracle.with_its_peaks(OnsetStrength(sample_rate=22050), torch.from_numpy(y))[:, 0]
    assert oracle.relative_error(ours, expected) <= EXACT


@settings(max_examples=40)
@given(n=st.integers(1, 3000), seed=st.integers(0, 99))
def test_detrending_is_the_recursive_filter(n, seed):
    import scipy.signal

    x = np.random.default_rng(seed).standard_normal((2, n))
    expected = scipy.signal.lfilter([1.0, -1.0], [1.0, -0.99], x)
    assert oracle.relative_error(without_drift(torch.from_numpy(x)), expected) <= 1e-13


@settings(max_examples=50)
@given(
    y=beats(least=2000),
    config=onsets(),
    win_length=st.integers(1, 50),
    center=st.booleans(),
    window=st.sampled_from(["hann", "boxcar", "hamming"]),
    norm=st.sampled_from([np.inf, 1.0, 2.0, None]),
)
def test_tempogram(y, config, win_length, center, window, norm):
    onset = quietly(OnsetStrength, sample_rate=SR, **config)
    # a window of one or two samples is [0] or [0, 1]
    window = window if win_length > 2 else "boxcar"
    win_length = win_length if center else min(win_length, 1 + y.shape[-1] // config["hop_length"])
    settings = {"hop_length": config["hop_length"], "win_length": win_length, "center": center}
    transform = Tempogram(sample_rate=SR, onset=onset, window=window, norm=norm, **settings)
    # of the same envelope, so that its rounding does not count: what is beside another column's largest is compared
    envelope = onset(torch.from_numpy(y)[None])[0, ..., 0, :].numpy()
    expected = librosa.feature.tempogram(onset_envelope=envelope, sr=SR, window=window, norm=None, **settings)
    ours = transform(torch.from_numpy(y)[None])[0].numpy()
    assert ours.shape == expected.shape
    if norm is not None:
        # a column of rounding alone (silence before the first beat) is scaled up to 1 by librosa's FFT and by ours
        lively = expected[..., :1, :] > 1e-12 * max(expected.max(), 1e-9)
        expected = librosa.util.normalize(expected, norm=norm, axis=-2) * lively
        ours = ours * lively
    assert np.linalg.norm(ours - expected) <= EXACT * max(np.linalg.norm(expected), 1e-9)


@settings(max_examples=30)
@given(y=beats(least=2000), config=onsets(), win_length=st.integers(1, 50), center=st.booleans())
def test_fourier_tempogram(y, config, win_length, center):
    onset = quietly(OnsetStrength, sample_rate=SR, **config)
    win_length = win_length if center else min(win_length, 1 + y.shape[-1] // config["hop_length"])
    settings = {"hop_length": config["hop_length"], "win_length": win_length, "center": center}
    transform = FourierTempogram(sample_rate=SR, onset=onset, window="boxcar", **settings)
    envelope = onset(torch.from_numpy(y)[None])[0, ..., 0, :].numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an envelope shorter than the window
        expected = librosa.feature.fourier_tempogram(onset_envelope=envelope, sr=SR, window="boxcar", **settings)
    ours = transform(torch.from_numpy(y)[None])[0].numpy()
    assert ours.shape == expected.shape
    assert np.linalg.norm(ours - expected) <= EXACT * max(np.linalg.norm(expected), 1e-9)


def test_tempograms_are_librosa_s_own_by_their_defaults():
    sr = 22050
    y = np.random.default_rng(0).standard_normal(6 * sr) * (np.arange(6 * sr) % 11025 < 2000)
    envelope = librosa.onset.onset_strength(y=y, sr=sr, dtype=np.float64)
    x = torch.from_numpy(y)
    expected = librosa.feature.tempogram(onset_envelope=envelope, sr=sr)
    assert oracle.relative_error(Tempogram(sample_rate=sr)(x), expected) <= EXACT
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an envelope shorter than the window
        expected = librosa.feature.fourier_tempogram(onset_envelope=envelope, sr=sr)
    assert oracle.relative_error(FourierTempogram(sample_rate=sr)(x), expected) <= EXACT
    # float32, from the waveform on: an envelope to 1e-4, and twice that in a product of it with itself
    single = Tempogram(sample_rate=sr)(x.float())
    assert oracle.relative_error(single, librosa.feature.tempogram(onset_envelope=envelope, sr=sr)) <= 2 * SINGLE


def test_each_clip_of_a_batch_has_ramps_at_its_own_ends():
    """librosa's answer for the clip alone, not for the padded array."""
    random = np.random.default_rng(0)
    long, short = random.standard_normal(9000), random.standard_normal(5000)
    padded = np.stack([long, np.concatenate([short, np.zeros(4000)])])
    onset = OnsetStrength(sample_rate=SR, n_fft=256, hop_length=100, n_mels=8)
    transform = Tempogram(sample_rate=SR, hop_length=100, win_length=30, onset=onset)
    lengths = torch.tensor([9000, 5000])
    ours = transform(torch.from_numpy(padded), lengths)[1, :, :51].numpy()
    expected = librosa.feature.tempogram(onset_envelope=onset(torch.from_numpy(short)).numpy()[0], win_length=30)
    array = librosa.feature.tempogram(onset_envelope=onset(torch.from_numpy(padded)).numpy()[1, 0], win_length=30)
    assert oracle.relative_error(ours, expected) <= EXACT
    assert oracle.relative_error(array[:, :51], expected) > 0.01


@pytest.mark.parametrize("win_length", [384, 17, 1])
def test_tempi(win_length):
    settings = {"sample_rate": 22050, "hop_length": 256, "win_length": win_length}
    lags = librosa.tempo_frequencies(win_length, hop_length=256, sr=22050)
    np.testing.assert_allclose(Tempogram(**settings).tempi, lags)
    bins = librosa.fourier_tempo_frequencies(sr=22050, win_length=win_length, hop_length=256)
    np.testing.assert_allclose(FourierTempogram(**settings).tempi, bins)
    np.testing.assert_allclose(FourierTempogram(**settings).frequencies, bins / 60)


def test_a_click_twice_a_second_has_the_tempo_of_120():
    sr = 16000
    y = torch.zeros(12 * sr)
    y[:: sr // 2] = 1.0
    for transform in (
        Tempogram(sample_rate=sr, n_fft=1024, hop_length=160, win_length=300),
        FourierTempogram(sample_rate=sr, n_fft=1024, hop_length=160, win_length=400),
        # any envelope will do
        Tempogram(sample_rate=sr, hop_length=160, win_length=300, onset=RMS(1024, hop_length=160, sample_rate=sr)),
    ):
        mean = transform(y).abs().mean(-1)
        mean[transform.tempi > 200] = 0
        mean[transform.tempi < 70] = 0
        assert transform.tempi[mean.argmax()] == pytest.approx(120, rel=0.01)
