"""Descriptors of spectra and waveforms against librosa 0.11, over settings that Hypothesis draws.

float64: 1e-10 relative L2. float32: magnitudes are within 30 roundings of 6e-8 of their frame's norm (see
test_short_time), and a descriptor passes that on times its own condition number, given with each test.
"""

from __future__ import annotations

import itertools
import warnings

import librosa
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from audiofeed.signal.descriptors.spectral import contrast_bands
from audiofeed.transforms.descriptors.contrast import SpectralContrast
from audiofeed.transforms.descriptors.spectral import (
    PolyFeatures,
    SpectralBandwidth,
    SpectralCentroid,
    SpectralFlatness,
    SpectralRolloff,
)
from audiofeed.transforms.descriptors.waveform import RMS, ZeroCrossingRate
from tests import oracle

EXACT = 1e-10


@st.composite
def framings(draw, least=16):
    n_fft = draw(st.one_of(st.integers(least, 600), st.sampled_from([400, 512, 1024, 441])))
    return {
        "n_fft": n_fft,
        "hop_length": draw(st.integers(1 + n_fft // 16, n_fft)),
        "win_length": draw(st.one_of(st.none(), st.integers(max(8, n_fft // 3), n_fft))),
        "window": draw(st.sampled_from(["hann", "hamming", "blackman", "boxcar"])),
        "center": draw(st.booleans()),
        "pad_mode": draw(st.sampled_from(["constant", "reflect", "replicate", "circular"])),
    }


@st.composite
def clips(draw, least=200):
    """Noise of any level, of one or two channels, now and then silent for a while."""
    channels = draw(st.sampled_from([(), (2,)]))
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    y = random.standard_normal((*channels, draw(st.integers(least, 4000)))) * draw(st.sampled_from([1.0, 1e-3]))
    if draw(st.booleans()):
        y[..., : draw(st.integers(0, 2000))] = 0
    assume(np.any(y))
    return y


def magnitudes(y, framing):
    return np.abs(oracle.stft(y, **framing))


def alike(transform, y, expected, single, scale=None):
    """Relative L2 within 1e-10 in float64 and within `single` in float32."""
    scale = np.linalg.norm(expected) if scale is None else scale
    for dtype, tolerance in ((torch.float64, EXACT), (torch.float32, single)):
        ours = transform(torch.from_numpy(y).to(dtype)).numpy()
        assert ours.shape == expected.shape
        error = np.linalg.norm(ours - expected)
        assert error <= tolerance * scale, f"{dtype}: relative error {error / scale:.2e} above {tolerance}"


rates = st.sampled_from([8000, 16000, 22050, 44101])
powers = st.sampled_from([1.0, 2.0])


@settings(max_examples=40)
@given(framing=framings(), y=clips(), sr=rates, power=powers)
def test_centroid(framing, y, sr, power):
    s = magnitudes(y, framing) ** power
    expected = librosa.feature.spectral_centroid(S=s, sr=sr, n_fft=framing["n_fft"])
    # a mean of frequencies below sr / 2: an error of the spectrum counts at most sr / 2 / centroid times
    alike(SpectralCentroid(sample_rate=sr, power=power, **framing), y, expected, 2e-6, np.sqrt(expected.size) * sr / 2)


@settings(max_examples=40)
@given(
    framing=framings(), y=clips(), sr=rates, power=powers, p=st.sampled_from([2.0, 1.0, 3.5, 0.7]), norm=st.booleans()
)
def test_bandwidth(framing, y, sr, power, p, norm):
    s = magnitudes(y, framing) ** power
    # librosa passes on no n_fft where it computes the centroid of a given S: it would take odd ones for even
    centroid = librosa.feature.spectral_centroid(S=s, sr=sr, n_fft=framing["n_fft"])
    frequencies = librosa.fft_frequencies(sr=sr, n_fft=framing["n_fft"])
    expected = librosa.feature.spectral_bandwidth(
        S=s, sr=sr, n_fft=framing["n_fft"], p=p, norm=norm, centroid=centroid, freq=frequencies
    )
    # the p-th root of a moment: 1 / p times the relative error of the moment, at most 3 of each kind
    transform = SpectralBandwidth(sample_rate=sr, power=power, p=p, norm=norm, **framing)
    alike(transform, y, expected, 1e-5, np.linalg.norm(expected) + 1e-9)


@settings(max_examples=40)
@given(framing=framings(), y=clips(), sr=rates, power=powers, share=st.floats(0.05, 0.95))
def test_rolloff(framing, y, sr, power, share):
    s = magnitudes(y, framing) ** power
    expected = librosa.feature.spectral_rolloff(S=s, sr=sr, n_fft=framing["n_fft"], roll_percent=share)
    transform = SpectralRolloff(sample_rate=sr, power=power, roll_percent=share, **framing)
    np.testing.assert_allclose(transform(torch.from_numpy(y)).numpy(), expected, rtol=1e-12)
    # float32 may take the next bin where the sum comes within rounding of the share, and only there
    ours = transform(torch.from_numpy(y).float()).numpy()
    sums = s.cumsum(-2) / np.maximum(s.sum(-2, keepdims=True), 1e-300)
    chosen = np.take_along_axis(sums, np.rint(ours * framing["n_fft"] / sr).astype(int), -2)
    assert np.all((chosen >= share - 1e-5) | (s.sum(-2, keepdims=True) == 0))
    assert np.mean(ours != expected.astype(np.float32)) < 0.01


@settings(max_examples=40)
@given(framing=framings(), y=clips(), power=st.sampled_from([2.0, 1.0]), amin=st.sampled_from([1e-10, 1e-3]))
def test_flatness(framing, y, power, amin):
    expected = librosa.feature.spectral_flatness(S=magnitudes(y, framing), power=power, amin=amin)
    # the mean of logarithms forgives no small bin: one of a thousandth of the norm has a thousand times its error,
    # times the power; a few of them in the mean of a frame
    alike(SpectralFlatness(power=power, amin=amin, **framing), y, expected, 1e-4)


@settings(max_examples=40)
@given(framing=framings(least=32), y=clips(), sr=st.sampled_from([8000, 22050]), order=st.integers(0, 4), power=powers)
def test_polynomial(framing, y, sr, order, power):
    s = magnitudes(y, framing) ** power
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = librosa.feature.poly_features(
            S=s, sr=sr, n_fft=framing["n_fft"], order=order, freq=librosa.fft_frequencies(sr=sr, n_fft=framing["n_fft"])
        )
    assert expected.shape[-2] == order + 1
    # each coefficient is a weighted sum: its error is that of the spectrum times the norm of the weights
    transform = PolyFeatures(sample_rate=sr, order=order, power=power, **framing)
    weights = np.abs(transform.fit.numpy()).sum(1)
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        ours = transform(torch.from_numpy(y).to(dtype)).numpy()
        limit = tolerance * weights[:, None] * np.abs(s).max(-2, keepdims=True)
        assert np.all(np.abs(ours - expected) <= limit + 1e-300)


@settings(max_examples=40)
@given(
    n_fft=st.one_of(st.integers(128, 700), st.sampled_from([512, 1024])),
    y=clips(),
    sr=st.sampled_from([8000, 22050]),
    n_bands=st.integers(1, 4),
    quantile=st.sampled_from([0.02, 0.1, 0.5, 0.9]),
    linear=st.booleans(),
    level=st.sampled_from([1.0, 1e-4, 1e-9]),
)
def test_contrast(n_fft, y, sr, n_bands, quantile, linear, level):
    y[..., y.shape[-1] // 2 :] *= level
    s = magnitudes(y, {"n_fft": n_fft, "hop_length": n_fft // 3})
    assume(n_bands == 1 or 200.0 * 2 ** (n_bands - 1) < sr / 2)
    frequencies = librosa.fft_frequencies(sr=sr, n_fft=n_fft)
    expected = librosa.feature.spectral_contrast(
        S=s, sr=sr, n_fft=n_fft, freq=frequencies, n_bands=n_bands, quantile=quantile, linear=linear
    )
    transform = SpectralContrast(
        sample_rate=sr, n_fft=n_fft, hop_length=n_fft // 3, n_bands=n_bands, quantile=quantile, linear=linear
    )
    # a valley may be a thousandth of the frame's norm: a thousand times its error, and in decibels 8.7 times that of
    # its logarithm; beside a contrast of 10 to 30 dB, or of 1 dB where there is hardly any. A plain difference has the
    # error of the magnitudes themselves
    scale = np.linalg.norm(s) if linear else np.linalg.norm(expected) + np.sqrt(expected.size)
    alike(lambda x: oracle.with_its_peaks(transform, x), y, expected, 2e-6 if linear else 1e-4, scale)


@settings(max_examples=50)
@given(
    frame=st.integers(1, 300),
    hop=st.integers(1, 320),
    y=clips(),
    center=st.booleans(),
    mode=st.sampled_from(["constant", "reflect", "replicate", "circular"]),
)
def test_rms(frame, hop, y, center, mode):
    assume(center or y.shape[-1] >= frame)
    expected = librosa.feature.rms(
        y=y, frame_length=frame, hop_length=hop, center=center, pad_mode=oracle.NUMPY_MODE[mode], dtype=np.float64
    )
    # sums of squares, none of which cancel
    alike(RMS(frame, hop_length=hop, center=center, pad_mode=mode), y, expected, 2e-6, np.linalg.norm(expected) + 1e-12)


def test_rms_is_that_of_a_boxcar_spectrum():
    """librosa's other variant, by Parseval's theorem."""
    y = np.random.default_rng(0).standard_normal(9000)
    s = np.abs(librosa.stft(y, n_fft=512, hop_length=100, window="boxcar"))
    expected = librosa.feature.rms(S=s, frame_length=512, dtype=np.float64)
    assert oracle.relative_error(RMS(512, hop_length=100)(torch.from_numpy(y)), expected) <= EXACT


@settings(max_examples=50)
@given(
    frame=st.integers(2, 300),
    hop=st.integers(1, 320),
    y=clips(),
    center=st.booleans(),
    threshold=st.sampled_from([1e-10, 0.0, 0.3]),
    zero_pos=st.booleans(),
    pad=st.booleans(),
)
def test_zero_crossings(frame, hop, y, center, threshold, zero_pos, pad):
    assume(center or y.shape[-1] >= frame)
    y[..., ::7] = 0.0
    y[..., ::11] = -0.0
    y = y.astype(np.float32)  # both dtypes see the same samples, so that both count the same
    for dtype in (np.float32, np.float64):
        expected = librosa.feature.zero_crossing_rate(
            y.astype(dtype),
            frame_length=frame,
            hop_length=hop,
            center=center,
            threshold=threshold,
            zero_pos=zero_pos,
            pad=pad,
        )
        transform = ZeroCrossingRate(
            frame, hop_length=hop, center=center, threshold=threshold, zero_pos=zero_pos, pad=pad
        )
        # integers over a frame's length: equal but for the last rounding
        np.testing.assert_allclose(transform(torch.from_numpy(y.astype(dtype))).numpy(), expected, rtol=2e-7)


def test_the_defaults_of_descriptors_are_those_of_librosa():
    y = np.random.default_rng(3).standard_normal((2, 11025)) * np.linspace(0, 1, 11025)
    sr = 22050
    pairs = [
        (SpectralCentroid(sample_rate=sr), librosa.feature.spectral_centroid(y=y, sr=sr)),
        (SpectralBandwidth(sample_rate=sr), librosa.feature.spectral_bandwidth(y=y, sr=sr)),
        (SpectralRolloff(sample_rate=sr), librosa.feature.spectral_rolloff(y=y, sr=sr)),
        (SpectralFlatness(), librosa.feature.spectral_flatness(y=y)),
        (PolyFeatures(sample_rate=sr), librosa.feature.poly_features(y=y, sr=sr)),
        (RMS(), librosa.feature.rms(y=y, dtype=np.float64)),
        (ZeroCrossingRate(), librosa.feature.zero_crossing_rate(y)),
    ]
    for transform, expected in pairs:
        assert oracle.relative_error(transform(torch.from_numpy(y)), expected) <= EXACT, type(transform).__name__
    expected = librosa.feature.spectral_contrast(y=y, sr=sr)
    ours = oracle.with_its_peaks(SpectralContrast(sample_rate=sr), torch.from_numpy(y))
    assert oracle.relative_error(ours, expected) <= EXACT


def test_contrast_counts_the_range_clip_by_clip_where_librosa_0_11_counts_it_over_the_array():
    """A quiet clip beside a loud one: librosa's own answer for the clip alone, which 1.0 gives for the array, too."""
    random = np.random.default_rng(0)
    # a tone and faint noise: peaks of some bands lie more than 80 dB below those of the loud clip
    quiet = 1e-5 * (np.sin(0.3 * np.arange(8000)) + 0.1 * random.standard_normal(8000))
    loud = 10 * random.standard_normal(8000)
    batch = np.stack([quiet, loud])
    settings = {"sr": 16000, "n_fft": 1024, "hop_length": 256}
    alone = librosa.feature.spectral_contrast(y=quiet, **settings)
    array = librosa.feature.spectral_contrast(y=batch, **settings)[0]
    ours = SpectralContrast(sample_rate=16000, n_fft=1024, hop_length=256)(torch.from_numpy(batch)).numpy()[0]
    assert oracle.relative_error(ours, alone) <= EXACT
    assert oracle.relative_error(array, alone) <= EXACT if oracle.NEW else oracle.relative_error(array, alone) > 0.01


def test_contrast_of_bands_that_have_a_bin_in_common():
    """The octaves begin at bins, and each band has the last bin of the one below: putting that in order leaves it."""
    y = np.random.default_rng(0).standard_normal(4000)
    settings = {"n_fft": 400, "hop_length": 160}
    bands = contrast_bands(sample_rate=8000, n_fft=400, f_min=200.0, n_bands=4, quantile=0.02)
    assert any(first < end for (_, end, _), (first, _, _) in itertools.pairwise(bands))
    expected = librosa.feature.spectral_contrast(y=y, sr=8000, n_bands=4, **settings)
    transform = SpectralContrast(sample_rate=8000, n_bands=4, **settings)
    assert oracle.relative_error(transform(torch.from_numpy(y)), expected) <= EXACT
    with_graph = transform(torch.from_numpy(y).requires_grad_())
    assert oracle.relative_error(with_graph.detach(), expected) <= EXACT


def test_silence_has_the_values_of_librosa():
    y, x = np.zeros(2000), torch.zeros(2000, dtype=torch.float64)
    settings = {"n_fft": 256, "hop_length": 64}
    for transform, function in (
        (SpectralCentroid(sample_rate=8000, **settings), librosa.feature.spectral_centroid),
        (SpectralBandwidth(sample_rate=8000, **settings), librosa.feature.spectral_bandwidth),
        (SpectralRolloff(sample_rate=8000, **settings), librosa.feature.spectral_rolloff),
        (SpectralContrast(sample_rate=8000, n_bands=4, **settings), librosa.feature.spectral_contrast),
        (PolyFeatures(sample_rate=8000, **settings), librosa.feature.poly_features),
    ):
        more = {"n_bands": 4} if function is librosa.feature.spectral_contrast else {}
        assert np.array_equal(transform(x).numpy(), function(y=y, sr=8000, **settings, **more))
    assert np.allclose(SpectralFlatness(256, hop_length=64)(x).numpy(), 1.0, rtol=1e-12)
    assert not RMS()(x).any()
    assert not ZeroCrossingRate()(x).any()


@pytest.mark.torchaudio
def test_torchaudio_centroid_is_nan_on_silence_and_off_for_odd_frames():
    from torchaudio.transforms import SpectralCentroid as Theirs

    y = np.random.default_rng(0).standard_normal(8000)
    x = torch.from_numpy(y)
    # the same where the frame is even: torchaudio reflects at the ends
    ours = SpectralCentroid(sample_rate=16000, n_fft=400, hop_length=160, pad_mode="reflect")
    theirs = Theirs(16000, n_fft=400, hop_length=160).double()
    assert oracle.relative_error(theirs(x), ours(x)[0].numpy()) <= 1e-7  # its window is rounded to float32
    assert torch.isnan(theirs(torch.zeros(8000, dtype=torch.float64))).all()
    assert not ours(torch.zeros(8000, dtype=torch.float64)).any()
    # its frequencies end at half the rate, where the last bin of an odd frame does not lie
    odd = SpectralCentroid(sample_rate=16000, n_fft=101, hop_length=40, pad_mode="reflect")
    expected = librosa.feature.spectral_centroid(y=y, sr=16000, n_fft=101, hop_length=40, pad_mode="reflect")
    assert oracle.relative_error(odd(x), expected) <= EXACT
    assert oracle.relative_error(Theirs(16000, n_fft=101, hop_length=40).double()(x), expected[0]) > 0.005
