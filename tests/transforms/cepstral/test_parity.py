"""Cepstra against librosa, scipy and torchaudio, over settings that Hypothesis draws.

float64: 1e-10 relative L2. float32, with what it is derived from, stands with each feature.
"""

from __future__ import annotations

import contextlib
import io
import warnings

import librosa
import numpy as np
import pytest
import scipy.fft
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiofeed.signal.auditory.filterbanks import bark_filterbank, linear_filterbank
from audiofeed.signal.cepstral.cepstrum import DCT_TYPES, dct_matrix, idct_matrix, lifter_weights
from audiofeed.signal.cepstral.deltas import slope_filter
from audiofeed.signal.scales import bark_to_hz, hz_to_bark
from audiofeed.transforms.auditory.mel import MelSpectrogram
from audiofeed.transforms.cepstral.coefficients import BFCC, LFCC, MFCC
from audiofeed.transforms.inverse.inverse_mfcc import InverseMFCC
from tests.oracle import random, relative_error, with_its_peaks

NORMS = ("ortho", None)
# A mel value is right to some thirty roundings, 2e-6 (see test_short_time), so that its decibels are to 10 / ln 10 of
# that; decibels of up to 100 are themselves rounded by 4e-6, and the logarithm is an ulp or two off.
DECIBELS = 2e-5


def quietly(make, *args, **kwargs):
    """Without what it prints and without a warning of empty filters."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return make(*args, **kwargs)


def exactly(make, *args, **kwargs):
    """A module of torchaudio in float64 throughout: it makes its filters in the default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return quietly(make, *args, **kwargs)
    finally:
        torch.set_default_dtype(before)


# ---------------------------------------------------------------- definitions


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dct_type", DCT_TYPES)
@settings(max_examples=30)
@given(n=st.integers(2, 200), data=st.data())
def test_cosine_transforms_equal_scipy(dct_type, norm, n, data):
    n_out = data.draw(st.integers(1, n))
    x = random(n, 3)
    for ours, theirs in (
        (dct_matrix(n_out, n, dct_type=dct_type, norm=norm), scipy.fft.dct),
        (idct_matrix(n, dct_type=dct_type, norm=norm), scipy.fft.idct),
    ):
        expected = theirs(x, axis=0, type=dct_type, norm=norm)
        # one coefficient alone may be a sum that cancels: the scale is all of them
        assert np.linalg.norm(ours @ x - expected[: len(ours)]) <= 1e-13 * np.linalg.norm(expected)


@settings(max_examples=50)
@given(half=st.integers(1, 15), order=st.integers(1, 5))
def test_slope_filters_equal_scipy(half, order):
    width = 2 * half + 1
    if order < width:
        expected = scipy.signal.savgol_coeffs(width, order, deriv=order, use="dot")
        # scipy solves the normal equations of powers up to half^order, which costs it digits
        assert relative_error(slope_filter(width, order), expected) <= 1e-9


@settings(max_examples=50)
@given(width=st.integers(1, 12), order=st.integers(1, 4))
def test_slope_filters_of_any_width_differentiate_polynomials(width, order):
    """Even widths too, which a short clip may have and scipy has not."""
    filters = slope_filter(width, order)
    t = np.arange(width)
    for degree in range(order + 1):
        expected = np.prod(np.arange(1, order + 1)) if degree == order and width > order else 0.0
        assert abs(filters @ t**degree - expected) <= 1e-9 * max(1, width**degree)


def test_bark_scales_are_the_published_formulas():
    hz = np.array([0.0, 20.0, 100.0, 500.0, 1000.0, 4000.0, 9000.0, 16000.0, 22050.0])
    plain = 26.81 * hz / (1960 + hz) - 0.53
    corrected = np.where(plain < 2, plain + 0.15 * (2 - plain), plain)
    corrected = np.where(plain > 20.1, plain + 0.22 * (plain - 20.1), corrected)
    expected = {
        "traunmuller": corrected,
        "schroeder": 7 * np.arcsinh(hz / 650),
        "wang": 6 * np.arcsinh(hz / 600),
    }
    for scale, barks in expected.items():
        np.testing.assert_allclose(hz_to_bark(hz, bark_scale=scale), barks, rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(bark_to_hz(barks, bark_scale=scale), hz, rtol=1e-10, atol=1e-9)


# ---------------------------------------------------------------- cepstra


@st.composite
def cepstra(draw):
    """Settings of MFCC that librosa has too."""
    n_mels = draw(st.integers(2, 64))
    n_fft = draw(st.sampled_from([256, 400, 512, 1001]))
    return {
        "sample_rate": draw(st.sampled_from([8000, 16000, 22050])),
        "n_fft": n_fft,
        "hop_length": draw(st.integers(40, n_fft)),
        "win_length": draw(st.one_of(st.none(), st.integers(n_fft // 2, n_fft))),
        "window": draw(st.sampled_from(["hann", "hamming", ("kaiser", 8.6)])),
        "pad_mode": draw(st.sampled_from(["constant", "reflect"])),
        "power": draw(st.sampled_from([1.0, 2.0])),
        "n_mels": n_mels,
        "n_mfcc": draw(st.integers(1, n_mels)),
        "f_min": draw(st.sampled_from([0.0, 60.0])),
        "f_max": draw(st.sampled_from([None, 3500.0])),
        "mel_scale": draw(st.sampled_from(["slaney", "htk"])),
        "mel_norm": draw(st.sampled_from(["slaney", None])),
        "dct_type": draw(st.sampled_from(DCT_TYPES)),
        "norm": draw(st.sampled_from(NORMS)),
        "lifter": draw(st.sampled_from([0, 22, 7.5])),
    }


def librosa_mfcc(y, config):
    names = {"f_min": "fmin", "f_max": "fmax", "sample_rate": "sr"}
    given = {names.get(name, name): value for name, value in config.items()}
    given["htk"] = given.pop("mel_scale") == "htk"
    return quietly(librosa.feature.mfcc, y=y, dtype=np.float64, **given)


def cosines(config):
    matrix = dct_matrix(config["n_mfcc"], config["n_mels"], dct_type=config["dct_type"], norm=config["norm"])
    return lifter_weights(config["n_mfcc"], config["lifter"])[:, None] * matrix


def size_and_limit(matrix, frames):
    """The coefficients of one decibel in every band of every frame, at most, and what float32 may be off by.

    The bands are each off by DECIBELS. A sum of n products of up to 100 dB rounds n times, by 6e-8 of what was summed.
    """
    size = np.linalg.norm(matrix, 2) * np.sqrt(matrix.shape[1] * frames)
    summed = np.linalg.norm(np.abs(matrix).sum(axis=1) * 100) * np.sqrt(frames)
    return size, DECIBELS * size + 6e-8 * matrix.shape[1] * summed


@settings(max_examples=80)
@given(config=cepstra(), length=st.integers(600, 6000), seed=st.integers(0, 99), scale=st.sampled_from([1.0, 1e-4]))
def test_mfcc_equals_librosa(config, length, seed, scale):
    # the second half is so quiet that top_db matters
    y = random(length, seed=seed, scale=scale) * np.where(np.arange(length) < length // 2, 1.0, 1e-5)
    expected = librosa_mfcc(y, config)
    transform = quietly(MFCC, **config)
    exact = transform(torch.from_numpy(y)).numpy()
    assert exact.shape == expected.shape
    # a coefficient may cancel to nothing; what it is made of is decibels
    size, limit = size_and_limit(cosines(config), expected.shape[-1])
    assert np.linalg.norm(exact - expected) <= 1e-10 * max(np.linalg.norm(expected), size)
    single = transform(torch.from_numpy(y).float()).numpy()
    assert np.linalg.norm(single - expected) <= limit


def test_mfcc_equals_librosa_clip_by_clip_in_a_padded_batch():
    lengths = torch.tensor([22050, 9000, 3001])
    batch = torch.from_numpy(random(3, 22050)) * torch.tensor([[1.0], [1e-4], [1e-2]])
    ours = MFCC(sample_rate=22050)(batch, lengths)
    for row, length in enumerate(lengths):
        expected = librosa.feature.mfcc(y=batch[row, :length].numpy(), sr=22050, dtype=np.float64)
        assert relative_error(ours[row, :, : expected.shape[-1]], expected) <= 1e-12
        assert torch.all(ours[row, :, expected.shape[-1] :] == 0)


def test_channels_of_a_clip_share_its_peak():
    """As in librosa 0.11; in 1.0 each has its own, as clips have here."""
    y = random(2, 8000) * [[1.0], [1e-6]]
    transform, x = MFCC(sample_rate=16000, n_fft=512, hop_length=128), torch.from_numpy(y)
    expected = librosa.feature.mfcc(y=y, sr=16000, n_fft=512, hop_length=128, dtype=np.float64)
    assert relative_error(with_its_peaks(transform, x), expected) <= 1e-12
    assert relative_error(transform(x[None])[0].numpy(), transform(x).numpy()) > 0.1


@pytest.mark.torchaudio
@pytest.mark.parametrize("log_mels", [False, True])
def test_mfcc_equals_torchaudio_of_one_clip(log_mels):
    from torchaudio import transforms

    theirs = exactly(
        transforms.MFCC, 16000, 13, log_mels=log_mels, melkwargs={"n_fft": 400, "hop_length": 160, "n_mels": 23}
    )
    log = {"log": "ln", "offset": 1e-6, "top_db": None} if log_mels else {}
    ours = MFCC(
        sample_rate=16000,
        n_mfcc=13,
        n_fft=400,
        hop_length=160,
        n_mels=23,
        mel_scale="htk",
        mel_norm=None,
        pad_mode="reflect",
        **log,
    )
    y = torch.from_numpy(random(16000) * np.geomspace(1, 1e-6, 16000))
    expected = theirs(y).numpy()
    assert relative_error(ours(y), expected) <= 1e-10
    # 2e-5 dB (or 5e-6 nats) in every band, of bands of some 50 dB (14 nats)
    assert relative_error(ours(y.float()), expected) <= 1e-6


@pytest.mark.torchaudio
@pytest.mark.parametrize("cepstrum", ["MFCC", "LFCC"])
def test_torchaudio_lets_a_loud_clip_change_a_quiet_one_and_ours_does_not(cepstrum):
    from torchaudio import transforms

    # a quiet clip is told by its peak (80 dB below that is nothing), and in theirs by the loud clip's
    batch = torch.from_numpy(random(2, 16000) * [[1.0], [1e-5]])
    frames = {"n_fft": 400, "hop_length": 160}
    if cepstrum == "MFCC":
        theirs = exactly(transforms.MFCC, 16000, 13, melkwargs={**frames, "n_mels": 23})
        ours = MFCC(
            sample_rate=16000, n_mfcc=13, n_mels=23, mel_scale="htk", mel_norm=None, pad_mode="reflect", **frames
        )
    else:
        theirs = exactly(transforms.LFCC, 16000, n_filter=23, n_lfcc=13, speckwargs=frames)
        ours = LFCC(sample_rate=16000, n_lfcc=13, n_filter=23, pad_mode="reflect", **frames)
    alone = theirs(batch[1]).numpy()
    assert np.abs(theirs(batch)[1].numpy() - alone).max() > 50
    assert relative_error(ours(batch)[1], alone) <= 1e-10


@pytest.mark.torchaudio
def test_nnaudio_mfcc_has_the_values_of_norm_ortho_whatever_norm_says():
    from nnAudio2 import features as nnaudio

    y = random(22050)
    mel = {"n_fft": 512, "hop_length": 128, "n_mels": 40}
    x = torch.from_numpy(y).float()
    theirs = {norm: quietly(nnaudio.MFCC, sr=22050, norm=norm, verbose=False, **mel)(x)[0] for norm in NORMS}
    for norm in NORMS:
        ours = MFCC(sample_rate=22050, norm=norm, pad_mode="reflect", **mel)(x)
        expected = librosa.feature.mfcc(y=y, sr=22050, norm=norm, pad_mode="reflect", dtype=np.float64, **mel)
        assert relative_error(ours, expected) <= 1e-6
        assert (relative_error(theirs[norm], expected) <= 1e-5) == (norm == "ortho")


@pytest.mark.torchaudio
@settings(max_examples=25)
@given(data=st.data())
def test_lfcc_equals_torchaudio_of_one_clip(data):
    from torchaudio import transforms

    n_filter = data.draw(st.integers(2, 128), "n_filter")
    n_fft = data.draw(st.sampled_from([256, 400, 512]), "n_fft")
    n_lfcc = data.draw(st.integers(1, n_filter), "n_lfcc")
    config = {
        "n_lfcc": n_lfcc,
        "n_filter": n_filter,
        "norm": data.draw(st.sampled_from(NORMS), "norm"),
        "f_min": data.draw(st.sampled_from([0.0, 100.0]), "f_min"),
        "f_max": data.draw(st.sampled_from([None, 5000.0]), "f_max"),
    }
    log_lf = data.draw(st.booleans(), "log_lf")
    frames = {"n_fft": n_fft, "hop_length": data.draw(st.integers(50, 300), "hop")}
    theirs = exactly(transforms.LFCC, 16000, log_lf=log_lf, speckwargs=frames, **config)
    log = {"log": "ln", "offset": 1e-6, "top_db": None} if log_lf else {}
    ours = quietly(LFCC, sample_rate=16000, pad_mode="reflect", **frames, **log, **config)
    y = torch.from_numpy(random(4000, seed=data.draw(st.integers(0, 99), "seed")) * np.geomspace(1, 1e-3, 4000))
    expected = theirs(y).numpy()
    size, limit = size_and_limit(dct_matrix(n_lfcc, n_filter, norm=config["norm"]), expected.shape[-1])
    assert np.linalg.norm(ours(y).numpy() - expected) <= 1e-10 * size
    assert np.linalg.norm(ours(y.float()).numpy() - expected) <= limit


def test_a_linear_filter_bank_is_even_at_odd_rates_where_torchaudio_rounds():
    """Each filter of 11 Hz is the one before it, a filter further: torchaudio puts the last bin at 11 // 2 Hz."""
    filters = linear_filterbank(sample_rate=11, n_fft=220, n_filter=10)  # filters are 0.5 Hz apart: 10 bins
    np.testing.assert_allclose(filters[1:, 10:], filters[:-1, :-10], atol=1e-12)
    assert filters.max() == pytest.approx(1.0)


def test_bfcc_is_the_definition_in_bark():
    y = random(8000)
    frames = {"n_fft": 512, "hop_length": 128}
    powers = np.abs(librosa.stft(y, **frames)) ** 2
    points = bark_to_hz(np.linspace(*hz_to_bark([50.0, 8000.0], bark_scale="wang"), 26), bark_scale="wang")
    bins = np.fft.rfftfreq(512, 1 / 16000)
    filters = np.stack([np.interp(bins, points[m : m + 3], [0, 1, 0]) for m in range(24)])
    np.testing.assert_allclose(
        bark_filterbank(sample_rate=16000, n_fft=512, n_barks=24, f_min=50, bark_scale="wang"), filters, atol=1e-12
    )
    bands = librosa.power_to_db(filters @ powers)
    expected = scipy.fft.dct(bands, axis=0, norm="ortho")[:13]
    ours = quietly(BFCC, sample_rate=16000, n_bfcc=13, n_barks=24, f_min=50.0, bark_scale="wang", **frames)
    assert relative_error(ours(torch.from_numpy(y)), expected) <= 1e-10


@settings(max_examples=60)
@given(data=st.data())
def test_inverse_mfcc_equals_librosa(data):
    n_mels = data.draw(st.integers(2, 80), "n_mels")
    n_mfcc = data.draw(st.integers(1, n_mels), "n_mfcc")
    config = {
        "dct_type": data.draw(st.sampled_from(DCT_TYPES), "dct_type"),
        "norm": data.draw(st.sampled_from(NORMS), "norm"),
        # below the number of coefficients a lifter may be 0 or negative somewhere; 0 is tested elsewhere
        "lifter": data.draw(st.sampled_from([0, 100.0, 81.5, 7.3]), "lifter"),
        "ref": data.draw(st.sampled_from([1.0, 3e-5]), "ref"),
    }
    mfcc = dct_matrix(n_mfcc, n_mels, dct_type=config["dct_type"], norm=config["norm"]) @ random(n_mels, 9, scale=20.0)
    mfcc *= lifter_weights(n_mfcc, config["lifter"])[:, None]
    expected = librosa.feature.inverse.mfcc_to_mel(mfcc, n_mels=n_mels, **config)
    transform = InverseMFCC(n_mels, **config)
    assert relative_error(transform(torch.from_numpy(mfcc)), expected) <= 1e-10
    # decibels of up to 80, summed of coefficients rounded once: 80 * 6e-8 * ln 10 / 10 and a few times that
    undone = np.abs(transform.cosines.double().numpy()[:, :n_mfcc]) @ np.abs(mfcc)
    limit = 3e-7 * max(float(undone.max()), 10.0) * np.log(10) / 10
    assert relative_error(transform(torch.from_numpy(mfcc).float()), expected) <= limit


@pytest.mark.parametrize(("log", "dct_type"), [("db", 2), ("ln", 3), ("log10", 1)])
def test_all_coefficients_give_the_mels_back(log, dct_type):
    x = torch.from_numpy(random(4000))
    mel = {"sample_rate": 8000, "n_fft": 256, "n_mels": 20}
    cepstrum = {"log": log, "dct_type": dct_type, "norm": None, "lifter": 30}
    mfcc = MFCC(n_mfcc=20, top_db=None, **cepstrum, **mel)(x)
    assert relative_error(InverseMFCC(20, **cepstrum)(mfcc), MelSpectrogram(**mel)(x).numpy()) <= 1e-12
