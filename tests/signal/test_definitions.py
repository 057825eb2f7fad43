"""The float64 definitions against scipy and librosa."""

from __future__ import annotations

import math
import warnings

import librosa
import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st

from audiofeed.plans.tiles import filter_tiles
from audiofeed.signal import fft_frequencies, get_window, hz_to_mel, mel_filterbank, mel_frequencies, mel_to_hz
from audiofeed.signal.short_time.fourier import fourier_basis

NAMES = [
    "barthann", "bartlett", "blackman", "blackmanharris", "bohman", "boxcar", "cosine", "exponential", "flattop",
    "hamming", "hann", "lanczos", "nuttall", "parzen", "taylor", "triang", "tukey",
]  # fmt: skip
WITH_PARAMETERS = [
    ("chebwin", 80.0), ("dpss", 2.5), ("exponential", None, 3.0), ("gaussian", 7.0),
    ("general_cosine", [0.5, 0.3, 0.2]), ("general_gaussian", 1.5, 6.0), ("general_hamming", 0.6),
    ("kaiser", 8.6), ("kaiser_bessel_derived", 4.0),
    ("taylor", 4, 30), ("tukey", 0.3),
]  # fmt: skip


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("length", [1, 2, 3, 16, 401])
@pytest.mark.parametrize("window", [*NAMES, *WITH_PARAMETERS, 8.6], ids=str)
def test_windows_equal_scipy(window, length, periodic):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # chebwin warns of its attenuation
        try:
            expected = scipy.signal.get_window(window, length, fftbins=periodic)
        except ValueError:  # "dpss" at 2 samples, "kaiser_bessel_derived" periodic: there is no such window
            with pytest.raises(ValueError, match="is not a window that scipy"):
                get_window(window, length, periodic=periodic)
            return
        ours = get_window(window, length, periodic=periodic)
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-13)


def test_a_window_may_be_its_samples():
    samples = np.linspace(0.1, 1, 7)
    np.testing.assert_array_equal(get_window(samples, 7), samples)
    np.testing.assert_array_equal(get_window(samples.tolist(), 7), samples)


@pytest.mark.parametrize(
    ("window", "length", "message"),
    [
        ("hanning_typo", 8, "hanning_typo"),
        (("kaiser",), 8, "kaiser"),
        (np.ones(5), 8, r"shape \(5,\).*win_length=8"),
        (np.array([1.0, np.nan]), 2, "NaN"),
        ("hann", 0, "length=0"),
    ],
)
def test_a_wrong_window_is_named(window, length, message):
    with pytest.raises(ValueError, match=message):
        get_window(window, length)


@given(hz=st.lists(st.floats(0, 1e5), min_size=1, max_size=20), htk=st.booleans())
def test_mel_scales_equal_librosa(hz, htk):
    scale = "htk" if htk else "slaney"
    mels = hz_to_mel(hz, mel_scale=scale)
    np.testing.assert_allclose(mels, librosa.hz_to_mel(np.array(hz), htk=htk), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(mel_to_hz(mels, mel_scale=scale), librosa.mel_to_hz(mels, htk=htk), rtol=1e-12)
    np.testing.assert_allclose(mel_to_hz(mels, mel_scale=scale), hz, rtol=1e-9, atol=1e-9)


@given(
    sample_rate=st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000]),
    n_fft=st.integers(2, 4096),
    n_mels=st.integers(1, 200),
    low=st.floats(0, 0.9),
    span=st.floats(0.05, 1.0),
    htk=st.booleans(),
    norm=st.one_of(st.none(), st.just("slaney"), st.sampled_from([1, 2, 1.5, math.inf])),
)
def test_mel_filters_equal_librosa(sample_rate, n_fft, n_mels, low, span, htk, norm):
    f_min = low * sample_rate / 2
    f_max = f_min + span * (sample_rate / 2 - f_min)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # librosa warns of empty filters
        expected = librosa.filters.mel(
            sr=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=f_min, fmax=f_max, htk=htk, norm=norm, dtype=np.float64
        )
    ours = mel_filterbank(
        sample_rate=sample_rate,
        n_fft=n_fft,
        n_mels=n_mels,
        f_min=f_min,
        f_max=f_max,
        mel_scale="htk" if htk else "slaney",
        norm=norm,
    )
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)


def test_frequencies_equal_librosa():
    np.testing.assert_allclose(fft_frequencies(22050, 401), librosa.fft_frequencies(sr=22050, n_fft=401), rtol=1e-14)
    np.testing.assert_allclose(
        mel_frequencies(40, f_min=20, f_max=7000), librosa.mel_frequencies(40, fmin=20, fmax=7000), rtol=1e-12
    )


@pytest.mark.parametrize("norm", ["area", 0, -1])
def test_a_wrong_norm_is_named(norm):
    with pytest.raises(ValueError, match="norm="):
        mel_filterbank(sample_rate=8000, n_fft=64, n_mels=4, norm=norm)


def test_a_wrong_mel_scale_is_named():
    with pytest.raises(ValueError, match="mel_scale='bark'"):
        hz_to_mel(1.0, mel_scale="bark")


@given(rows=st.integers(1, 40), columns=st.integers(1, 60), group=st.integers(1, 20), seed=st.integers(0, 99))
def test_bands_cover_everything_that_is_not_zero(rows, columns, group, seed):
    weights = np.random.default_rng(seed).random((rows, columns)) * (
        np.random.default_rng(seed + 1).random((rows, columns)) > 0.9
    )
    rebuilt = np.zeros_like(weights)
    found = filter_tiles(weights, group=group)
    for first, end, low, high in found.tiles:
        rebuilt[first:end, low:high] = weights[first:end, low:high]
    np.testing.assert_array_equal(rebuilt, weights)
    entries = weights.reshape(-1)[found.entries]
    alone = np.zeros_like(weights)
    for row, (low, end, place) in enumerate(found.spans.T):
        assert low == end == 0 or (weights[row, low] and weights[row, end - 1])
        alone[row, low:end] = entries[place + low : place + end]
    np.testing.assert_array_equal(alone, weights)


@pytest.mark.parametrize("n_fft", [1, 2, 5, 400, 2048])
def test_the_fourier_basis_is_the_real_fft(n_fft):
    rng = np.random.default_rng(n_fft)
    window, frame = rng.random(n_fft), rng.standard_normal(n_fft)
    both = fourier_basis(window) @ frame
    bins = n_fft // 2 + 1
    np.testing.assert_allclose(both[:bins] + 1j * both[bins:], np.fft.rfft(window * frame), rtol=0, atol=1e-11)
