"""STFT, spectrogram and mel against librosa 0.11, over settings that Hypothesis draws.

float64: 1e-10 relative L2, which leaves room for 1e6 roundings. float32: 2e-6, some thirty roundings of 6e-8; measured
1e-7 by FFT and up to 5e-7 by convolution.
"""

from __future__ import annotations

import warnings

import librosa
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from audiofeed.transforms import STFT, LogMelSpectrogram, MelSpectrogram, Spectrogram
from tests import oracle

TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-6}
WINDOWS = ["hann", "hamming", "blackman", "boxcar", "nuttall", ("kaiser", 8.6), ("tukey", 0.4)]


@st.composite
def framings(draw):
    n_fft = draw(st.one_of(st.integers(2, 600), st.sampled_from([400, 512, 1024, 2048, 441, 1001])))
    # a window of one or two samples may be [0] or [0, 1]: nothing is left of a short clip to compare
    win_length = draw(st.one_of(st.none(), st.integers(max(1, n_fft // 3), n_fft)))
    return {
        "n_fft": n_fft,
        "hop_length": draw(st.integers(1, max(1, n_fft * 5 // 4))),
        "win_length": win_length,
        "window": draw(st.sampled_from(WINDOWS)),
        "center": draw(st.booleans()),
        "pad_mode": draw(st.sampled_from(["constant", "reflect", "replicate", "circular"])),
    }


@st.composite
def clips(draw):
    length = draw(st.one_of(st.integers(1, 300), st.integers(1, 6001)))
    channels = draw(st.sampled_from([(), (2,)]))
    seed = draw(st.integers(0, 2**16))
    return np.random.default_rng(seed).standard_normal((*channels, length)) * draw(st.sampled_from([1.0, 1e-3]))


def check(transform, y, expected, scale):
    """Both dtypes within tolerance of the reference, relative to `scale`."""
    for dtype, tolerance in TOLERANCE.items():
        ours = transform(torch.from_numpy(y).to(dtype))
        assert ours.shape == expected.shape
        distance = np.linalg.norm(ours.numpy() - expected)
        assert distance <= tolerance * scale, f"{dtype}: relative error {distance / scale:.2e} above {tolerance}"


@pytest.mark.parametrize("method", ["fft", "conv"])
@settings(max_examples=200)
@given(framing=framings(), y=clips())
def test_stft_equals_librosa(method, framing, y):
    expected = oracle.stft(y, **framing)
    # a window that is zero where a short clip lies leaves nothing; the rounding is then that of the frames themselves
    scale = max(np.linalg.norm(expected), 1e-2 * np.linalg.norm(y))
    if method == "conv" and y.shape[-1] < framing["n_fft"] and framing["pad_mode"] != "constant":
        # samples repeated throughout a frame: the roundings of a running sum are alike and add up, at most half
        # of 6e-8 for each sample of the frame (measured: 1.7e-8, with n_fft 2048); an FFT's sums are short
        scale *= max(1.0, framing["n_fft"] * 3e-8 / TOLERANCE[torch.float32])
    check(STFT(method=method, **framing), y, expected, scale)


@pytest.mark.parametrize("method", ["fft", "conv"])
@settings(max_examples=100)
@given(framing=framings(), y=clips(), power=st.sampled_from([1.0, 2.0, 1.5, 0.5, None]))
def test_spectrogram_equals_librosa(method, framing, y, power):
    spectrum = oracle.stft(y, **framing)
    assume(np.linalg.norm(spectrum) > 1e-2 * np.linalg.norm(y))
    expected = spectrum if power is None else np.abs(spectrum) ** power
    if power == 0.5:
        # the square root is infinitely steep at 0, where a bin holds only rounding: compare what the root was taken of
        transform = Spectrogram(power=power, method=method, **framing)
        ours = transform(torch.from_numpy(y)).numpy() ** 2
        assert oracle.relative_error(ours, np.abs(spectrum)) <= 1e-10
        return
    check(Spectrogram(power=power, method=method, **framing), y, expected, np.linalg.norm(expected))


@st.composite
def mel_settings(draw):
    sample_rate = draw(st.sampled_from([8000, 16000, 22050, 44100]))
    f_min = draw(st.floats(0, 0.4)) * sample_rate / 2
    f_max = draw(st.one_of(st.none(), st.floats(0.5, 1.0).map(lambda part: part * sample_rate / 2)))
    return {
        "sample_rate": sample_rate,
        "n_mels": draw(st.integers(1, 128)),
        "f_min": f_min,
        "f_max": f_max,
        "mel_scale": draw(st.sampled_from(["slaney", "htk"])),
        "norm": draw(st.sampled_from(["slaney", None, 1.0, 2.0, float("inf")])),
    }


def mel_reference(y, framing, mel, power):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of empty filters
        filters = librosa.filters.mel(
            sr=mel["sample_rate"],
            n_fft=framing["n_fft"],
            n_mels=mel["n_mels"],
            fmin=mel["f_min"],
            fmax=mel["f_max"],
            htk=mel["mel_scale"] == "htk",
            norm=mel["norm"],
            dtype=np.float64,
        )
    powers = np.abs(oracle.stft(y, **framing)) ** power
    # a window that is zero where a short clip lies leaves rounding alone
    assume(np.linalg.norm(powers) > 1e-4 * np.linalg.norm(np.abs(y) ** power))
    return np.einsum("mb,...bf->...mf", filters, powers), np.linalg.norm(powers) * np.abs(filters).max()


@pytest.mark.parametrize("method", ["fft", "conv"])
@settings(max_examples=150)
@given(framing=framings(), y=clips(), mel=mel_settings(), power=st.sampled_from([1.0, 2.0]))
def test_mel_equals_librosa(method, framing, y, mel, power):
    expected, largest = mel_reference(y, framing, mel, power)
    # a clip of a few samples repeated by "replicate" has no energy inside high filters but what rounding leaves there
    assume(np.linalg.norm(expected) > 1e-2 * largest)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transform = MelSpectrogram(method=method, power=power, **framing, **mel)
    # filters that the largest bins pass by hold the rounding of those, too: float32 is exact relative to them
    check(transform, y, expected, max(np.linalg.norm(expected), 0.1 * largest))


@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
def test_mel_equals_librosa_melspectrogram_itself(pad_mode):
    y = np.random.default_rng(0).standard_normal((2, 22050))
    expected = librosa.feature.melspectrogram(y=y, sr=22050, pad_mode=pad_mode, dtype=np.float64)
    ours = MelSpectrogram(sample_rate=22050, pad_mode=pad_mode)(torch.from_numpy(y)).numpy()
    assert oracle.relative_error(ours, expected) <= 1e-10


@pytest.mark.parametrize("log", ["ln", "log10", "db"])
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_log_mel_is_the_log_of_librosa_mel(log, power):
    y = np.random.default_rng(1).standard_normal(8000) * np.linspace(0, 1, 8000)
    mel = librosa.feature.melspectrogram(y=y, sr=16000, n_fft=512, hop_length=128, power=power, dtype=np.float64)
    floor = 1e-3
    expected = {
        "ln": lambda: np.log(np.maximum(mel, floor)),
        "log10": lambda: np.log10(np.maximum(mel, floor)),
        "db": lambda: (
            librosa.power_to_db(mel, amin=floor, top_db=None)
            if power == 2
            else librosa.amplitude_to_db(mel, amin=floor, top_db=None)
        ),
    }[log]()
    transform = LogMelSpectrogram(sample_rate=16000, n_fft=512, hop_length=128, power=power, log=log, floor=floor)
    np.testing.assert_allclose(transform(torch.from_numpy(y)).numpy(), expected, rtol=0, atol=1e-9)
    # float32: one part in 1e6 of the mel value, through the derivative of the logarithm
    per_relative = {"ln": 1.0, "log10": 0.4343, "db": 20 / power * 0.4343}[log]
    ours = transform(torch.from_numpy(y).float()).numpy()
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-4 * per_relative)
