"""The inverse constant-Q transform against `librosa.icqt`, which is an approximation: ours is to come nearer.

What is compared is how much of the clip comes back from librosa's own values, in decibels of signal to noise.
"""

from __future__ import annotations

import warnings

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiofeed.transforms.constant_q.inverse_cqt import InverseCQT
from tests.signals import band_noise

C2, C4 = librosa.note_to_hz("C2"), librosa.note_to_hz("C4")


def snr(expected, found):
    """Decibels of signal over what is wrong."""
    return 20 * np.log10(np.linalg.norm(expected) / np.linalg.norm(expected - found))


def silent(**config):
    """The inverse, without the warning that the highest bins of a long hop are undersampled."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return InverseCQT(**config)


def sweep(rate, seconds):
    """A sine that rises evenly in pitch from C2 to C4: the clip of librosa's own test."""
    hertz = np.geomspace(C2, C4, int(seconds * rate))
    return np.sin(2 * np.pi * np.cumsum(hertz / rate))


# librosa asks for a root mean square error of 0.1, which is 17 dB; measured 59 dB with 36 bins in an octave, where
# librosa has 23 dB; with 12 librosa has 29 to 54 dB.
@pytest.mark.slow
@pytest.mark.parametrize("rate", [22050, 44100])
@pytest.mark.parametrize("over_sample", [1, 3])
@pytest.mark.parametrize("hop_length", [384, 512])
@pytest.mark.parametrize("scale", [False, True])
def test_librosas_own_cases_come_back_better(rate, over_sample, hop_length, scale):
    y = sweep(rate, 1.5)
    config = {"bins_per_octave": 12 * over_sample, "hop_length": hop_length, "scale": scale}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of octaves shorter than a frame
        values = librosa.cqt(y, sr=rate, n_bins=84 * over_sample, **config)
    inverse = silent(sample_rate=rate, n_bins=84 * over_sample, **config)
    middle = slice(rate // 2, -(rate // 2))
    for length in (None, len(y)):
        theirs = librosa.util.fix_length(
            librosa.icqt(values, sr=rate, length=length, dtype=np.float64, **config), size=len(y)
        )
        bar = max(snr(y[middle], theirs[middle]), 50.0)
        for dtype in (torch.complex64, torch.complex128):
            ours = inverse(torch.from_numpy(values).to(dtype), length).numpy()
            assert ours.shape[-1] == (len(y) // hop_length * hop_length if length is None else length)
            ours = librosa.util.fix_length(ours, size=len(y))
            assert snr(y[middle], ours[middle]) >= bar


@st.composite
def drawn(draw):
    """Settings that librosa's pair of transforms takes too, and a clip between the first and the last bin."""
    rate = draw(st.sampled_from([8000, 16000, 22050]), "rate")
    per_octave = draw(st.sampled_from([12, 24]), "bins_per_octave")
    octaves = draw(st.integers(2, 4), "octaves")
    f_min = draw(st.floats(60.0, 120.0), "f_min")
    time = draw(st.integers(rate // 2, rate), "time")
    config = {
        "hop_length": draw(st.sampled_from([32, 64, 128, 200, 256, 512]), "hop"),
        "bins_per_octave": per_octave,
        "tuning": draw(st.sampled_from([0.0, 0.3, -0.2]), "tuning"),
        "filter_scale": draw(st.sampled_from([1.0, 1.0, 0.7, 1.5]), "filter_scale"),
        "norm": draw(st.sampled_from([1.0, 2.0, None]), "norm"),
        "window": draw(st.sampled_from(["hann", "hamming", "blackmanharris"]), "window"),
        "sparsity": draw(st.sampled_from([0.0, 0.01]), "sparsity"),
        "scale": draw(st.booleans(), "scale"),
    }
    top = f_min * 2.0**octaves
    kind = draw(st.sampled_from(["noise", "tones"]), "kind")
    seed = draw(st.integers(0, 9), "seed")
    if kind == "noise":
        y = band_noise(time, low=1.2 * f_min, high=top / 1.2, sample_rate=rate, seed=seed).numpy()
    else:
        hertz = np.random.default_rng(seed).uniform(1.2 * f_min, top / 1.2, (3, 1))
        y = np.sin(2 * np.pi * hertz * np.arange(time) / rate).sum(axis=0)
    return rate, f_min, octaves * per_octave, config, y


@pytest.mark.slow
@settings(max_examples=20)
@given(drawn=drawn())
def test_noise_and_tones_come_back_no_worse_than_from_librosa(drawn):
    """Over librosa's settings, sampled well enough or not, with the length known."""
    rate, f_min, n_bins, config, y = drawn
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of clips shorter than a frame
        values = librosa.cqt(y, sr=rate, fmin=f_min, n_bins=n_bins, **config)
        theirs = librosa.icqt(values, sr=rate, fmin=f_min, length=len(y), dtype=np.float64, **config)
    inverse = silent(sample_rate=rate, f_min=f_min, n_bins=n_bins, **config)
    ours = inverse(torch.from_numpy(values).to(torch.complex128), len(y)).numpy()
    assert snr(y, ours) >= snr(y, theirs)
