"""Spectra at chosen frequencies against the sum that defines them, and against nnAudio2 at the frequencies it reaches.

float64: 1e-11 relative L2; interpolation leaves 2e-12 (see `plans.interpolation`). float32: 2e-6 as for the STFT, of
which it is a short sum.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiofeed.signal.short_time.log_frequency import frequency_grid
from audiofeed.transforms.short_time.log_frequency import LogFrequencySpectrogram, LogFrequencySTFT
from audiofeed.transforms.short_time.stft import STFT
from tests.oracle import NUMPY_MODE, relative_error

TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-6}


def windowed(y, *, n_fft, hop_length, win_length, window, center, pad_mode, **_):
    """The frames of a clip times the window.  Shape: (time,) -> (frames, n_fft)."""
    import scipy.signal

    w = scipy.signal.get_window(window, win_length, fftbins=True)
    left = (n_fft - win_length) // 2
    w = np.pad(w, (left, n_fft - win_length - left))
    if center:
        y = np.pad(y, n_fft // 2, mode=NUMPY_MODE[pad_mode])
    y = np.pad(y, (0, max(0, n_fft - len(y))))
    starts = range(0, len(y) - n_fft + 1, hop_length)
    return np.stack([y[s : s + n_fft] for s in starts]) * w


def direct(y, frequencies, *, sample_rate, n_fft, **framing):
    """Every sample of every frame times every cosine and sine, in complex128."""
    turns = np.outer(np.arange(n_fft), frequencies / sample_rate)
    return (windowed(y, n_fft=n_fft, **framing) @ np.exp(-2j * np.pi * turns)).T


@st.composite
def transforms(draw):
    n_fft = draw(st.one_of(st.integers(2, 600), st.sampled_from([400, 1024, 441, 1009])))
    sample_rate = draw(st.sampled_from([8000, 16000, 22050]))
    scale = draw(st.sampled_from(["linear", "log", "octave"]))
    low = draw(st.floats(0.0 if scale == "linear" else 1e-3, 0.3))
    framing = {
        "sample_rate": sample_rate,
        "n_fft": n_fft,
        "hop_length": draw(st.integers(max(1, n_fft // 5), max(1, n_fft * 5 // 4))),
        "win_length": draw(st.integers(max(1, n_fft // 3), n_fft)),
        "window": draw(st.sampled_from(["hamming", "boxcar", ("kaiser", 8.6), ("tukey", 0.4)])),
        "center": draw(st.booleans()),
        "pad_mode": draw(st.sampled_from(["constant", "reflect", "replicate", "circular"])),
    }
    scaling = {
        "freq_scale": scale,
        "f_min": low * sample_rate,
        "f_max": draw(st.one_of(st.just(0.5), st.floats(0.31, 0.5))) * sample_rate,
        "n_bins": draw(st.integers(1, 90)),
    }
    return framing, scaling


def grid(scaling):
    """What the three scales say of f_min, f_max and n_bins, written out."""
    low, high, n = scaling["f_min"], scaling["f_max"], scaling["n_bins"]
    part = np.arange(n) / max(n - 1, 1)
    return low + part * (high - low) if scaling["freq_scale"] == "linear" else low * (high / low) ** part


@pytest.mark.parametrize("method", ["fft", "conv"])
@settings(max_examples=60)
@given(drawn=transforms(), length=st.integers(1, 1500), seed=st.integers(0, 2**16))
def test_it_equals_the_sum(method, drawn, length, seed):
    framing, scaling = drawn
    y = np.random.default_rng(seed).standard_normal(length)
    expected = direct(y, grid(scaling), **framing)
    # where little is left at the frequencies asked for, the rounding is that of the products: a part of the frames
    scale = max(np.linalg.norm(expected), np.linalg.norm(windowed(y, **framing)))
    stft = LogFrequencySTFT(**framing, **scaling, method=method)
    for dtype, tolerance in TOLERANCE.items():
        x = torch.from_numpy(y).to(dtype)
        assert np.linalg.norm(stft(x).numpy() - expected) <= tolerance * scale
    powers = LogFrequencySpectrogram(**framing, **scaling, method=method)(torch.from_numpy(y))
    assert np.linalg.norm(powers.numpy() - np.abs(expected) ** 2) <= 1e-10 * max(scale**2, 1e-4)


def test_the_grid_reaches_both_ends():
    for scale in ("linear", "log", "octave"):
        frequencies = frequency_grid(freq_scale=scale, f_min=55.0, f_max=7000.0, n_bins=31)
        assert frequencies[0] == 55.0
        assert frequencies[-1] == 7000.0
        np.testing.assert_allclose(
            frequencies, grid({"freq_scale": scale, "f_min": 55.0, "f_max": 7000.0, "n_bins": 31})
        )
    octaves = frequency_grid(freq_scale="octave", f_min=32.7, f_max=32.7 * 2**5, bins_per_octave=12)
    assert len(octaves) == 61
    np.testing.assert_allclose(octaves[::12], 32.7 * 2.0 ** np.arange(6))


def test_the_bins_of_an_fft_are_those_of_the_stft():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 3000)))
    for method in ("fft", "conv"):
        ours = LogFrequencySTFT(sample_rate=8000, n_fft=400, freq_scale="linear", f_min=0.0, method=method)
        np.testing.assert_allclose(ours.frequencies, np.fft.rfftfreq(400, 1 / 8000))
        assert relative_error(ours(x).numpy(), STFT(400)(x).numpy()) <= 1e-11


def test_a_tone_is_strongest_at_its_own_frequency():
    power = LogFrequencySpectrogram(sample_rate=16000, f_min=100.0, n_bins=64)
    for k in (20, 40, 63):
        tone = torch.cos(2 * torch.pi * power.frequencies[k] * torch.arange(16000, dtype=torch.float64) / 16000)
        assert power(tone).mean(-1).argmax() == k


@pytest.mark.torchaudio
@pytest.mark.parametrize(("scale", "theirs"), [("linear", "linear"), ("log", "log"), ("octave", "log2")])
def test_nnaudio2_has_the_same_values_and_stops_a_step_short(scale, theirs):
    """Its grid divides the span by the number of bins, not of steps, so its top bin is not at fmax.

    Told the frequency one step above its top bin, it gives our values to float32's rounding.
    """
    from nnAudio2 import features

    n, low, high, rate = 40, 100.0, 3000.0, 8000
    y = np.random.default_rng(0).standard_normal((2, 4000)).astype(np.float32)
    ours = LogFrequencySpectrogram(
        sample_rate=rate, n_fft=512, power=1.0, freq_scale=scale, f_min=low, f_max=high, n_bins=n, pad_mode="reflect"
    )
    config = {"n_fft": 512, "freq_bins": n, "fmin": low, "sr": rate, "freq_scale": theirs, "verbose": False}
    step = (high - low) / (n - 1) if scale == "linear" else (high / low) ** (1 / (n - 1))
    beyond = high + step if scale == "linear" else high * step
    same = features.STFT(fmax=beyond, output_format="Magnitude", **config)
    # measured 8e-8 to 3e-7; their frames are n_fft long, with a reflected margin, as ours
    assert relative_error(ours(torch.from_numpy(y)), same(torch.from_numpy(y)).numpy()) <= 2e-6
    named = features.STFT(fmax=high, output_format="Magnitude", **config)
    assert named.bins2freq[-1] < high - 20.0
    assert relative_error(ours(torch.from_numpy(y)), named(torch.from_numpy(y)).numpy()) > 1e-2
