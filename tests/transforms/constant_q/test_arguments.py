"""A wrong argument of the harmonic stack and of constant-Q chroma is named."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from audiofeed.transforms.constant_q.cqt import CQT
from audiofeed.transforms.constant_q.harmonic_cqt import HarmonicCQT
from audiofeed.transforms.harmony.chroma_cens import ChromaCENS
from audiofeed.transforms.harmony.chroma_cqt import ChromaCQT, ChromaVQT
from audiofeed.transforms.harmony.tonnetz import Tonnetz

T = np.arange(6000) / 8000
X = torch.from_numpy(
    np.sin(2 * np.pi * 446 * T) + np.sin(2 * np.pi * 664 * T) + 0.05 * np.random.default_rng(0).standard_normal(6000)
)
STACK = {"sample_rate": 8000, "harmonics": (1, 2, 3), "f_min": 200.0, "n_bins": 12, "bins_per_octave": 5}
CLASSES = {"sample_rate": 8000, "f_min": 110.0, "n_octaves": 3, "bins_per_octave": 24, "tuning": 0.0, "hop_length": 256}
SCALE = {"sample_rate": 8000, "f_min": 110.0, "n_octaves": 3, "intervals": "equal", "hop_length": 256}


@pytest.mark.parametrize(
    ("cls", "base", "change", "message"),
    [
        *[
            (HarmonicCQT, STACK, change, message)
            for change, message in (
                ({"sample_rate": 0}, "sample_rate=0"),
                ({"harmonics": ()}, r"harmonics=\(\) must be one or more different numbers"),
                ({"harmonics": 3}, "harmonics=3 must be a sequence"),
                ({"harmonics": (1, 1.0)}, r"harmonics=\(1, 1.0\) must be one or more different"),
                ({"harmonics": (0, 1)}, "harmonics=0 must be different numbers > 0"),
                ({"harmonics": (1, math.inf)}, "harmonics=inf"),
                ({"f_min": -1.0}, "f_min=-1.0 must be a positive number of Hz"),
                ({"n_bins": 0}, "n_bins=0"),
                ({"n_bins": 20}, r"n_bins=20 .* at harmonic 3 .*use at most 1\d bins .*above_nyquist='zeros'"),
                ({"harmonics": (1, 50)}, "at harmonic 50 .*use a lower f_min"),
                ({"harmonics": (1, 50), "n_bins": None}, "at harmonic 50 .*use a lower f_min"),
                ({"f_min": 5000.0, "above_nyquist": "zeros"}, "f_min=5000 Hz must leave a bin below half"),
                ({"above_nyquist": "clip"}, "above_nyquist='clip' must be 'raise' or 'zeros'"),
                ({"bins_per_octave": 0}, "bins_per_octave=0"),
                ({"hop_length": 0}, "hop_length=0"),
                ({"exact": None}, "exact=None must be True or False"),
                ({"tuning": math.nan}, "tuning=nan"),
                ({"method": "fft"}, "method='fft'"),
                ({"trainable": True, "tuning": None}, "trainable=True needs a number as tuning"),
                ({"normalization": "area"}, "normalization='area'"),
                ({"pad_mode": "edge"}, "pad_mode='edge'.*'replicate' here"),
            )
        ],
        *[
            (cls, CLASSES, change, message)
            for cls in (ChromaCQT, ChromaCENS)
            for change, message in (
                ({"sample_rate": None}, "sample_rate=None"),
                ({"n_chroma": 0}, "n_chroma=0 must be an integer number of pitch classes"),
                ({"bins_per_octave": 30}, "bins_per_octave=30 must be a multiple of n_chroma=12; use 24"),
                ({"bins_per_octave": 5}, "bins_per_octave=5 must be a multiple of n_chroma=12; use 12"),
                ({"n_octaves": 0}, "n_octaves=0"),
                ({"n_octaves": 6}, "n_octaves=6 from f_min=110 Hz reach .*use at most 5 octaves"),
                ({"f_min": 3000.0}, "n_octaves=3 from f_min=3000 Hz reach .*use a lower f_min"),
                ({"f_min": 0.0}, "f_min=0.0"),
                ({"norm": 0.0}, "norm=0.0"),
                ({"window": ()}, r"window=\(\) must be a sequence of finite numbers"),
                ({"window": "hann"}, "window='hann' must be a sequence"),
                ({"hop_length": 0}, "hop_length=0"),
            )
        ],
        (ChromaCQT, CLASSES, {"threshold": math.nan}, "threshold=nan"),
        (ChromaCQT, CLASSES, {"hybrid": True, "trainable": True}, "trainable=True must not be with hybrid=True"),
        (ChromaCQT, CLASSES, {"trainable": True, "tuning": None}, "trainable=True needs a number as tuning"),
        (ChromaCENS, CLASSES, {"win_len_smooth": 0}, "win_len_smooth=0 must be an integer number of frames"),
        (ChromaCENS, CLASSES, {"smoothing_window": "hanm"}, "smoothing_window='hanm'"),
        (ChromaVQT, SCALE, {"intervals": "just"}, "intervals='just'"),
        (ChromaVQT, SCALE, {"intervals": (1.0, 2.5)}, r"intervals=\(1.0, 2.5\)"),
        (ChromaVQT, SCALE, {"gamma": -1.0}, "gamma=-1.0"),
        (ChromaVQT, SCALE, {"n_octaves": 6}, "n_octaves=6 .*use at most 5 octaves"),
        (ChromaVQT, SCALE, {"bins_per_octave": 0}, "bins_per_octave=0"),
        (Tonnetz, {"sample_rate": 16000}, {"chroma": "mel"}, "chroma='mel' must be 'stft', 'cqt'"),
        (Tonnetz, {"sample_rate": 16000}, {"chroma": "cqt", "n_fft": 1024}, "n_fft=1024 must be left out"),
    ],
    ids=str,
)
def test_a_wrong_argument_of_harmonic_stacks_and_chroma_is_named(cls, base, change, message):
    with pytest.raises(ValueError, match=message):
        cls(**{**base, **change})


@pytest.mark.parametrize(
    ("cls", "base"), [(HarmonicCQT, STACK), (ChromaCQT, CLASSES), (ChromaVQT, SCALE), (ChromaCENS, CLASSES)], ids=str
)
def test_harmonic_stacks_and_chroma_take_keywords_only(cls, base):
    with pytest.raises(TypeError):
        cls(8000, **{name: value for name, value in base.items() if name != "sample_rate"})


def test_tonnetz_takes_the_settings_of_either_chroma():
    x = X.float()
    for settings in ({"hop_length": 200, "tuning": 0.1}, {"hop_length": None, "tuning": -0.2}):
        of_cqt = Tonnetz(sample_rate=16000, chroma="cqt", **settings)
        hop = settings["hop_length"] or 512
        source = ChromaCQT(sample_rate=16000, hop_length=hop, tuning=settings["tuning"])
        assert torch.equal(of_cqt(x), Tonnetz(sample_rate=16000, chroma=source)(x))
    assert not torch.equal(Tonnetz(sample_rate=16000, hop_length=512)(x), Tonnetz(sample_rate=16000, chroma="cqt")(x))


def test_as_many_bins_as_the_highest_harmonic_has():
    for config in ({}, {"tuning": None}, {"harmonics": (0.5, 4)}, {"exact": False}):
        stack = HarmonicCQT(**{**STACK, "n_bins": None, **config})
        top = max(stack.harmonics) * 200.0 if stack.exact else float(stack.frequencies[:, 0].max())
        alone = CQT(sample_rate=8000, f_min=top, n_bins=None, bins_per_octave=5, tuning=stack.tuning)
        assert stack.n_bins == alone.n_bins
        with pytest.raises(ValueError, match=f"use at most {alone.n_bins} bins"):
            HarmonicCQT(**{**STACK, **config, "n_bins": alone.n_bins + 1})


def test_trained_kernels_of_shared_bins_count_in_all_harmonics():
    stack = HarmonicCQT(**{**STACK, "harmonics": (1, 2), "hop_length": 33}, trainable=True)
    assert stack.kernels.numel() < 2 * HarmonicCQT(**{**STACK, "harmonics": (1,), "hop_length": 33}).kernels.numel()
    before = stack(X.float()).detach()
    loss = stack(X.float())[1].square().sum()
    loss.backward()
    with torch.no_grad():
        stack.kernels -= 1e-3 * stack.kernels.grad / stack.kernels.grad.norm()
        after = stack(X.float())
    assert float((after[1] - before[1]).abs().max()) > 0
    assert float((after[0] - before[0]).abs().max()) > 0
