"""A wrong argument of the pitch transforms is named with the rule and the remedy."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from audiofeed.transforms.harmony.cfp import CFP
from audiofeed.transforms.short_time.log_frequency import LogFrequencySpectrogram, LogFrequencySTFT
from audiofeed.transforms.short_time.reassigned import ReassignedSpectrogram

X = torch.from_numpy(np.random.default_rng(0).standard_normal(1000)).float()
LOG = {"sample_rate": 8000, "n_fft": 64, "f_min": 200.0, "n_bins": 12}
PITCH = {"sample_rate": 8000, "n_fft": 400, "win_length": 129, "hop_length": 100, "f_min": 100.0}
MOVED = {"sample_rate": 8000, "n_fft": 64, "ref_power": 1.0}


@pytest.mark.parametrize(
    ("cls", "config", "message"),
    [
        (LogFrequencySTFT, {**LOG, "sample_rate": None}, "sample_rate=None"),
        (LogFrequencySTFT, {**LOG, "n_fft": 0}, "n_fft=0"),
        (LogFrequencySTFT, {**LOG, "n_fft": 0, "n_bins": None}, "n_fft=0"),
        (LogFrequencySTFT, {**LOG, "freq_scale": "mel"}, "freq_scale='mel' must be 'linear', 'log' or 'octave'"),
        (LogFrequencySTFT, {**LOG, "freq_scale": "log2"}, "freq_scale='log2'.*'octave' here"),
        (LogFrequencySTFT, {**LOG, "freq_scale": None}, "freq_scale=None"),
        (LogFrequencySTFT, {**LOG, "f_min": 0.0}, "f_min=0.0.*0 < f_min"),
        (LogFrequencySTFT, {**LOG, "f_min": -1.0, "freq_scale": "linear"}, "f_min=-1.0.*0 <= f_min"),
        (LogFrequencySTFT, {**LOG, "f_max": 4001.0}, "f_max=4001.0.*4000 Hz"),
        (LogFrequencySTFT, {**LOG, "f_max": 200.0}, "f_min=200.0, f_max=200.0"),
        (LogFrequencySTFT, {**LOG, "n_bins": 0}, "n_bins=0 must be an integer number of bins"),
        (LogFrequencySTFT, {**LOG, "bins_per_octave": 12}, "bins_per_octave=12 must be given with freq_scale='octave'"),
        (
            LogFrequencySTFT,
            {**LOG, "freq_scale": "octave", "bins_per_octave": 12},
            "bins_per_octave=12 .*without n_bins",
        ),
        (
            LogFrequencySTFT,
            {**LOG, "n_bins": None, "freq_scale": "octave", "bins_per_octave": 0},
            "bins_per_octave=0 must be a number > 0",
        ),
        (LogFrequencySTFT, {**LOG, "method": "fft", "trainable": True}, "method='fft'.*use method='conv'"),
        (LogFrequencySpectrogram, {**LOG, "power": 0.0}, "power=0.0"),
        (ReassignedSpectrogram, {**MOVED, "sample_rate": None}, "sample_rate=None"),
        (ReassignedSpectrogram, {**MOVED, "power": None}, "power=None"),
        (ReassignedSpectrogram, {**MOVED, "power": -1.0}, "power=-1.0"),
        (ReassignedSpectrogram, {**MOVED, "ref_power": -1.0}, "ref_power=-1.0 must be a number >= 0"),
        # the name of a test must be the same in every process, and a function's address is not
        pytest.param(
            ReassignedSpectrogram, {**MOVED, "ref_power": np.max}, "ref_power=.*must be a number", id="a-function"
        ),
        (
            ReassignedSpectrogram,
            {**MOVED, "reassign_times": False, "reassign_frequencies": False},
            "reassign_times=False must not both be False.*use Spectrogram",
        ),
        (CFP, {**PITCH, "sample_rate": None}, "sample_rate=None"),
        (CFP, {**PITCH, "sample_rate": 0}, "sample_rate=0"),
        (CFP, {**PITCH, "win_length": 401}, "win_length=401 must not exceed n_fft=400"),
        (CFP, {**PITCH, "n_fft": None, "win_length": 0}, "win_length=0"),
        (CFP, {**PITCH, "f_min": 39.0}, "f_min=39.0.*40 <= f_min.*period of f_min"),
        (CFP, {**PITCH, "f_max": 4001.0}, "f_max=4001.0"),
        (CFP, {**PITCH, "f_max": 100.0}, "f_min=100.0, f_max=100.0"),
        (CFP, {**PITCH, "bins_per_octave": 0}, "bins_per_octave=0"),
        (CFP, {**PITCH, "gammas": (0.5,)}, "gammas=.* two or more"),
        (CFP, {**PITCH, "gammas": (0.5, -1.0)}, "gammas=.*>= 0"),
        (CFP, {**PITCH, "output": "z"}, "output='z' must be one of"),
    ],
    ids=lambda value: re.sub(r" at 0x\w+", "", str(value)),  # the same in every process
)
def test_a_wrong_argument_of_a_pitch_transform_is_named(cls, config, message):
    with pytest.raises(ValueError, match=message):
        cls(**config)


def test_pitch_transforms_take_keywords_only():
    with pytest.raises(TypeError):
        LogFrequencySTFT(8000)


def test_the_basis_trains():
    """A step against the gradient lowers the loss: the basis is what the values are made of."""
    transform = LogFrequencySpectrogram(**LOG, trainable=True)
    assert transform.basis.shape == (24, 64)
    before = transform(X).square().mean()
    before.backward()
    with torch.no_grad():
        transform.basis -= 1e-3 * transform.basis.grad / transform.basis.grad.norm()
        assert transform(X).square().mean() < before


def test_the_rate_scales_the_coordinates_of_a_reassigned_spectrogram():
    """And not the grid, which is in bins and frames."""
    slow, fast = (ReassignedSpectrogram(**{**MOVED, "sample_rate": rate}) for rate in (8000, 16000))
    torch.testing.assert_close(fast.coordinates(X).times * 2, slow.coordinates(X).times, equal_nan=True)
    torch.testing.assert_close(fast.coordinates(X).frequencies, slow.coordinates(X).frequencies * 2, equal_nan=True)
    assert torch.equal(fast(X), slow(X))
