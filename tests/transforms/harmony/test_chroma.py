"""Chroma, the tuning it is estimated with, and the tonal centroid against librosa 0.11.

float64: 1e-10 relative L2. float32: a class is a sum of powers, none negative, so its relative error is that of powers,
twice 2e-6 (see test_short_time), and the maximum it is divided by has as much again: 1e-5.
"""

from __future__ import annotations

import math
import warnings

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiofeed.methods.constant_q import tuning
from audiofeed.methods.harmony.chroma import chroma_filters
from audiofeed.signal.constant_q.tuning import pitch_bins, tuning_edges
from audiofeed.signal.harmony import chroma as definitions
from audiofeed.transforms.harmony.chroma import Chroma
from audiofeed.transforms.harmony.tonnetz import Tonnetz
from tests import oracle

EXACT, SINGLE = 1e-10, 1e-5


@st.composite
def music(draw, channels=((), (2,))):
    """Harmonic tones of a scale with a tuning of its own, in noise."""
    sr = draw(st.sampled_from([8000, 16000, 22050, 44100]))
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    shape = draw(st.sampled_from(channels))
    n = draw(st.integers(sr // 4, sr // 2))
    tuned = draw(st.floats(-0.45, 0.45))
    time = np.arange(n) / sr
    y = draw(st.sampled_from([0.01, 0.3])) * random.standard_normal((*shape, n))
    for _ in range(6):
        f0 = 440.0 * 2 ** ((random.integers(-12, 12) + tuned) / 12)
        for harmonic in range(1, 4):
            y = y + np.sin(2 * np.pi * f0 * harmonic * time + random.uniform(0, 6)) / harmonic
    return y * draw(st.sampled_from([1.0, 1e-3])), sr


def tuning_of(y, sr, n_fft, hop, n_chroma):
    """The estimate that `chroma_stft` makes, with the bins' own frequencies for odd n_fft too."""
    s = np.abs(oracle.stft(y, n_fft=n_fft, hop_length=hop)) ** 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of clips without a pitch
        return librosa.estimate_tuning(S=s, sr=sr, n_fft=n_fft, bins_per_octave=n_chroma)


def chroma_of(y, sr, n_fft, hop, tuned, norm=np.inf, **filters):
    s = np.abs(oracle.stft(y, n_fft=n_fft, hop_length=hop)) ** 2
    bank = librosa.filters.chroma(sr=sr, n_fft=n_fft, tuning=tuned, dtype=np.float64, **filters)
    return librosa.util.normalize(np.einsum("cf,...ft->...ct", bank, s), norm=norm, axis=-2)


@settings(max_examples=60)
@given(
    sr=st.sampled_from([8000, 22050, 44101]),
    n_fft=st.integers(2, 3000),
    n_chroma=st.one_of(st.just(12), st.integers(1, 50)),
    tuned=st.floats(-0.6, 0.6),
    ctroct=st.floats(2, 8),
    octwidth=st.one_of(st.none(), st.floats(0.5, 4)),
    base_c=st.booleans(),
)
def test_filters(sr, n_fft, n_chroma, tuned, ctroct, octwidth, base_c):
    """The definition, and the filters made on the device for several tunings."""
    bank = {"n_chroma": n_chroma, "octwidth": octwidth, "base_c": base_c}
    expected = librosa.filters.chroma(sr=sr, n_fft=n_fft, tuning=tuned, ctroct=ctroct, dtype=np.float64, **bank)
    ours = definitions.chroma_filterbank(sample_rate=sr, n_fft=n_fft, tuning=tuned, ctroct=ctroct, **bank)
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-12)
    positions, widths = definitions.chroma_positions(sample_rate=sr, n_fft=n_fft, n_chroma=n_chroma)
    places = torch.from_numpy(np.stack([positions % n_chroma, widths, positions / n_chroma - ctroct]))
    each = torch.tensor([tuned, 0.0], dtype=torch.float64)
    np.testing.assert_allclose(chroma_filters(each, places, **bank)[0].numpy(), expected, rtol=1e-9, atol=1e-12)
    # float32: a position of up to n_chroma, rounded, through a Gaussian of width 1/2 whose slope is at most 1.2
    single = chroma_filters(each.float(), places.float(), **bank)[0].numpy()
    np.testing.assert_allclose(single, expected, rtol=0, atol=1e-6 + 4e-7 * n_chroma)


@settings(max_examples=25)
@given(
    clip=music(),
    n_fft=st.sampled_from([512, 1024, 2048, 2047, 4096]),
    hop=st.sampled_from([256, 441]),
    n_chroma=st.sampled_from([12, 24, 36, 7]),
)
def test_chroma_with_its_own_tuning(clip, n_fft, hop, n_chroma):
    y, sr = clip
    transform = Chroma(sample_rate=sr, n_fft=n_fft, hop_length=hop, n_chroma=n_chroma)
    tuned = tuning_of(y, sr, n_fft, hop, n_chroma)
    x = torch.from_numpy(y)[None]  # one clip, whose channels share a tuning as librosa's do
    assert oracle.relative_error(transform(x)[0], chroma_of(y, sr, n_fft, hop, tuned, n_chroma=n_chroma)) <= EXACT
    # float32 may prefer another tuning where two have nearly as many votes; with the tuning that it prefers it is right
    ours = transform(x.float()).numpy()[0]
    error = oracle.relative_error(ours, chroma_of(y, sr, n_fft, hop, tuned, n_chroma=n_chroma))
    if error > SINGLE:
        others = tuning_edges()[:-1]
        error = min(oracle.relative_error(ours, chroma_of(y, sr, n_fft, hop, t, n_chroma=n_chroma)) for t in others)
    assert error <= SINGLE


@settings(max_examples=20)
@given(
    clip=music(),
    tuned=st.floats(-0.5, 0.5),
    norm=st.sampled_from([math.inf, 1.0, 2.0, 3.5, None]),
    ctroct=st.floats(3, 7),
    octwidth=st.sampled_from([2.0, 1.0, None]),
    base_c=st.booleans(),
    n_chroma=st.sampled_from([12, 24]),
)
def test_chroma_with_a_given_tuning(clip, tuned, norm, ctroct, octwidth, base_c, n_chroma):
    y, sr = clip
    bank = {"ctroct": ctroct, "octwidth": octwidth, "base_c": base_c, "n_chroma": n_chroma}
    transform = Chroma(sample_rate=sr, n_fft=1024, hop_length=300, tuning=tuned, norm=norm, **bank)
    expected = chroma_of(y, sr, 1024, 300, tuned, norm=norm, **bank)
    assert oracle.relative_error(transform(torch.from_numpy(y)), expected) <= EXACT
    assert oracle.relative_error(transform(torch.from_numpy(y).float()), expected) <= SINGLE


@settings(max_examples=20)
@given(data=st.data(), n_chroma=st.sampled_from([12, 36]), n_fft=st.sampled_from([1024, 2049]))
def test_tuning_of_a_batch_is_that_of_each_clip(data, n_chroma, n_fft):
    """Clip by clip as on a CPU, and all at once as on a GPU; clips of other lengths and silence beside them."""
    hop = 256
    found = [data.draw(music(channels=((),))) for _ in range(3)]
    sr = found[0][1]
    clips = [y for y, _ in found] + [np.zeros(3000)]
    s = [np.abs(librosa.stft(y, n_fft=n_fft, hop_length=hop)) ** 2 for y in clips]
    frames = torch.tensor([each.shape[-1] for each in s])
    batch = torch.full((4, 1, n_fft // 2 + 1, int(frames.max())), torch.nan, dtype=torch.float64)
    for row, each in enumerate(s):
        batch[row, 0, :, : each.shape[-1]] = torch.from_numpy(each)
    low, high = pitch_bins(sample_rate=sr, n_fft=n_fft)
    edges = torch.from_numpy(tuning_edges())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the silent clip
        expected = [librosa.estimate_tuning(S=each, sr=sr, n_fft=n_fft, bins_per_octave=n_chroma) for each in s]
    one_by_one = tuning.estimate_tuning(batch, frames, edges, bins=(low, high), hertz=sr / n_fft, n_chroma=n_chroma)
    at_once = tuning._tunings(batch, frames, edges, low, high, sr / n_fft, n_chroma)
    assert one_by_one.tolist() == pytest.approx(expected, abs=1e-15)
    assert at_once.tolist() == pytest.approx(expected, abs=1e-15)
    assert expected[-1] == 0.0


@pytest.mark.parametrize("sr", [3001, 8000])
def test_a_peak_in_the_very_last_bin_counts_as_in_librosa(sr):
    """At an odd n_fft the last bin lies below half the rate: it may be a pitch, without a parabola through it."""
    s = np.abs(np.random.default_rng(0).standard_normal((32, 6)))
    s[-1] = 5.0
    expected = librosa.estimate_tuning(S=s, sr=sr, n_fft=63)
    low, high = pitch_bins(sample_rate=sr, n_fft=63)
    assert high == 32
    edges = torch.from_numpy(tuning_edges())
    powers = torch.from_numpy(s)[None, None]
    settings = {"bins": (low, high), "hertz": sr / 63, "n_chroma": 12}
    assert tuning.estimate_tuning(powers, None, edges, **settings).tolist() == [expected]
    assert tuning._tunings(powers, None, edges, low, high, sr / 63, 12).tolist() == [expected]


def test_librosa_estimates_the_tuning_of_odd_frames_with_the_frequencies_of_even_ones():
    sr, n_fft = 22050, 1025
    y = np.sin(2 * np.pi * 440 * 2 ** (0.2 / 12) * np.arange(sr) / sr)
    s = np.abs(librosa.stft(y, n_fft=n_fft)) ** 2
    right = librosa.estimate_tuning(S=s, sr=sr, n_fft=n_fft)
    passed_on = librosa.estimate_tuning(S=s, sr=sr)  # as chroma_stft calls it
    assert abs(right - 0.2) < 0.03 < abs(passed_on - right) or right != passed_on
    ours = Chroma(sample_rate=sr, n_fft=n_fft)(torch.from_numpy(y))
    assert oracle.relative_error(ours, chroma_of(y, sr, n_fft, n_fft // 4, right)) <= EXACT


def test_chroma_of_a_batch_where_librosa_gives_all_clips_one_tuning():
    """The defect: a clip's chroma depends on its batch-mates when librosa is given them as one array."""
    sr = 22050
    time = np.arange(sr) / sr
    a, b = (np.sin(2 * np.pi * 440 * 2 ** (t / 12) * time) for t in (0.0, 0.4))
    batch = np.stack([a + 1e-3 * np.cos(7 * time), 3 * b])
    alone = np.stack([librosa.feature.chroma_stft(y=y, sr=sr, dtype=np.float64) for y in batch])
    array = librosa.feature.chroma_stft(y=batch, sr=sr, dtype=np.float64)
    ours = Chroma(sample_rate=sr)(torch.from_numpy(batch)).numpy()
    assert oracle.relative_error(ours, alone) <= EXACT
    assert oracle.relative_error(array, alone) > 0.01


@settings(max_examples=12)
@given(clip=music(), n_fft=st.sampled_from([1024, 2048]))
def test_tonnetz(clip, n_fft):
    y, sr = clip
    chroma = librosa.feature.chroma_stft(y=y, sr=sr, n_fft=n_fft, hop_length=n_fft // 4, dtype=np.float64)
    expected = librosa.feature.tonnetz(chroma=chroma, sr=sr)
    transform = Tonnetz(sample_rate=sr, n_fft=n_fft)
    ours = transform(torch.from_numpy(y)[None])[0]
    assert oracle.relative_error(ours, expected) <= EXACT


@pytest.mark.parametrize("n_chroma", [12, 24, 36])
def test_tonnetz_of_another_chroma(n_chroma):
    sr = 16000
    y = np.random.default_rng(0).standard_normal(16000)
    chroma = librosa.feature.chroma_stft(
        y=y, sr=sr, n_fft=512, hop_length=128, n_chroma=n_chroma, tuning=0.1, norm=2, dtype=np.float64
    )
    source = Chroma(sample_rate=sr, n_fft=512, n_chroma=n_chroma, tuning=0.1, norm=2)
    ours = Tonnetz(sample_rate=sr, chroma=source)(torch.from_numpy(y))
    assert oracle.relative_error(ours, librosa.feature.tonnetz(chroma=chroma)) <= EXACT
    # float32: the classes of a nearly even chroma cancel, to about a tenth of their sum here
    single = Tonnetz(sample_rate=sr, chroma=source)(torch.from_numpy(y).float())
    assert oracle.relative_error(single, librosa.feature.tonnetz(chroma=chroma)) <= 10 * SINGLE


def test_the_defaults_of_chroma_are_those_of_librosa():
    y = np.random.default_rng(1).standard_normal((2, 22050))
    expected = librosa.feature.chroma_stft(y=y, sr=22050, dtype=np.float64)
    assert oracle.relative_error(Chroma(sample_rate=22050)(torch.from_numpy(y)[None])[0], expected) <= EXACT


def test_the_chroma_of_silence_is_zero():
    for transform in (Chroma(sample_rate=8000, n_fft=512), Tonnetz(sample_rate=8000, n_fft=512)):
        assert not transform(torch.zeros(2, 4000)).any()
