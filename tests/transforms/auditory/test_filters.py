"""Filters given as a matrix, Kaldi's mel filters, and filters by center frequency and bandwidth."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import audiofeed as af
from audiofeed.signal import gaussian_filters, mel_filterbank, mel_frequencies, rectangular_filters, triangular_filters
from tests.signals import noise, single_noise

FRAMES = {"sample_rate": 8000, "n_fft": 128, "hop_length": 32}
BANK = np.random.default_rng(0).random((7, 65)) * (np.random.default_rng(1).random((7, 65)) > 0.8)

# every class that takes mel filters, with settings that suit any number of them
TAKES_MEL = {
    "mel": (af.MelSpectrogram, {}),
    "log": (af.LogMelSpectrogram, {"floor": 1e-6}),
    "mfcc": (af.MFCC, {"n_mfcc": 5}),
    "onset": (af.OnsetStrength, {}),
}


@pytest.mark.parametrize("name", TAKES_MEL)
def test_mel_filters_given_as_a_matrix_are_those_filters(name):
    cls, more = TAKES_MEL[name]
    bank = mel_filterbank(sample_rate=8000, n_fft=128, n_mels=12, f_min=50.0)
    expected = cls(**FRAMES, **more, n_mels=12, f_min=50.0)
    x, lengths = single_noise(3, 900), torch.tensor([900, 431, 90])
    for given_bank in (bank, torch.from_numpy(bank), np.asfortranarray(bank)):
        found = cls(**FRAMES, **more, filters=given_bank)
        assert torch.equal(found(x, lengths), expected(x, lengths))
        assert torch.equal(found(x.double()), expected(x.double()))
        assert found.n_mels == 12
        assert (found.f_min, found.f_max, found.mel_scale) == (None, None, None)
        assert np.array_equal(found.filters, bank)
        assert "filters=<12 x 65 values>" in repr(found)
        for other in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
            assert torch.equal(other(x), found(x))


@pytest.mark.parametrize("x", [noise(2, 900), single_noise(2, 900)], ids=["float64", "float32"])
@pytest.mark.parametrize("bank", [BANK, np.abs(noise(7, 65).numpy()), np.eye(65)[5:9]], ids=["sparse", "dense", "bins"])
def test_a_matrix_weighs_the_powers(bank, x):
    powers = af.Spectrogram(128, hop_length=32)(x.double())
    expected = torch.from_numpy(bank) @ powers
    limit = {"rtol": 1e-10, "atol": 1e-10} if x.dtype == torch.float64 else {"rtol": 1e-5, "atol": 1e-4}
    torch.testing.assert_close(af.MelSpectrogram(**FRAMES, filters=bank)(x).double(), expected, **limit)
    logs = af.LogMelSpectrogram(**FRAMES, filters=bank, floor=1e-3)(x).double()
    torch.testing.assert_close(logs, expected.clamp(min=1e-3).log(), rtol=1e-5, atol=1e-5)


def test_filters_may_be_trained_and_inverted():
    x = single_noise(2, 900)
    trained = af.MelSpectrogram(**FRAMES, filters=BANK, trainable_mel=True)
    torch.testing.assert_close(trained(x), af.MelSpectrogram(**FRAMES, filters=BANK)(x), rtol=1e-4, atol=1e-3)
    trained(x).sum().backward()
    assert trained.mel.grad.shape == (7, 65)
    with torch.no_grad():
        trained.mel.zero_()
    trained.reset_parameters()
    np.testing.assert_allclose(trained.mel.detach(), BANK, rtol=1e-6)
    spectrum = noise(65, 9).square()
    inverse = af.InverseMel(sample_rate=8000, n_fft=128, filters=np.eye(65))
    torch.testing.assert_close(inverse(spectrum), spectrum)


def test_what_filters_stand_for_is_not_known():
    mel = af.LogMelSpectrogram(**FRAMES, filters=BANK)
    assert not hasattr(mel, "frequencies")
    with pytest.raises(AttributeError, match="frequencies are not known of filters= that were given"):
        _ = mel.frequencies
    batch = af.GPUSpecCollate(mel, device="cpu")([(single_noise(400), 8000, 0)])
    assert batch.features.shape == (1, 7, 13)


def test_modules_with_other_filters_do_not_share_them():
    """Filters of equal settings are made once, and a matrix is a setting by its values."""
    x = noise(2, 400)
    one, two = af.MelSpectrogram(**FRAMES, filters=BANK), af.MelSpectrogram(**FRAMES, filters=2 * BANK)
    torch.testing.assert_close(two(x), 2 * one(x))
    changed = BANK.copy()
    kept = af.MelSpectrogram(**FRAMES, filters=changed)
    changed[:] = 0
    assert torch.equal(kept(x), one(x))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"filters": BANK, "n_mels": 8}, "n_mels=8 describes mel filters, and filters= gives 7 others"),
        ({"filters": BANK, "f_min": 20.0}, r"f_min=20\.0 describes mel filters"),
        ({"filters": BANK, "f_max": 3000.0}, r"f_max=3000\.0 describes mel filters"),
        ({"filters": BANK, "mel_scale": "htk"}, "mel_scale='htk' describes mel filters"),
        ({"filters": BANK, "norm": None}, "norm=None describes mel filters"),
        ({"filters": BANK[:, :64]}, r"filters has shape \(7, 64\), and must be \(n, n_fft // 2 \+ 1\) = \(n, 65\)"),
        ({"filters": BANK[0]}, r"filters has shape \(65,\)"),
        ({"filters": BANK[:0]}, r"filters has shape \(0, 65\)"),
        ({"filters": np.full((2, 65), np.nan)}, "filters must be finite"),
        ({"filters": BANK * 1j}, "filters=.* must be real numbers, .*a row of weights for each filter"),
        ({"filters": torch.from_numpy(BANK) * 1j}, "filters=tensor.* must be real numbers"),
        ({"filters": [[1.0], [1.0, 2.0]]}, r"filters=\[\[1\.0\], .* must be real numbers"),
        ({"filters": "mel"}, "filters='mel' must be real numbers"),
        ({"mel_scale": "kaldi"}, "norm='slaney' must be None with mel_scale='kaldi'.*pass norm=None"),
    ],
)
def test_what_does_not_go_together_is_named(more, message):
    with pytest.raises(ValueError, match=message):
        af.LogMelSpectrogram(**FRAMES, **more)


def test_the_norm_is_named_as_the_class_has_it():
    with pytest.raises(ValueError, match="mel_norm=None describes mel filters"):
        af.MFCC(**FRAMES, n_mfcc=3, filters=BANK, mel_norm=None)
    with pytest.raises(ValueError, match="pass mel_norm=None"):
        af.MFCC(**FRAMES, mel_scale="kaldi")
    assert af.MFCC(**FRAMES, n_mfcc=3, filters=BANK).mel_norm is None
    with pytest.raises(ValueError, match="filters must have a weight that is not 0"):
        af.InverseMel(sample_rate=8000, n_fft=128, filters=np.zeros((3, 65)))
    with pytest.warns(UserWarning, match="1 of filters=2 filters hold no bin"):
        af.MelSpectrogram(**FRAMES, filters=np.stack([np.zeros(65), -np.ones(65)]))


def test_n_mels_may_say_how_many_filters_there_are():
    assert af.LogMelSpectrogram(**FRAMES, filters=BANK, n_mels=7).n_mels == 7


# ---------------------------------------------------------------- Kaldi's


def kaldi_by_formula(sample_rate, n_fft, n_mels, f_min, f_max):
    """Bin by bin, as feat/mel-computations.cc describes it."""
    bank = np.zeros((n_mels, n_fft // 2 + 1))
    low, high = 1127 * np.log(1 + f_min / 700), 1127 * np.log(1 + f_max / 700)
    step = (high - low) / (n_mels + 1)
    for m in range(n_mels):
        left, center, right = (low + (m + k) * step for k in range(3))
        for i in range(n_fft // 2):
            mel = 1127 * np.log(1 + i * sample_rate / n_fft / 700)
            if left < mel < right:
                bank[m, i] = (mel - left) / (center - left) if mel <= center else (right - mel) / (right - center)
    return bank


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_kaldis_filters_are_those_of_its_formula(data):
    rate = data.draw(st.sampled_from([8000, 16000, 22050, 32000]))
    n_fft = data.draw(st.integers(2, 600))
    n_mels = data.draw(st.integers(1, 60))
    f_min = data.draw(st.floats(0, rate / 8))
    # an odd n_fft has a last bin below half the rate, which Kaldi does not use either
    f_max = data.draw(st.one_of(st.just(rate / 2), st.floats(rate / 4, rate / 2)))
    given_settings = {"sample_rate": rate, "n_fft": n_fft, "n_mels": n_mels, "f_min": f_min, "f_max": f_max}
    found = mel_filterbank(**given_settings, mel_scale="kaldi", norm=None)
    np.testing.assert_allclose(found, kaldi_by_formula(rate, n_fft, n_mels, f_min, f_max), rtol=0, atol=1e-10)
    assert np.all(found[:, -1] == 0)


@pytest.mark.torchaudio
def test_kaldis_filters_are_torchaudios_of_its_fbank():
    from torchaudio.compliance.kaldi import get_mel_banks

    for n_mels, n_fft, rate, low, high in ((128, 512, 16000, 20.0, 8000.0), (80, 512, 16000, 20.0, 7600.0),
                                           (128, 1024, 32000, 0.0, 15000.0)):  # fmt: skip
        theirs, _ = get_mel_banks(n_mels, n_fft, float(rate), low, high, 100.0, -500.0, 1.0)
        found = mel_filterbank(
            sample_rate=rate, n_fft=n_fft, n_mels=n_mels, f_min=low, f_max=high, mel_scale="kaldi", norm=None
        )
        # theirs is computed in float32
        np.testing.assert_allclose(found[:, :-1], theirs.numpy(), rtol=0, atol=2e-4)


def test_the_filters_of_a_kaldi_scale_reach_a_feature():
    x = noise(2, 900)
    bank = kaldi_by_formula(8000, 128, 12, 20.0, 4000.0)
    expected = torch.from_numpy(bank) @ af.Spectrogram(128, hop_length=32)(x)
    mel = af.MelSpectrogram(**FRAMES, n_mels=12, f_min=20.0, mel_scale="kaldi", norm=None)
    torch.testing.assert_close(mel(x), expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(mel(x.float()).double(), expected, rtol=1e-4, atol=1e-4)
    mels = 1127 * np.log1p(mel.frequencies.numpy() / 700)
    np.testing.assert_allclose(np.diff(mels), np.diff(mels)[0])
    mfcc = af.MFCC(**FRAMES, n_mels=12, n_mfcc=4, f_min=20.0, mel_scale="kaldi", mel_norm=None)
    assert torch.equal(mfcc(x), af.MFCC(**FRAMES, n_mfcc=4, filters=bank_of(mel))(x))


def bank_of(mel):
    return mel.double().mel


@pytest.mark.torchaudio
@pytest.mark.parametrize("mel_scale", ["htk", "slaney"])
@pytest.mark.parametrize("norm", [None, "slaney"])
def test_other_mel_filters_are_torchaudios(mel_scale, norm):
    import torchaudio

    theirs = torchaudio.functional.melscale_fbanks(257, 20.0, 7600.0, 40, 16000, norm=norm, mel_scale=mel_scale)
    found = mel_filterbank(
        sample_rate=16000, n_fft=512, n_mels=40, f_min=20.0, f_max=7600.0, mel_scale=mel_scale, norm=norm
    )
    np.testing.assert_allclose(found, theirs.T.numpy(), rtol=0, atol=2e-5 * found.max())


# ---------------------------------------------------------------- by center and bandwidth


def by_slopes(center, bandwidth, frequencies, shape):
    """One filter and one bin at a time, with a slope on either side."""
    bank = np.zeros((len(center), len(frequencies)))
    for m, (c, b) in enumerate(zip(center, bandwidth, strict=True)):
        for i, f in enumerate(frequencies):
            slope = (f - c) / b
            if shape == "triangular":
                bank[m, i] = max(0.0, min(slope + 1.0, -slope + 1.0))
            elif shape == "rectangular":
                bank[m, i] = float(c - b <= f <= c + b)
            else:
                bank[m, i] = np.exp(-0.5 * ((f - c) / (b / 2)) ** 2)
    return bank


@pytest.mark.parametrize(
    ("shape", "function"),
    [("triangular", triangular_filters), ("rectangular", rectangular_filters), ("gaussian", gaussian_filters)],
)
def test_filters_by_center_and_bandwidth_are_speechbrains(shape, function):
    points = mel_frequencies(42, f_min=0.0, f_max=8000.0, mel_scale="htk")
    center, bandwidth = points[1:-1], np.diff(points)[:-1]
    expected = by_slopes(center, bandwidth, np.linspace(0, 8000, 201), shape)
    found = function(center, bandwidth, sample_rate=16000, n_fft=400)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
    one = function([1000.0, 3000.0], 500.0, sample_rate=16000, n_fft=400)
    np.testing.assert_array_equal(one, function([1000.0, 3000.0], [500.0, 500.0], sample_rate=16000, n_fft=400))
    mel = af.LogMelSpectrogram(sample_rate=16000, n_fft=400, hop_length=160, filters=found, floor=1e-3)
    x = noise(2, 4000)
    powers = torch.from_numpy(expected) @ af.Spectrogram(400, hop_length=160)(x)
    torch.testing.assert_close(mel(x), powers.clamp(min=1e-3).log(), rtol=1e-10, atol=1e-10)


def test_a_gaussian_may_be_wider():
    found = gaussian_filters([2000.0], 1000.0, sample_rate=8000, n_fft=8, factor=1.0)
    np.testing.assert_allclose(found[0], np.exp(-0.5 * np.array([2.0, 1, 0, 1, 2]) ** 2))


@pytest.mark.parametrize(
    ("center", "bandwidth", "message"),
    [
        ([], 100.0, "center=.* must be one or more finite frequencies"),
        ([np.nan], 100.0, "center=.* must be one or more finite frequencies"),
        ([100.0, 200.0, 300.0], [1.0, 2.0], "bandwidth has 2 values, and must have one, or one for each of 3 centers"),
        ([100.0], 0.0, r"bandwidth=0\.0 must be finite numbers of Hz > 0"),
        ([100.0], np.inf, "bandwidth=inf must be finite"),
    ],
)
@pytest.mark.parametrize("function", [triangular_filters, rectangular_filters, gaussian_filters])
def test_wrong_centers_and_bandwidths_are_named(function, center, bandwidth, message):
    with pytest.raises(ValueError, match=message):
        function(center, bandwidth, sample_rate=8000, n_fft=64)


def test_a_wrong_factor_is_named():
    with pytest.raises(ValueError, match=r"factor=0\.0 must be"):
        gaussian_filters([100.0], 10.0, sample_rate=8000, n_fft=64, factor=0.0)
