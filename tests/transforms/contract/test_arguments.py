"""A wrong argument is named with the rule and the remedy."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

import audiofeed as af
from audiofeed.arguments import argument_names as naming
from audiofeed.methods.short_time.short_time_methods import SHORT_TIME

STFT = {"n_fft": 64}
MEL = {"sample_rate": 8000, "n_fft": 128, "n_mels": 10}


@pytest.mark.parametrize(
    ("cls", "config", "message"),
    [
        (af.STFT, {"n_fft": 0}, "n_fft=0 must be an integer"),
        (af.STFT, {"n_fft": 64.0}, "n_fft=64.0"),
        (af.STFT, {"n_fft": True}, "n_fft=True"),
        (af.STFT, {"n_fft": 64, "hop_length": -1}, "hop_length=-1"),
        (af.STFT, {"n_fft": 64, "win_length": 65}, "win_length=65 must not exceed n_fft=64"),
        (af.STFT, {"n_fft": 64, "pad_mode": "edge"}, "pad_mode='edge'.*'replicate' here"),
        (af.STFT, {"n_fft": 64, "pad_mode": "mirror"}, "pad_mode='mirror'"),
        (af.STFT, {"n_fft": 64, "window": "han"[:2]}, "window='ha'"),
        (af.STFT, {"n_fft": 64, "sample_rate": -1}, "sample_rate=-1"),
        (af.STFT, {"n_fft": 64, "method": "fused"}, "method='fused'"),
        (af.STFT, {"n_fft": 64, "method": "fft", "trainable": True}, "method='fft'.*use method='conv'"),
        (af.Spectrogram, {"power": 0.0}, "power=0.0"),
        (af.MelSpectrogram, {**MEL, "power": None}, "power=None.*STFT"),
        (af.MelSpectrogram, {**MEL, "sample_rate": None}, "sample_rate=None"),
        (af.MelSpectrogram, {**MEL, "n_mels": 0}, "n_mels=0"),
        (af.MelSpectrogram, {**MEL, "f_max": 4001.0}, "f_max=4001.0.*4000 Hz"),
        (af.MelSpectrogram, {**MEL, "f_min": -1.0}, "f_min=-1.0"),
        (af.MelSpectrogram, {**MEL, "f_min": 2000.0, "f_max": 1000.0}, "f_min=2000.0, f_max=1000.0"),
        (af.MelSpectrogram, {**MEL, "mel_scale": "bark"}, "mel_scale='bark'"),
        (af.MelSpectrogram, {**MEL, "norm": "area"}, "norm='area'"),
        (af.LogMelSpectrogram, {**MEL, "log": "log2"}, "log='log2'"),
        (af.LogMelSpectrogram, {**MEL, "floor": 0.0}, "floor=0.0"),
        (af.LogMelSpectrogram, {**MEL, "top_db": 80.0}, "top_db=80.0.*log='db'"),
        (af.LogMelSpectrogram, {**MEL, "log": "db", "top_db": -1.0}, "top_db=-1.0"),
    ],
    ids=str,
)
def test_a_wrong_argument_of_a_spectrum_is_named(cls, config, message):
    with pytest.raises(ValueError, match=message):
        cls(**config)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: af.MFCC(sr=16000), "MFCC has no argument sr=16000; it is called sample_rate here"),
        (lambda: af.CQT(sample_rate=16000, fmin=55), "CQT has no argument fmin=55; it is called f_min here"),
        (lambda: af.MFCC(sample_rate=16000, melkwargs={}), "melkwargs={}; its entries are arguments of their own here"),
        (lambda: af.STFT(400, window_fn=torch.hann_window), "STFT has no argument window_fn=.* called window here"),
        (lambda: af.STFT(400, win_lenght=200), "win_lenght=200; do you mean win_length?"),
        (lambda: af.AmplitudeToDB(quux=1), "quux=1; the arguments are .*top_db"),
        (lambda: af.STFT(htk=True), "STFT has no argument htk=True; (?!htk=True is)"),
        (lambda: af.MFCC(sample_rate=16000, htk=True), "htk=True is mel_scale='htk' here"),
        (lambda: af.CFP(sample_rate=16000, device="cuda"), r"goes to a device with \.to\(device\)"),
        # of a name that another class has, and this one has not
        (lambda: af.InverseMFCC(sr=16000), "InverseMFCC has no argument sr=16000; (?!it is called)"),
    ],
)
def test_another_librarys_names_are_explained(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_the_names_that_are_pointed_to_are_there():
    public = (getattr(af.transforms, name) for name in af.transforms.__all__)
    arguments = {name for cls in public for name in inspect.signature(cls).parameters}
    assert {*naming._CALLED.values(), *(argument for argument, _ in naming._REPLACED.values())} <= arguments
    assert arguments.isdisjoint({*naming._CALLED, *naming._REPLACED, *naming._NEEDLESS})


def test_keywords_only_after_the_first():
    with pytest.raises(TypeError, match=r"STFT takes 1 argument without a name and was given 2; .*hop_length=16"):
        af.STFT(64, 16)
    with pytest.raises(TypeError, match=r"MelSpectrogram takes no argument without .* \(sample_rate=16000, ...\)"):
        af.MelSpectrogram(16000)


def test_the_signature_is_still_there_to_be_read():
    arguments = inspect.signature(af.MelSpectrogram).parameters
    assert arguments["n_mels"].default == 128
    assert arguments["sample_rate"].kind is inspect.Parameter.KEYWORD_ONLY


def test_a_window_given_as_a_function_is_explained():
    with pytest.raises(ValueError, match=r"window=<.*must be a name.*hann_window\(400\)"):
        af.STFT(400, window=torch.hann_window)


def test_filters_that_hold_no_bin_are_warned_of():
    for cls in (af.MelSpectrogram, af.LogMelSpectrogram):
        with pytest.warns(UserWarning, match="of n_mels=80 filters hold no bin of n_fft=128") as found:
            cls(sample_rate=16000, n_fft=128, n_mels=80)
        assert found[0].filename == __file__


def test_hop_defaults_to_a_quarter_of_the_window():
    assert af.STFT(400).hop_length == 100
    assert af.STFT(400, win_length=200).hop_length == 50
    assert af.STFT(2).hop_length == 1


def test_the_method_and_its_reason_are_said():
    assert af.STFT(64).method == "fft"
    assert af.STFT(64, trainable=True).method == "conv"
    assert "parameter" in af.STFT(64, trainable=True).method_reason
    assert "named" in SHORT_TIME.choose("conv", trainable=False).reason


def test_times_and_frequencies():
    import librosa

    centered = af.STFT(400, hop_length=160, sample_rate=16000)
    np.testing.assert_allclose(centered.times(9), librosa.frames_to_time(np.arange(9), sr=16000, hop_length=160))
    assert af.STFT(400, hop_length=160, sample_rate=16000, center=False).times(2).tolist() == [0.0125, 0.0225]
    np.testing.assert_allclose(centered.frequencies, librosa.fft_frequencies(sr=16000, n_fft=400))
    mel = af.MelSpectrogram(**MEL, f_min=100.0)
    np.testing.assert_allclose(mel.frequencies, librosa.mel_frequencies(12, fmin=100, fmax=4000)[1:-1])
    # a tone at a filter's peak is strongest in that filter
    tone = torch.sin(2 * torch.pi * mel.frequencies[6] * torch.arange(8000) / 8000)
    assert af.MelSpectrogram(**MEL, f_min=100.0, norm=None)(tone).mean(-1).argmax() == 6
    for ask in (lambda t: t.frequencies, lambda t: t.times(3)):
        with pytest.raises(ValueError, match="sample_rate="):
            ask(af.STFT(400))
