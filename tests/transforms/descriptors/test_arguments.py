"""A wrong argument of the descriptors, of chroma and of tempograms is named."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from audiofeed.transforms.auditory.mel import MelSpectrogram
from audiofeed.transforms.descriptors.contrast import SpectralContrast
from audiofeed.transforms.descriptors.spectral import (
    PolyFeatures,
    SpectralBandwidth,
    SpectralCentroid,
    SpectralFlatness,
    SpectralRolloff,
)
from audiofeed.transforms.descriptors.waveform import RMS, ZeroCrossingRate
from audiofeed.transforms.harmony.chroma import Chroma
from audiofeed.transforms.harmony.tonnetz import Tonnetz
from audiofeed.transforms.rhythm.metrogram import Metrogram
from audiofeed.transforms.rhythm.onset import OnsetStrength
from audiofeed.transforms.rhythm.tempogram import FourierTempogram, HybridTempogram, Tempogram

X = torch.from_numpy(np.random.default_rng(0).standard_normal(3000)) * torch.linspace(0, 1, 3000)
N_FFT = {"n_fft": 64, "hop_length": 16}
RATED = {"sample_rate": 8000, **N_FFT}
CONTRAST = {**RATED, "n_bands": 3, "f_min": 400.0}
ONSETS = {"sample_rate": 8000, "n_fft": 256, "hop_length": 64, "n_mels": 10}
ONSET = OnsetStrength(**ONSETS)
TEMPO = {"sample_rate": 8000, "hop_length": 64, "win_length": 12}
RATE = {"sample_rate": 8000}
TEMPOGRAM = Tempogram(**TEMPO)


def test_the_norm_of_onset_filters_counts_where_bands_leave_the_range():
    loud = X * 1e4 * torch.sin(0.1 * torch.arange(3000))
    changed = [OnsetStrength(**ONSETS, norm=norm)(loud * 1e-7) for norm in ("slaney", None)]
    assert not torch.allclose(*changed, rtol=1e-3)


def test_gradients_reach_what_trains():
    for cls, settings in (
        (SpectralCentroid, RATED),
        (SpectralBandwidth, RATED),
        (SpectralFlatness, N_FFT),
        (SpectralContrast, CONTRAST),
        (PolyFeatures, RATED),
        (Chroma, RATED),
        (OnsetStrength, ONSETS),
    ):
        transform = cls(**settings, trainable=True)
        transform(X.float()).square().sum().backward()
        assert transform.basis.grad.abs().sum() > 0
    for transform, name in (
        (Chroma(**RATED, tuning=0.0, trainable_chroma=True), "chroma"),
        (OnsetStrength(**ONSETS, trainable_mel=True), "mel"),
    ):
        transform(X.float()).square().sum().backward()
        assert getattr(transform, name).grad.abs().sum() > 0


def test_a_step_function_has_no_gradient():
    for transform in (SpectralRolloff(**RATED), ZeroCrossingRate(64)):
        assert not transform(X.clone().requires_grad_()).requires_grad


@pytest.mark.parametrize(
    ("cls", "config", "message"),
    [
        *[
            (cls, {"sample_rate": None}, "sample_rate=None must be a positive number of Hz")
            for cls in (SpectralCentroid, SpectralBandwidth, SpectralRolloff, SpectralContrast, PolyFeatures)
        ],
        *[
            (cls, {"sample_rate": None}, "sample_rate=None must be a positive number of Hz")
            for cls in (Chroma, Tonnetz, OnsetStrength, Tempogram, FourierTempogram, HybridTempogram, Metrogram)
        ],
        *[
            (cls, {"sample_rate": 8000, "power": 0.0}, "power=0.0 must be a finite number > 0")
            for cls in (SpectralCentroid, SpectralBandwidth, SpectralRolloff, SpectralContrast, PolyFeatures, Chroma)
        ],
        (SpectralFlatness, {"power": -1.0}, "power=-1.0"),
        (SpectralFlatness, {"amin": 0.0}, "amin=0.0 must be a number > 0"),
        (SpectralBandwidth, {"sample_rate": 8000, "p": 0.0}, "p=0.0 must be a finite number > 0"),
        (SpectralRolloff, {"sample_rate": 8000, "roll_percent": 1.0}, "roll_percent=1.0 must lie between 0 and 1"),
        (PolyFeatures, {**RATED, "order": -1}, "order=-1 must be an integer, 0 or more and below the 33 bins"),
        (PolyFeatures, {**RATED, "order": 33}, "order=33"),
        (SpectralContrast, {**RATED, "n_bands": 0}, "n_bands=0"),
        (SpectralContrast, {**RATED, "f_min": 0.0}, "f_min=0.0"),
        (SpectralContrast, {**CONTRAST, "quantile": 0.0}, "quantile=0.0"),
        (SpectralContrast, {**CONTRAST, "n_bands": 6}, r"n_bands=6 must satisfy f_min \* 2\^\(n_bands - 1\) < 4000 Hz"),
        (SpectralContrast, {**RATED, "f_min": 100.0, "n_bands": 2}, "n_fft=64 has no bin.*larger n_fft"),
        (RMS, {"frame_length": 0}, "frame_length=0 must be an integer"),
        (RMS, {"hop_length": 0}, "hop_length=0"),
        (RMS, {"pad_mode": "edge"}, "pad_mode='edge'"),
        (RMS, {"sample_rate": -1.0}, "sample_rate=-1.0"),
        (ZeroCrossingRate, {"threshold": -1.0}, "threshold=-1.0"),
        (Chroma, {**RATED, "n_chroma": 0}, "n_chroma=0"),
        (Chroma, {**RATED, "tuning": math.nan}, "tuning=nan"),
        (Chroma, {**RATED, "norm": 0}, "norm=0 must be a number > 0"),
        (Chroma, {**RATED, "norm": "slaney"}, "norm='slaney'"),
        (Chroma, {**RATED, "ctroct": math.inf}, "ctroct=inf"),
        (Chroma, {**RATED, "octwidth": 0.0}, "octwidth=0.0"),
        (Chroma, {**RATED, "trainable_chroma": True}, "trainable_chroma=True needs a number as tuning.*tuning=0.0"),
        (Tonnetz, {**RATED, "chroma": Chroma(**RATED)}, "n_fft=64.*must be left out with chroma"),
        (Tonnetz, {"sample_rate": 9000, "chroma": Chroma(**RATED)}, "sample_rate=9000 must be that of chroma"),
        (OnsetStrength, {**ONSETS, "lag": 0}, "lag=0"),
        (OnsetStrength, {**ONSETS, "max_size": 0}, "max_size=0"),
        (OnsetStrength, {**ONSETS, "aggregate": "max"}, "aggregate='max' must be 'mean' or 'median'"),
        (Tempogram, {"sample_rate": 8000, "win_length": 0}, "win_length=0 must be an integer number of frames"),
        (Tempogram, {"sample_rate": 8000, "hop_length": 0}, "hop_length=0"),
        (Tempogram, {"sample_rate": 8000, "norm": -1}, "norm=-1"),
        (Tempogram, {"sample_rate": 8000, "window": "ha"}, "window='ha'"),
        (Tempogram, {"sample_rate": 8000, "hop_length": 32, "onset": ONSET}, "hop_length=32 must be that of onset"),
        (Tempogram, {**TEMPO, "n_fft": 512, "onset": ONSET}, "n_fft=512 must be left out with onset"),
        (Tempogram, {**TEMPO, "sample_rate": 16000, "onset": ONSET}, "sample_rate=16000 must be that of onset"),
        (HybridTempogram, {**TEMPO, "win_length": 3}, "win_length=3 must be 4 frames or more"),
        (HybridTempogram, {**TEMPO, "hop_length": 32, "onset": ONSET}, "hop_length=32 must be that of onset"),
        (Metrogram, {**TEMPO, "win_length": 3}, "win_length=3 must be 4 frames or more"),
        (Metrogram, {**TEMPO, "factors": ()}, r"factors=\(\) must be one or more different numbers > 0"),
        (Metrogram, {**TEMPO, "factors": (1, 0)}, "factors=.* it holds 0"),
        (Metrogram, {**TEMPO, "aggregate": "median"}, "aggregate='median' must be one of 'sum', 'mean', 'max', None"),
        (Metrogram, {**TEMPO, "aggregate": "max", "tempogram": "fourier"}, "aggregate='max' needs a real tempogram"),
        (Metrogram, {**TEMPO, "tempogram": "cyclic"}, "tempogram='cyclic' must be 'hybrid', 'fourier' or 'autocorr"),
        (Metrogram, {**TEMPO, "tempogram": TEMPOGRAM}, "hop_length=64, win_length=12 must be left out with tempogram"),
        (Metrogram, {**RATE, "center": False, "tempogram": TEMPOGRAM}, "center=False must be left out with tempogram"),
        (Metrogram, {**RATE, "window": np.ones(3), "tempogram": TEMPOGRAM}, r"window=array\(.* must be left out"),
        (Metrogram, {"sample_rate": 16000, "tempogram": TEMPOGRAM}, "sample_rate=16000 must be that of tempogram"),
    ],
    ids=str,
)
def test_a_wrong_argument_of_a_descriptor_is_named(cls, config, message):
    with pytest.raises(ValueError, match=message):
        cls(**config)


def test_a_source_that_is_no_transform_is_named():
    with pytest.raises(TypeError, match=r"chroma=Identity\(\) is a Identity"):
        Tonnetz(sample_rate=8000, chroma=nn.Identity())
    with pytest.raises(TypeError, match="onset"):
        Tempogram(sample_rate=8000, onset=nn.Identity())
    with pytest.raises(TypeError, match="tempogram"):
        Metrogram(sample_rate=8000, tempogram=nn.Identity())
    mel = MelSpectrogram(sample_rate=8000, n_fft=256, hop_length=64, n_mels=10)
    with pytest.raises(TypeError, match=r"tempogram=MelSpectrogram\(.* must have an attribute tempi"):
        Metrogram(sample_rate=8000, tempogram=mel)
    with pytest.raises(ValueError, match="onset has 10 rows, and must have 1"):
        Tempogram(**TEMPO, onset=mel)(X)
    with pytest.raises(ValueError, match="chroma has 10 rows, and must have 12"):
        Tonnetz(sample_rate=8000, chroma=mel)(X)


def test_rows_that_are_no_bins_have_no_frequencies():
    for transform in (SpectralCentroid(**RATED), Chroma(**RATED), ONSET, RMS(64)):
        assert not hasattr(transform, "frequencies")


def test_times():
    import librosa

    expected = librosa.frames_to_time(np.arange(5), sr=8000, hop_length=64)
    for transform in (
        RMS(256, hop_length=64, sample_rate=8000),
        ONSET,
        Tempogram(**TEMPO),
        Tonnetz(sample_rate=8000, n_fft=256, hop_length=64),
    ):
        np.testing.assert_allclose(transform.times(5), expected)
    assert RMS(256, hop_length=64, center=False, sample_rate=8000).times(1).item() == 128 / 8000
    assert Tempogram(**TEMPO, center=False).times(1).item() == 6 * 64 / 8000
    with pytest.raises(ValueError, match="sample_rate="):
        RMS(64).times(1)


def test_int16_samples_are_taken_as_they_lie_where_the_source_takes_them():
    assert Tempogram(**TEMPO).takes_int16
    assert not Tempogram(**TEMPO, onset=RMS(256, hop_length=64)).takes_int16


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_rolloff_of_samples_that_are_no_numbers_is_one_of_the_frequencies(value):
    """The search for a share of a sum that is no number finds no bin; other frames keep theirs."""
    rolloff = SpectralRolloff(sample_rate=16000, n_fft=64, hop_length=64, center=False)
    x = torch.randn(2, 640, generator=torch.Generator().manual_seed(0))
    expected = rolloff(x)
    x[0, 70] = value
    found = rolloff(x)
    assert torch.isin(found.double(), rolloff.hertz.double()).all()
    assert torch.equal(found[1], expected[1])
    assert torch.equal(found[0, :, 2:], expected[0, :, 2:])
