"""Gammatone filters, PCEN, SincNet's and LEAF's first layers against the references that define them.

float64: 1e-10 relative L2. float32: the tolerance stands beside each test.
"""

from __future__ import annotations

import warnings

import librosa
import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiofeed.signal.auditory.gammatone import gammatone_filterbank, gammatone_frequencies, gammatone_response
from audiofeed.signal.auditory.sinc import sinc_filters
from audiofeed.transforms.auditory.gammatone import Gammatonegram
from audiofeed.transforms.auditory.leaf import GaborFilterbank
from audiofeed.transforms.auditory.pcen import PCEN
from audiofeed.transforms.auditory.sinc import SincFilterbank
from tests.oracle import relative_error, stft

# ---------------------------------------------------------------- gammatone


def test_responses_are_those_of_scipys_gammatone():
    """scipy multiplies Slaney's sections out to one polynomial of degree 8, which is exact enough at high centres."""
    sample_rate = 16000
    centre = gammatone_frequencies(30, f_min=800.0, f_max=8000.0)
    at = np.linspace(0, 8000, 300)
    ours = gammatone_response(at, centre, sample_rate=sample_rate, width=1.0)
    for frequency, response in zip(centre, ours, strict=True):
        b, a = scipy.signal.gammatone(frequency, "iir", fs=sample_rate)
        expected = np.abs(scipy.signal.freqz(b, a, at, fs=sample_rate)[1])
        assert relative_error(response, expected) <= 1e-7


@pytest.mark.parametrize("frequency", [60.0, 200.0, 1000.0, 3000.0])
def test_responses_are_those_of_the_gammatone_itself(frequency):
    """The spectrum of t^3 exp(-2 pi 1.019 ERB t) cos(2 pi f t), which Slaney's sections approach: within 2 %."""
    sample_rate, length = 16000, 16000
    t = np.arange(length) / sample_rate
    erb = 24.7 * (4.37 * frequency / 1000 + 1)
    impulse = t**3 * np.exp(-2 * np.pi * 1.019 * erb * t) * np.cos(2 * np.pi * frequency * t)
    spectrum = np.abs(np.fft.rfft(impulse))
    expected = spectrum / spectrum[round(frequency)]
    ours = gammatone_response(np.arange(length // 2 + 1), np.array([frequency]), sample_rate=sample_rate, width=1.0)[0]
    assert relative_error(ours, expected) <= 0.02


def test_centres_are_evenly_spaced_in_erbs():
    def erbs(f):  # Glasberg and Moore (1990), eq. 4
        return 21.4 * np.log10(4.37 * f / 1000 + 1)

    steps = np.diff(erbs(gammatone_frequencies(40, f_min=50.0, f_max=8000.0)))
    # their 4.37 / kHz and Slaney's 1 / (9.26449 * 24.7) agree to four digits
    np.testing.assert_allclose(steps, (erbs(8000.0) - erbs(50.0)) / 40, rtol=1e-3)


@settings(max_examples=60)
@given(
    n_fft=st.integers(16, 600),
    hop=st.integers(1, 700),
    length=st.integers(1, 4000),
    n_bins=st.integers(1, 40),
    f_min=st.sampled_from([0.0, 50.0, 300.0]),
    power=st.sampled_from([1.0, 2.0]),
    pad_mode=st.sampled_from(["constant", "reflect"]),
    method=st.sampled_from(["fft", "conv"]),
    seed=st.integers(0, 2**16),
)
def test_gammatonegram_is_librosas_powers_through_the_filters(
    n_fft, hop, length, n_bins, f_min, power, pad_mode, method, seed
):
    y = np.random.default_rng(seed).standard_normal(length)
    powers = np.abs(stft(y, n_fft=n_fft, hop_length=hop, pad_mode=pad_mode)) ** power
    weights = gammatone_filterbank(sample_rate=16000, n_fft=n_fft, n_bins=n_bins, f_min=f_min)
    expected = weights @ powers
    transform = Gammatonegram(
        sample_rate=16000, n_fft=n_fft, hop_length=hop, n_bins=n_bins, f_min=f_min, power=power, pad_mode=pad_mode,
        method=method,
    )  # fmt: skip
    # a Hann window begins with 0: of a clip of a few samples only rounding may be left, that of the samples themselves
    scale = max(np.linalg.norm(expected), 1e-6 * np.linalg.norm(np.abs(y) ** power))
    # float32: that of the spectrum, 2e-6 of its magnitude, counts `power` times in its power
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 4e-6)):
        ours = transform(torch.from_numpy(y).to(dtype)).numpy()
        assert np.linalg.norm(ours - expected) <= tolerance * scale


@pytest.mark.parametrize("weighting", ["magnitude", "power"])
def test_norms_are_areas_and_p_norms_of_the_same_filters(weighting):
    settings = {"sample_rate": 16000, "n_fft": 512, "n_bins": 30, "weighting": weighting}
    plain = gammatone_filterbank(**settings)
    of_norm = {norm: gammatone_filterbank(**settings, norm=norm) for norm in ("slaney", "n_fft", 1.0, 3.0, np.inf)}
    np.testing.assert_allclose(of_norm["n_fft"], plain / 512)
    # a bin is 16000 / 512 Hz wide
    np.testing.assert_allclose(of_norm["slaney"].sum(axis=1) * 16000 / 512, 1.0)
    for p in (1.0, 3.0):
        np.testing.assert_allclose((of_norm[p] ** p).sum(axis=1), 1.0)
    np.testing.assert_allclose(of_norm[np.inf].max(axis=1), 1.0)
    for filters in of_norm.values():
        factor = filters / plain
        np.testing.assert_allclose(factor, np.broadcast_to(factor[:, :1], factor.shape), rtol=1e-9)


@pytest.mark.torchaudio
@pytest.mark.parametrize("sample_rate", [16000, 22050, 44100])
@pytest.mark.parametrize(("n_fft", "n_bins"), [(2048, 64), (400, 40), (512, 128)])
def test_filters_are_those_of_nnaudio(sample_rate, n_fft, n_bins):
    """To the rounding of nnAudio's, which are kept in float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nnAudio2.librosa_functions import get_gammatone

    theirs = get_gammatone(sample_rate, n_fft, n_bins, 20.0, None)
    ours = gammatone_filterbank(sample_rate=sample_rate, n_fft=n_fft, n_bins=n_bins, f_min=20.0, norm="n_fft")
    np.testing.assert_allclose(theirs, ours, rtol=3e-7)


@pytest.mark.torchaudio
def test_gammatonegram_equals_nnaudios_and_what_that_ignores_has_an_effect_here():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nnAudio2 import features

    y = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 22050))).float()
    base = {"sr": 22050, "n_fft": 1024, "hop_length": 256, "n_bins": 48, "fmin": 30.0, "verbose": False}
    theirs = features.Gammatonegram(**base)(y).numpy()
    same = {"sample_rate": 22050, "n_fft": 1024, "hop_length": 256, "n_bins": 48, "f_min": 30.0, "pad_mode": "reflect"}
    ours = Gammatonegram(**same, norm="n_fft")(y.double()).numpy()
    # float32 of theirs: an STFT by convolution with 1024 taps, squared
    assert relative_error(theirs, ours) <= 2e-6
    # accepted and without any effect there; honest here, or not there to be given
    for ignored in ({"norm": None}, {"norm": np.inf}, {"htk": True}):
        assert np.array_equal(features.Gammatonegram(**base, **ignored)(y).numpy(), theirs)
    for norm in (None, "slaney", float("inf"), 1.0):
        assert relative_error(Gammatonegram(**same, norm=norm)(y.double()).numpy(), ours) > 0.1
    with pytest.raises(TypeError, match="htk"):
        Gammatonegram(**same, htk=True)


def test_weighting_by_power_is_the_energy_that_leaves_the_filter():
    """Noise through Slaney's filter in time, against its spectrum weighed: no FFT of ours, no matrix of ours."""
    sample_rate = 16000
    y = np.random.default_rng(0).standard_normal(sample_rate * 8)
    transform = Gammatonegram(
        sample_rate=sample_rate, n_fft=2048, hop_length=512, n_bins=6, f_min=1000.0, window="hann", weighting="power"
    )
    gathered = transform(torch.from_numpy(y)).mean(-1).numpy()
    # Parseval: a frame's |STFT|^2 over both halves of the spectrum sums to n_fft * sum(window^2) * mean square
    per_square = 2048 * np.sum(scipy.signal.get_window("hann", 2048) ** 2) / 2
    for frequency, energy in zip(transform.frequencies.tolist(), gathered, strict=True):
        b, a = scipy.signal.gammatone(frequency, "iir", fs=sample_rate)
        expected = np.mean(scipy.signal.lfilter(b, a, y) ** 2)
        # 251 frames of noise, each counted about four times: a few per cent
        assert abs(energy / per_square / expected - 1) <= 0.03


# ---------------------------------------------------------------- PCEN


@st.composite
def pcen_settings(draw):
    return {
        "hop_length": draw(st.sampled_from([1, 160, 512, 3000])),
        "gain": draw(st.sampled_from([0.0, 0.5, 0.8, 0.98, 1.3])),
        "bias": draw(st.sampled_from([0.0, 1e-3, 2.0, 10.0])),
        "power": draw(st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0, 1.5])),
        "time_constant": draw(st.sampled_from([0.01, 0.4, 3.0])),
        "eps": draw(st.sampled_from([1e-6, 1e-3, 10.0])),
        "b": draw(st.sampled_from([None, None, 0.01, 0.5, 1.0])),
        "max_size": draw(st.sampled_from([1, 1, 2, 3, 4, 7, 40])),
    }


@settings(max_examples=100)
@given(
    setting=pcen_settings(),
    bins=st.integers(1, 20),
    n_frames=st.one_of(st.integers(1, 70), st.integers(1, 1200)),
    scale=st.sampled_from([1e-6, 1.0, 1e6, 2.0**31]),
    seed=st.integers(0, 2**16),
)
def test_pcen_equals_librosa(setting, bins, n_frames, scale, seed):
    spectrogram = np.random.default_rng(seed).standard_normal((2, bins, n_frames)) ** 2 * scale
    spectrogram[:, :, n_frames // 2 : n_frames // 2 + 3] = 0
    with np.errstate(divide="ignore"):  # librosa takes the logarithm of 0 where bias is 0
        expected = librosa.pcen(spectrogram, sr=16000, max_axis=-2, **setting)
    transform = PCEN(sample_rate=16000, **setting)
    x = torch.from_numpy(spectrogram)
    size = np.linalg.norm(expected)
    with_graph = transform(x.clone().requires_grad_()).detach()
    for ours in (transform(x), with_graph):
        assert np.linalg.norm(ours.numpy() - expected) <= 1e-10 * size
    # float32: the average is a sum of up to 32 positive terms a level, 2e-6; it counts `gain` times, its logarithm (up
    # to 45 here, rounded to 6e-8 of itself) 3e-6 times `gain`, and all that `power` times
    limit = 1e-6 + (2e-6 + 3e-6) * max(1.0, setting["gain"]) * max(1.0, setting["power"])
    assert np.linalg.norm(transform(x.float()).numpy() - expected) <= limit * size


def test_pcen_of_each_clip_starts_as_librosas():
    """Without centring or warm-up: the first frame shows the initial state."""
    spectrogram = np.random.default_rng(0).random((4, 1)) * 1e-3
    expected = librosa.pcen(spectrogram, sr=22050)
    assert relative_error(PCEN(sample_rate=22050)(torch.from_numpy(spectrogram)).numpy(), expected) <= 1e-12
    first = PCEN(sample_rate=22050, initial="first")(torch.from_numpy(spectrogram)).numpy()
    # M of the first frame is that frame
    np.testing.assert_allclose(first, np.sqrt(spectrogram / (1e-6 + spectrogram) ** 0.98 + 2) - np.sqrt(2), rtol=1e-9)


@pytest.mark.parametrize("trainable", [{}, {"trainable": True}, {"trainable": True, "n_bins": 5}], ids=str)
def test_trained_pcen_starts_as_librosas(trainable):
    spectrogram = np.random.default_rng(0).random((5, 300)) * 1e4
    expected = librosa.pcen(spectrogram, sr=16000, hop_length=160)
    ours = PCEN(sample_rate=16000, hop_length=160, **trainable)(torch.from_numpy(spectrogram))
    # parameters are float32: 1e-7 of a setting, through a logarithm of up to 10
    assert relative_error(ours.detach().numpy(), expected) <= (3e-6 if trainable else 1e-12)


@pytest.mark.parametrize("settings", [{}, {"max_size": 3}, {"initial": "first"}, {"trainable": True, "n_bins": 6}])
@pytest.mark.parametrize("cuts", [(1,), (31, 33, 200), (150,)])
def test_a_stream_is_the_whole(settings, cuts):
    x = torch.from_numpy(np.random.default_rng(0).random((3, 6, 300)) * 100)
    transform = PCEN(sample_rate=16000, hop_length=160, **settings)
    whole = transform(x)
    state, parts = None, []
    for chunk in torch.tensor_split(x, cuts, dim=-1):
        part, state = transform.stream(chunk, state)
        assert state.shape == (3, 6)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, -1), whole, rtol=1e-12, atol=1e-12)


# ---------------------------------------------------------------- SincNet


def slow_correlation(y, filters, hop, center, pad_mode="constant"):
    """The definition, in float64: each frame times each filter."""
    taps = filters.shape[-1]
    if center:
        y = np.pad(y, taps // 2, mode={"constant": "constant", "reflect": "reflect"}[pad_mode])
    y = np.pad(y, (0, max(0, taps - len(y))))
    frames = np.lib.stride_tricks.sliding_window_view(y, taps)[::hop]
    return filters @ frames.T


@settings(max_examples=60)
@given(
    taps=st.integers(1, 80).map(lambda n: 2 * n + 1),
    hop=st.integers(1, 12),
    n_filters=st.integers(1, 8),
    length=st.integers(1, 1500),
    center=st.booleans(),
    pad_mode=st.sampled_from(["constant", "reflect"]),
    norm=st.sampled_from(["peak", None]),
    seed=st.integers(0, 2**16),
)
def test_sinc_filterbank_is_windowed_band_passes(taps, hop, n_filters, length, center, pad_mode, norm, seed):
    """Against scipy.signal.firwin, slid along the clip by hand."""
    y = np.random.default_rng(seed).standard_normal(length)
    transform = SincFilterbank(
        sample_rate=16000, n_filters=n_filters, win_length=taps, hop_length=hop, norm=norm, center=center,
        pad_mode=pad_mode, trainable=False,
    )  # fmt: skip
    cutoffs = transform.cutoffs.numpy()
    filters = np.stack(
        [
            scipy.signal.firwin(taps, edges, window="hamming", pass_zero=False, scale=False, fs=16000)
            / (2 * (edges[1] - edges[0]) / 16000 if norm == "peak" else 1)
            for edges in cutoffs.T
        ]
    )
    expected = slow_correlation(y, filters, hop, center, pad_mode)
    # a few samples under the last taps give next to nothing; the rounding of an FFT is that of samples times taps
    scale = max(np.linalg.norm(expected), 0.1 * np.linalg.norm(y) * np.linalg.norm(filters))
    # float32: an FFT of 512 to 1024 samples and back loses 1e-7 of the largest, a dot product of 161 taps as much
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 3e-6)):
        ours = transform(torch.from_numpy(y).to(dtype)).numpy()
        assert ours.shape == expected.shape
        assert np.linalg.norm(ours - expected) <= tolerance * scale


def test_sinc_filters_pass_their_band_and_start_where_sincnets_do():
    transform = SincFilterbank(sample_rate=16000, norm=None, win_length=1025, n_filters=20)
    low, high = transform.cutoffs.detach().numpy()
    # Ravanelli's initial values, in mel of 2595 log10(1 + f / 700): his `low_hz_` and `band_hz_`
    edges = 700 * (10 ** (np.linspace(2595 * np.log10(1 + 30 / 700), 2595 * np.log10(1 + 7900 / 700), 21) / 2595) - 1)
    # parameters are float32; the very top begins a ten-thousandth of its span inside
    np.testing.assert_allclose(low, 50 + edges[:-1], rtol=1e-5)
    np.testing.assert_allclose(high, np.minimum(50 + edges[:-1] + 50 + np.diff(edges), 8000), rtol=2e-4)
    filters = sinc_filters(np.stack([low, high]), sample_rate=16000, win_length=1025, norm=None)
    at, gains = scipy.signal.freqz(filters[9], worN=4000, fs=16000)
    inside, outside = (at > low[9] + 60) & (at < high[9] - 60), (at < low[9] - 60) | (at > high[9] + 60)
    np.testing.assert_allclose(np.abs(gains[inside]), 1, atol=0.01)
    assert np.abs(gains[outside]).max() < 0.01


# ---------------------------------------------------------------- LEAF


def plain_leaf(y, transform):
    """The published layers one after another, every tap by hand, in float64 (before compression)."""
    taps, hop = transform.win_length, transform.hop_length
    reach = taps // 2
    t = np.arange(-reach, reach + 1)
    energies = []
    centres, deviations = transform.centres.detach().numpy(), transform.deviations.detach().numpy()
    for centre, deviation, width in zip(centres, deviations, transform.pool_widths.tolist(), strict=True):
        gabor = np.exp(2j * np.pi * centre * t - t**2 / (2 * deviation**2)) / (np.sqrt(2 * np.pi) * deviation)
        energy = np.abs(np.convolve(y, gabor)[reach : reach + len(y)]) ** 2
        pool = np.exp(-0.5 * (t / (width * 0.5 * (taps - 1))) ** 2)
        energies.append(np.convolve(energy, pool)[reach : reach + len(y) : hop])
    return np.stack(energies)


@settings(max_examples=60)
@given(
    taps=st.integers(2, 60).map(lambda n: 2 * n + 1),
    hop=st.integers(1, 150),
    n_filters=st.integers(1, 6),
    length=st.integers(1, 2500),
    trainable=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_gabor_filterbank_is_leafs_layers(taps, hop, n_filters, length, trainable, seed):
    y = np.random.default_rng(seed).standard_normal(length)
    transform = GaborFilterbank(
        sample_rate=16000, n_filters=n_filters, win_length=taps, hop_length=hop, compression=None, floor=1e-30,
        trainable=trainable,
    )  # fmt: skip
    expected = plain_leaf(y, transform)
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 3e-6)):
        # float32: an FFT there and back, 5e-7 of the largest response, counts twice in its square
        x = torch.from_numpy(y).to(dtype)
        with torch.no_grad():
            ours = transform(x).numpy()
        assert ours.shape == expected.shape == (n_filters, -(-length // hop))
        assert relative_error(ours, expected) <= tolerance
        assert relative_error(transform(x.clone().requires_grad_()).detach().numpy(), expected) <= tolerance


def test_gabor_filterbank_compresses_as_leaf():
    """PCEN of the paper's start: an average that begins with the first frame, floors of 1e-5 and 1e-12."""
    y = np.random.default_rng(0).standard_normal(8000) * np.linspace(0, 1, 8000)
    plain = GaborFilterbank(sample_rate=16000, compression=None, trainable=False, n_filters=8)
    energies = plain(torch.from_numpy(y)).numpy()
    assert relative_error(energies, np.maximum(plain_leaf(y, plain), 1e-5)) <= 1e-10
    average, expected = energies[:, 0], []
    for frame in energies.T:
        average = 0.04 * frame + 0.96 * average
        expected.append((frame / (1e-12 + average) ** 0.96 + 2) ** 0.5 - 2**0.5)
    for trainable in (False, True):
        ours = GaborFilterbank(sample_rate=16000, trainable=trainable, n_filters=8)(torch.from_numpy(y))
        # float32 parameters: 2e-7 of a frequency is 2e-4 radians at the ends of a filter of 200 samples' reach
        assert relative_error(ours.detach().numpy(), np.array(expected).T) <= (1e-4 if trainable else 1e-10)
    logs = GaborFilterbank(sample_rate=16000, trainable=False, n_filters=8, compression="log")(torch.from_numpy(y))
    np.testing.assert_allclose(logs.numpy(), np.log(energies), rtol=1e-9)


def test_gabor_filters_start_as_wide_as_mel_filters():
    """Half of the peak of a Gabor filter's response lies where the root of a mel filter has half of its own."""
    transform = GaborFilterbank(sample_rate=16000, n_filters=40)
    mel = librosa.filters.mel(sr=16000, n_fft=16000, n_mels=40, fmin=60, fmax=7800, htk=True, norm=None)
    root = np.sqrt(mel)
    np.testing.assert_allclose(transform.frequencies.numpy(), root.argmax(axis=1), atol=1.0)
    widths = (root >= root.max(axis=1, keepdims=True) / 2).sum(axis=1)
    f = np.linspace(0, 0.5, 100_001)
    for centre, deviation, width in zip(transform.centres.tolist(), transform.deviations.tolist(), widths, strict=True):
        response = np.exp(-2 * (np.pi * deviation * (f - centre)) ** 2)
        assert abs((response >= 0.5).sum() * 0.08 - width) <= 2.5  # bins of 0.08 Hz and of 1 Hz
