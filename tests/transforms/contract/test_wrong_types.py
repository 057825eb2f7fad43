"""Arguments of another type than theirs, of every transform: the error names the argument, and none is taken."""

import inspect

import numpy as np
import pytest
import torch

import audiofeed as af
from tests.transforms.cases import CASES, IDS

MISFITS = {
    "float": ([1], {}, "a", b"1", 1j, np.array([1.0, 2.0]), object()),
    "int": ([1], "a", 1j),
    "bool": ("no", [1]),
}


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_an_argument_of_another_type_is_named(case):
    transform = case.build()
    cls = type(transform)
    if cls in (af.Chain, af.Stack):
        return
    own = dict(inspect.signature(cls).parameters)
    required = {
        name: getattr(transform, name) for name, p in own.items() if p.default is p.empty and hasattr(transform, name)
    }
    if len(required) < sum(p.default is p.empty for p in own.values()):
        return
    for name, parameter in own.items():
        for value in MISFITS.get(str(parameter.annotation).removesuffix(" | None"), ()):
            with pytest.raises((ValueError, TypeError), match=name):
                cls(**{**required, name: value})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: af.MelSpectrogram(sample_rate=16000, center="False"), "center='False' must be True or False"),
        (lambda: af.STFT(400, trainable="no"), "trainable='no' must be True or False"),
        (lambda: af.STFT(400, periodic=None), "periodic=None must be True or False"),
        (lambda: af.MelSpectrogram(sample_rate=[16000]), r"sample_rate=\[16000\] must be a positive number of Hz"),
        (lambda: af.MelSpectrogram(sample_rate=True), "sample_rate=True must be a positive number"),
        (lambda: af.AmplitudeToDB(top_db="80"), "top_db='80' must be a number >= 0, or None"),
        (lambda: af.CQT(sample_rate=22050, tuning="a"), "tuning='a' must be a number or None"),
        (lambda: af.CQT(sample_rate=22050, sparsity=None), "sparsity=None must be a number"),
        (lambda: af.STFT(400, method=["fft"]), r"method=\['fft'\] must be"),
    ],
)
def test_what_was_taken_or_named_nothing(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_switches_may_be_numpys_or_numbers_that_stand_for_them():
    waveform = torch.ones(1, 800)
    for yes in (True, np.True_, 1):
        assert af.STFT(400, center=yes)(waveform).shape == af.STFT(400)(waveform).shape
