"""Responses of filters, against what the transforms give for sines."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import audiofeed as af
from audiofeed.signal.filter_responses import kernel_gains


def sine(hertz: float, rate: float, samples: int) -> torch.Tensor:
    return torch.cos(2 * torch.pi * hertz * torch.arange(samples, dtype=torch.float64) / rate)


@pytest.mark.parametrize("taps", [1, 2, 3, 100, 251])
@pytest.mark.parametrize("is_complex", [False, True])
def test_gains_are_those_of_the_definition(taps, is_complex):
    random = np.random.default_rng(taps)
    kernels = random.standard_normal((3, taps)) + (1j * random.standard_normal((3, taps)) if is_complex else 0)
    cycles = random.uniform(0, 0.5, 40)
    waves = np.exp(2j * np.pi * np.outer(np.arange(taps), cycles))
    above, below = np.abs(kernels @ waves), np.abs(kernels @ waves.conj())
    want = np.sqrt(above**2 + below**2) / 2 if is_complex else above
    # white noise fills all of the lags that the interpolation is for, which a windowed kernel does not
    np.testing.assert_allclose(kernel_gains(kernels, cycles), want, atol=2e-3 * want.max())


@pytest.mark.parametrize(
    "transform",
    [
        af.CQT(sample_rate=8000, n_bins=48),
        af.CQT(sample_rate=8000, n_bins=24, f_min=200.0, method="conv", normalization="wrap"),
        af.CQT(sample_rate=8000, n_bins=48, method="exact"),
        af.CQT(sample_rate=8000, n_bins=36, f_min=60.0, hop_length=100, scale=False, trainable=True),
        af.VQT(sample_rate=8000, n_bins=48, gamma=10.0),
    ],
    ids=["octaves", "conv", "exact", "trained", "variable"],
)
def test_a_constant_q_bin_gives_for_a_sine_what_its_response_says(transform):
    if transform.trainable:
        with torch.no_grad():
            transform.kernels.mul_(1.2)
    responses = transform.filter_responses()
    assert responses.logarithmic
    assert responses.values.shape == (transform.n_bins, len(responses.frequencies))
    for i in np.random.default_rng(0).integers(50, len(responses.frequencies) - 5, 4):
        features = transform(sine(responses.frequencies[i], 8000, 40_000)).detach().numpy()
        middle = features[:, features.shape[1] // 3 : 2 * features.shape[1] // 3]
        got = np.sqrt((middle**2).mean(-1))
        np.testing.assert_allclose(got, responses.values[:, i], atol=1e-4 * responses.values.max())


def test_each_bin_answers_its_own_frequency_most():
    transform = af.CQT(sample_rate=8000, n_bins=48)
    responses = transform.filter_responses()
    peaks = responses.frequencies[responses.values.argmax(axis=1)]
    np.testing.assert_allclose(peaks, transform.frequencies.numpy(), rtol=2e-3)


@pytest.mark.parametrize("trainable", [False, True])
def test_a_sinc_filter_gives_for_a_sine_what_its_response_says(trainable):
    transform = af.SincFilterbank(sample_rate=8000, n_filters=12, trainable=trainable)
    if trainable:
        with torch.no_grad():
            transform.raw_low.mul_(1.1)
    responses = transform.filter_responses()
    for i in (40, 200, 400):
        wave = transform(sine(responses.frequencies[i], 8000, 4000)).detach().abs()[:, 500:-500]
        # the largest of many samples is the amplitude to the share that falls between them
        np.testing.assert_allclose(wave.amax(-1), responses.values[:, i], atol=2e-3 * responses.values.max())


def test_gabor_filters_peak_at_their_centers_as_they_train():
    transform = af.GaborFilterbank(sample_rate=8000, n_filters=8)
    with torch.no_grad():
        transform.raw_centre.add_(0.1)
    responses = transform.filter_responses()
    peaks = responses.frequencies[responses.values.argmax(axis=1)]
    np.testing.assert_allclose(peaks, transform.frequencies.numpy(), atol=8)
    # the area of a filter's taps is 1, and a sine has half of its amplitude on either side of 0 Hz
    np.testing.assert_allclose(responses.values.max(axis=1), 0.5, atol=0.02)


@pytest.mark.parametrize(
    ("transform", "name", "quantity"),
    [
        (af.MelSpectrogram(sample_rate=8000, n_fft=256, power=1.0, trainable_mel=True), "mel", "weight of |X|^1"),
        (af.LogMelSpectrogram(sample_rate=8000, n_fft=512, n_mels=40), "mel", "weight of |X|^2"),
        (af.MFCC(sample_rate=8000, n_fft=512, n_mels=40), "mel", "weight of |X|^2"),
        (af.LFCC(sample_rate=8000, n_fft=256), "filters", "weight of |X|^2"),
        (af.Gammatonegram(sample_rate=8000, n_fft=256), "gammatone", "weight of |X|^2"),
        (af.Chroma(sample_rate=8000, n_fft=1024, tuning=0.1), "chroma", "weight of |X|^2"),
        (af.OnsetStrength(sample_rate=8000, n_fft=512, n_mels=40), "mel", "weight of |X|^2"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, torch.nn.Module) else None,
)
@pytest.mark.filterwarnings("ignore:.* filters .*:UserWarning")
def test_a_bank_is_shown_as_it_is_now(transform, name, quantity):
    bank = getattr(transform, name)
    with torch.no_grad():
        bank.mul_(1.5)
    responses = transform.filter_responses()
    np.testing.assert_array_equal(responses.values, bank.detach().double().numpy())
    np.testing.assert_allclose(responses.frequencies, np.linspace(0, 4000, transform.n_fft // 2 + 1))
    assert responses.quantity == quantity
    assert not responses.logarithmic


def test_a_bank_that_is_tuned_to_each_clip_is_shown_in_tune():
    tuned = af.Chroma(sample_rate=8000, n_fft=1024, ctroct=4.0, base_c=False)
    fixed = af.Chroma(sample_rate=8000, n_fft=1024, ctroct=4.0, base_c=False, tuning=0.0)
    got, want = tuned.filter_responses().values, fixed.filter_responses().values
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-9)
    wavelets = af.CQT(sample_rate=8000, n_bins=24, tuning=None).filter_responses().values
    np.testing.assert_array_equal(wavelets, af.CQT(sample_rate=8000, n_bins=24, tuning=0.0).filter_responses().values)


def test_pseudo_cqt_has_the_weights_that_it_computes_with():
    transform = af.PseudoCQT(sample_rate=8000, n_bins=48)
    responses = transform.filter_responses()
    magnitudes = torch.rand(3, transform.n_fft // 2 + 1)
    got = transform.weighted(magnitudes.clone(), None)
    np.testing.assert_allclose(got, magnitudes.double().numpy() @ responses.values.T, rtol=1e-4)


@pytest.mark.parametrize("transform", [af.STFT(256), af.RMS(), af.SpectralCentroid(sample_rate=8000)])
def test_what_has_no_filters_has_no_responses(transform):
    assert transform.filter_responses() is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: af.MelSpectrogram(sample_rate=8000, n_fft=256, n_mels=8),
        lambda: af.Chroma(sample_rate=8000, n_fft=512, tuning=0.0),
        lambda: af.SincFilterbank(sample_rate=8000, n_filters=4),
        lambda: af.GaborFilterbank(sample_rate=8000, n_filters=4),
    ],
)
def test_on_the_meta_device_there_are_none(make):
    with pytest.raises(ValueError, match="is on the meta device"):
        make().to("meta").filter_responses()
