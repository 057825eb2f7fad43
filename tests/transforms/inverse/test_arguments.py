"""A wrong argument of the inverse transforms is named, defaults are librosa's."""

from __future__ import annotations

import math

import librosa
import numpy as np
import pytest
import torch

from audiofeed.signal.inverse.synthesis import largest_hop
from audiofeed.signal.windows import get_window
from audiofeed.transforms.inverse.griffin_lim import GriffinLim
from audiofeed.transforms.inverse.inverse_mel import InverseMel
from audiofeed.transforms.inverse.inverse_stft import InverseSTFT
from audiofeed.transforms.short_time.time_stretch import TimeStretch
from tests.oracle import defaults


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"n_fft": 64, "hop_length": 65, "window": "boxcar"}, "hop_length=65.*hop_length=64"),
        ({"n_fft": 64, "hop_length": 64}, "hop_length=64 must let.*window='hann'.*use hop_length=6[0-3]"),
        ({"n_fft": 64, "hop_length": 33, "win_length": 32, "window": "boxcar"}, "win_length=32.*hop_length=32"),
        ({"n_fft": 4, "window": np.zeros(4)}, "use another window"),
        ({"n_fft": 0}, "n_fft=0"),
        ({"n_fft": 64, "win_length": 65}, "win_length=65 must not exceed n_fft=64"),
        ({"n_fft": 64, "hop_length": 0}, "hop_length=0"),
        ({"n_fft": 64, "window": "hat"}, "window='hat'"),
    ],
    ids=str,
)
@pytest.mark.parametrize("cls", [InverseSTFT, GriffinLim])
def test_what_cannot_be_inverted_is_said_at_construction(cls, config, message):
    with pytest.raises(ValueError, match=message):
        cls(**config)


def test_the_hop_in_the_error_works_and_the_next_does_not():
    for window in ("hann", "hamming", "blackman", "boxcar", "nuttall", ("kaiser", 8.6), ("tukey", 0.4)):
        samples = get_window(window, 50)
        best = largest_hop(samples)
        InverseSTFT(50, hop_length=best, window=window)
        with pytest.raises(ValueError, match=f"use hop_length={best} or less"):
            InverseSTFT(50, hop_length=best + 1, window=window)


@pytest.mark.parametrize(
    ("cls", "config", "message"),
    [
        (InverseSTFT, {"n_fft": 64, "method": "fused"}, "method='fused'"),
        (InverseSTFT, {"n_fft": 64, "method": "fft", "trainable": True}, "method='fft'.*use method='conv'"),
        (GriffinLim, {"n_fft": 64, "n_iter": 0}, "n_iter=0"),
        (GriffinLim, {"n_fft": 64, "power": 0.0}, "power=0.0"),
        (GriffinLim, {"n_fft": 64, "power": math.inf}, "power=inf"),
        (GriffinLim, {"n_fft": 64, "momentum": -0.1}, "momentum=-0.1"),
        (GriffinLim, {"n_fft": 64, "momentum": math.inf}, "momentum=inf"),
        (GriffinLim, {"n_fft": 64, "seed": -1}, "seed=-1"),
        (GriffinLim, {"n_fft": 64, "seed": 2**63}, "seed=9223372036854775808"),
        (GriffinLim, {"n_fft": 64, "seed": True}, "seed=True"),
        (GriffinLim, {"n_fft": 64, "seed": 1.0}, "seed=1.0"),
        (GriffinLim, {"n_fft": 64, "pad_mode": "edge"}, "pad_mode='edge'"),
        (GriffinLim, {"n_fft": 64, "progress": 3}, "progress=3"),
        (TimeStretch, {"rate": 0.0}, "rate=0.0 must be a number > 0"),
        (TimeStretch, {"rate": math.inf}, "rate=inf"),
        (InverseMel, {"sample_rate": None}, "sample_rate=None"),
        (InverseMel, {"sample_rate": 8000, "n_fft": 0}, "n_fft=0"),
        (InverseMel, {"sample_rate": 8000, "n_mels": 0}, "n_mels=0"),
        (InverseMel, {"sample_rate": 8000, "f_min": 5000.0}, "f_min=5000.0"),
        (InverseMel, {"sample_rate": 8000, "f_max": 4001.0}, "f_max=4001.0"),
        (InverseMel, {"sample_rate": 8000, "mel_scale": "bark"}, "mel_scale='bark'"),
        (InverseMel, {"sample_rate": 8000, "norm": "area"}, "norm='area'"),
        (InverseMel, {"sample_rate": 8000, "solver": "relu"}, "solver='relu'"),
        (InverseMel, {"sample_rate": 8000, "n_fft": 8, "f_min": 10.0, "f_max": 20.0}, "n_fft=8 must be long enough"),
    ],
    ids=str,
)
def test_a_wrong_argument_of_an_inverse_is_named(cls, config, message):
    with pytest.raises(ValueError, match=message):
        cls(**config)


def test_a_wrong_input_of_an_inverse_is_named():
    spectrum = torch.zeros(2, 33, 5, dtype=torch.complex64)
    for transform, x in ((InverseSTFT(64), spectrum), (GriffinLim(64, n_iter=1), spectrum.abs())):
        with pytest.raises(ValueError, match=r"\(2, 30, 5\), and n_fft=64 has 33 bins"):
            transform(x[:, :30])
        with pytest.raises(ValueError, match="length=0"):
            transform(x, 0)
        with pytest.raises(ValueError, match=r"\(2,\)"):
            transform(x, torch.tensor([5, 5, 5]))
        with pytest.raises(TypeError, match="integers"):
            transform(x, torch.tensor([5.0, 5.0]))
    with pytest.raises(TypeError, match="GriffinLim"):
        InverseSTFT(64)(spectrum.abs())
    search = GriffinLim(64, n_iter=1)
    with pytest.raises(ValueError, match=r"seed has shape \(3,\)"):
        search(spectrum.abs(), seed=torch.tensor([1, 2, 3]))
    with pytest.raises(TypeError, match=r"seed is torch\.float32"):
        search(spectrum.abs(), seed=torch.tensor([1.0, 2.0]))
    with pytest.raises(ValueError, match="rate=None"):
        TimeStretch()(spectrum)
    with pytest.raises(ValueError, match=r"rate=-1\.0"):
        TimeStretch()(spectrum, -1.0)
    with pytest.raises(ValueError, match="n_mels=128"):
        InverseMel(sample_rate=8000)(spectrum.abs())


MEL = {"sample_rate": 8000, "n_fft": 256, "n_mels": 12}


def test_n_mels_is_the_bins_of_the_input():
    assert InverseMel(**{**MEL, "n_mels": 7})(torch.ones(7, 3)).shape == (129, 3)


def test_frequencies_of_the_inverse_of_mel():
    assert InverseMel(sample_rate=8000, n_fft=4, n_mels=1).frequencies.tolist() == [0.0, 2000.0, 4000.0]


def test_by_default_a_quarter_of_the_window_is_the_hop():
    for cls in (InverseSTFT, GriffinLim):
        assert cls(64).hop_length == 16
        assert cls(64, win_length=48).hop_length == 12
        assert cls(4, win_length=3, window="boxcar").hop_length == 1


def test_defaults_are_librosas_but_for_the_momentum():
    search, theirs = defaults(GriffinLim), defaults(librosa.griffinlim)
    assert {name: search[name] for name in ("n_iter", "window", "center", "pad_mode")} == {
        name: theirs[name] for name in ("n_iter", "window", "center", "pad_mode")
    }
    assert (search["momentum"], search["power"], search["rand_init"]) == (0.9, 1.0, True)
    inverse, theirs = defaults(InverseSTFT), defaults(librosa.istft)
    assert (inverse["window"], inverse["center"], inverse["n_fft"]) == (theirs["window"], theirs["center"], 2048)
    mel, theirs = defaults(InverseMel), defaults(librosa.filters.mel)
    assert (mel["n_mels"], mel["f_min"], mel["f_max"], mel["norm"]) == (
        theirs["n_mels"], theirs["fmin"], theirs["fmax"], theirs["norm"],
    )  # fmt: skip
    assert (mel["n_fft"], mel["mel_scale"], mel["solver"]) == (2048, "slaney", "nnls")
