"""Chroma of constant-Q transforms, and what is made of it, against librosa 0.11.

From the waveform, the tolerances are those of the transform (see test_constant_q): classes are sums of magnitudes, none
negative, so their relative error is that of the bins, 1e-6 in float64 and 1e-5 in float32. From the same bins on, which
librosa takes as `C=` or `V=`, both compute in float64 and agree to 1e-12.
"""

from __future__ import annotations

import math
import warnings

import librosa
import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from audiofeed.methods.harmony.chroma_cens import smoothed
from audiofeed.signal.harmony.chroma import CENS_STEPS
from audiofeed.signal.harmony.chroma_cqt import cq_to_chroma
from audiofeed.transforms.harmony.chroma_cens import ChromaCENS
from audiofeed.transforms.harmony.chroma_cqt import ChromaCQT, ChromaVQT
from audiofeed.transforms.harmony.tonnetz import Tonnetz
from tests.oracle import random, relative_error

# scipy.signal.convolve, which librosa makes its filters with, casts memory that nothing was written to yet
pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-5}
EXACT = 1e-12
NORMS = st.sampled_from([math.inf, 1.0, 2.0, 3.5, None])
SCALES = ["equal", "pythagorean", "ji3", "ji5", "ji7", (1.0, 1.1, 1.26, 1.5, 1.7)]


def of_librosa(function, **config):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of clips shorter than a frame, which are right all the same
        return function(**config)


def music(seconds, sr, tuning=0.0):
    """Chords in noise; the first one a little late, so that each frame has notes of its own."""
    t = np.arange(int(seconds * sr)) / sr
    notes = [
        np.sin(2 * np.pi * 440 * 2 ** ((k + tuning) / 12) * t) * np.exp(-((t - at) ** 2))
        for k, at in ((0, 0.3), (4, 0.3), (7, 0.3), (-3, 1.0), (5, 1.0))
    ]
    return sum(notes) + 0.05 * random(len(t))


@settings(max_examples=200)
@given(
    n_chroma=st.one_of(st.just(12), st.integers(1, 50)),
    merge=st.integers(1, 5),
    octaves=st.floats(0.1, 9),
    f_min=st.floats(10.0, 2000.0),
    window=st.one_of(st.none(), st.lists(st.floats(-2, 2), min_size=1, max_size=8)),
    base_c=st.booleans(),
)
def test_the_classes_of_bins(n_chroma, merge, octaves, f_min, window, base_c):
    bins = math.ceil(octaves * n_chroma * merge)
    assume(window is None or len(window) <= bins)
    settings = {"bins_per_octave": n_chroma * merge, "n_chroma": n_chroma, "base_c": base_c}
    expected = librosa.filters.cq_to_chroma(
        bins, fmin=f_min, window=None if window is None else np.array(window), dtype=np.float64, **settings
    )
    ours = cq_to_chroma(bins, f_min=f_min, window=None if window is None else np.array(window), **settings)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=EXACT)


@settings(max_examples=12, deadline=None)
@given(
    sr=st.sampled_from([8000, 16000, 22050]),
    n_octaves=st.integers(1, 5),
    merge=st.sampled_from([1, 2, 3]),
    n_chroma=st.sampled_from([12, 7]),
    hop=st.sampled_from([512, 256, 441]),
    tuning=st.sampled_from([0.0, 0.2, None]),
    hybrid=st.booleans(),
    seed=st.integers(0, 99),
)
def test_chroma_of_a_waveform(sr, n_octaves, merge, n_chroma, hop, tuning, hybrid, seed):
    lowest = 0.2 * sr / 2**n_octaves * 1.0001
    transform = ChromaCQT(
        sample_rate=sr,
        f_min=lowest,
        n_octaves=n_octaves,
        bins_per_octave=merge * n_chroma,
        n_chroma=n_chroma,
        hop_length=hop,
        tuning=tuning,
        hybrid=hybrid,
        norm=None,
    )
    y = random(sr // 2, seed=seed) * 0.1
    y += np.sin(2 * np.pi * 440 * 2 ** (0.2 / n_chroma) * np.arange(len(y)) / sr)
    # the low part of a hybrid may begin at an eighth of the rate, for which soxr wants a soft start
    y = np.pad(y, (2048, 0))
    expected = of_librosa(
        librosa.feature.chroma_cqt,
        y=y,
        sr=sr,
        fmin=lowest,
        n_octaves=n_octaves,
        bins_per_octave=merge * n_chroma,
        n_chroma=n_chroma,
        hop_length=hop,
        tuning=tuning,
        cqt_mode="hybrid" if hybrid else "full",
        norm=None,
    )
    for dtype, tolerance in TOLERANCE.items():
        ours = transform(torch.from_numpy(y).to(dtype))
        assert ours.shape == expected.shape
        assert relative_error(ours, expected) <= tolerance


@settings(max_examples=30, deadline=None)
@given(
    norm=NORMS,
    threshold=st.sampled_from([0.0, None, 0.3]),
    window=st.sampled_from([None, (0.5, 1.0, 0.5), (1.0, -0.4)]),
    merge=st.sampled_from([None, 24]),
    n_chroma=st.sampled_from([12, 6]),
    f_min=st.sampled_from([None, 110.0]),
)
def test_chroma_of_the_same_bins(norm, threshold, window, merge, n_chroma, f_min):
    config = {"n_octaves": 3, "bins_per_octave": merge, "n_chroma": n_chroma, "norm": norm, "threshold": threshold}
    transform = ChromaCQT(sample_rate=8000, f_min=f_min, window=window, tuning=0.0, hop_length=200, **config)
    y = torch.from_numpy(music(0.5, 8000))
    bins = transform.source(y).numpy()
    expected = librosa.feature.chroma_cqt(
        C=bins, sr=8000, fmin=f_min, window=None if window is None else np.array(window), **config
    )
    assert relative_error(transform(y), expected) <= EXACT


@pytest.mark.parametrize("intervals", SCALES, ids=str)
@pytest.mark.parametrize("gamma", [0.0, 20.0, None])
def test_chroma_of_a_variable_q_transform(intervals, gamma):
    sr, y = 16000, random(8000, seed=3)
    config = {"intervals": intervals, "gamma": gamma, "n_octaves": 4, "hop_length": 256}
    expected = of_librosa(librosa.feature.chroma_vqt, y=y, sr=sr, fmin=200.01, norm=None, **config)
    transform = ChromaVQT(sample_rate=sr, f_min=200.01, norm=None, **config)
    for dtype, tolerance in TOLERANCE.items():
        assert relative_error(transform(torch.from_numpy(y).to(dtype)), expected) <= tolerance
    threshold = float(np.median(expected))
    limited = ChromaVQT(sample_rate=sr, f_min=200.01, norm=2.0, threshold=threshold, **config)
    bins = limited.source(torch.from_numpy(y)).numpy()
    expected = librosa.feature.chroma_vqt(
        V=bins,
        sr=sr,
        fmin=200.01,
        norm=2.0,
        threshold=threshold,
        **{k: v for k, v in config.items() if k != "hop_length"},
    )
    assert 0 < float((expected == 0).mean()) < 1
    assert relative_error(limited(torch.from_numpy(y)), expected) <= EXACT


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 20000),
    norm=NORMS,
    frames=st.one_of(st.none(), st.integers(1, 50)),
    window=st.sampled_from(["hann", "boxcar", "hamming", ("kaiser", 4.0)]),
    merge=st.sampled_from([12, 36]),
)
def test_cens_of_the_same_bins(n, norm, frames, window, merge):
    config = {"n_octaves": 3, "bins_per_octave": merge, "norm": norm}
    smoothing = {"win_len_smooth": frames, "smoothing_window": window}
    transform = ChromaCENS(sample_rate=8000, f_min=110.0, tuning=0.0, hop_length=200, **config, **smoothing)
    y = torch.from_numpy(music(2.5, 8000)[-n:].copy())
    bins = transform.source.source(y).numpy()
    expected = librosa.feature.chroma_cens(C=bins, sr=8000, fmin=110.0, **config, **smoothing)
    assert relative_error(transform(y), expected) <= EXACT


@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 12])
def test_smoothing_by_a_window_that_is_not_symmetric(length):
    """scipy's alignment, and its flip; windows longer than the clip too."""
    x, window = random(2, 3, 5), random(length, seed=1)
    expected = scipy.ndimage.convolve(x, window[None, None], mode="constant")
    np.testing.assert_allclose(smoothed(torch.from_numpy(x), torch.from_numpy(window)), expected, atol=EXACT)


@pytest.mark.parametrize("tuning", [0.0, 0.3])
def test_the_defaults_of_constant_q_chroma_are_those_of_librosa(tuning):
    """From the waveform, with a tuning of its own, two channels that share it."""
    sr = 22050
    y = np.stack([music(1.2, sr, tuning), 0.5 * random(int(1.2 * sr), seed=1)])
    functions = librosa.feature.chroma_cqt, librosa.feature.chroma_cens, librosa.feature.tonnetz
    ours = ChromaCQT(sample_rate=sr), ChromaCENS(sample_rate=sr), Tonnetz(sample_rate=sr, chroma="cqt")
    shares = librosa.util.normalize(of_librosa(librosa.feature.chroma_cqt, y=y, sr=sr, norm=None), norm=1, axis=-2)
    margin = np.abs(shares[..., None] - np.array(CENS_STEPS)).min()
    for function, transform in zip(functions, ours, strict=True):
        expected = of_librosa(function, y=y, sr=sr)
        for dtype, tolerance in TOLERANCE.items():
            # a class within rounding of a step may be counted otherwise, and one step of one is 1e-2
            assert transform is not ours[1] or margin > tolerance
            error = relative_error(transform(torch.from_numpy(y)[None].to(dtype))[0], expected)
            assert error <= tolerance * (3 if transform is ours[2] else 1)  # centroids cancel, to a third here
    expected = of_librosa(librosa.feature.chroma_vqt, y=y, sr=sr, intervals="ji5")
    assert relative_error(ChromaVQT(sample_rate=sr, intervals="ji5")(torch.from_numpy(y)), expected) <= 1e-6


def test_each_clip_has_its_own_tuning_through_every_layer():
    """A batch of clips in other tunings, of other lengths, is those clips alone: also where a tonal centroid asks."""
    sr = 16000
    clips = [music(seconds, sr, tuning) for seconds, tuning in ((0.5, 0.3), (0.8, -0.2), (0.6, 0.0))]
    lengths = torch.tensor([len(clip) for clip in clips])
    batch = torch.full((3, int(lengths.max())), math.nan, dtype=torch.float64)
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    settings = {"f_min": 65.4, "n_octaves": 6}
    source = ChromaCQT(sample_rate=sr, **settings)
    for transform, function in (
        (source, librosa.feature.chroma_cqt),
        (ChromaCENS(sample_rate=sr, **settings), librosa.feature.chroma_cens),
        (Tonnetz(sample_rate=sr, chroma=source), librosa.feature.tonnetz),
    ):
        found = transform(batch, lengths)
        for row, clip, frames in zip(found, clips, transform.frame_lengths(lengths).tolist(), strict=True):
            expected = of_librosa(function, y=clip, sr=sr, fmin=65.4, n_octaves=6)
            assert expected.shape[-1] == frames
            assert relative_error(row[:, :frames], expected) <= 1e-5
            assert (row[:, frames:] == 0).all()


def test_the_constant_q_chroma_of_silence_is_zero():
    for transform in (
        ChromaCQT(sample_rate=16000, n_octaves=6, bins_per_octave=12),
        ChromaVQT(sample_rate=16000, n_octaves=6, intervals="ji3"),
        ChromaCENS(sample_rate=16000, n_octaves=6, bins_per_octave=12),
    ):
        assert not transform(torch.zeros(2, 4000)).any()


def test_gradients_reach_the_waveform_the_kernels_and_the_classes():
    transform = ChromaCQT(sample_rate=8000, n_octaves=3, tuning=0.0, trainable=True, trainable_chroma=True)
    y = torch.from_numpy(music(0.3, 8000)).float().requires_grad_()
    transform(y).square().sum().backward()
    for gradient in (y.grad, transform.chroma.grad, transform.source.kernels.grad):
        assert torch.isfinite(gradient).all()
        assert gradient.abs().max() > 0
