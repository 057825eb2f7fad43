"""Cepstra, deltas, normalization: a wrong argument is named, with the rule."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import audiofeed as af
from audiofeed.methods.cepstral.cepstrum import over_bins
from audiofeed.transforms.cepstral.cmvn import CMVN
from audiofeed.transforms.cepstral.coefficients import BFCC, LFCC, MFCC
from audiofeed.transforms.cepstral.deltas import Deltas
from audiofeed.transforms.inverse.inverse_mfcc import InverseMFCC

X = torch.from_numpy(np.random.default_rng(0).standard_normal(1000)).float()
Y = torch.from_numpy(np.random.default_rng(1).standard_normal((6, 40))).float()
FRAMES = {"sample_rate": 8000, "n_fft": 128}
MEL = {**FRAMES, "n_mels": 10, "n_mfcc": 6}
LINEAR = {**FRAMES, "n_filter": 10, "n_lfcc": 6}
BARK = {**FRAMES, "n_barks": 8, "n_bfcc": 6}


@pytest.mark.parametrize(("cls", "base"), [(MFCC, MEL), (LFCC, LINEAR), (BFCC, BARK)])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_rate": None}, "sample_rate=None"),
        ({"sample_rate": -1.0}, "sample_rate=-1.0"),
        ({"dct_type": 4}, "dct_type=4 must be 1, 2 or 3"),
        ({"norm": "slaney"}, "norm='slaney' must be 'ortho' or None"),
        ({"lifter": -1}, "lifter=-1"),
        ({"lifter": float("inf")}, "lifter=inf"),
        ({"log": "log2"}, "log='log2'"),
        ({"log": "ln"}, "top_db=80.0 must be None with log='ln'.*pass top_db=None"),
        ({"offset": -1.0}, "offset=-1.0"),
        ({"floor": 0.0}, "floor=0.0"),
        ({"top_db": -0.5}, "top_db=-0.5"),
        ({"f_min": -1.0}, "f_min=-1.0"),
        ({"f_max": 4001.0}, "f_max=4001.0.*4000 Hz"),
        ({"n_fft": 0}, "n_fft=0"),
        ({"power": None}, "power=None"),
        ({"power": 0.0}, "power=0.0"),
        ({"method": "octaves"}, "method='octaves'"),
        ({"pad_mode": "edge"}, "pad_mode='edge'"),
    ],
    ids=str,
)
def test_a_wrong_argument_of_a_cepstrum_is_named(cls, base, change, message):
    with pytest.raises(ValueError, match=message):
        cls(**{**base, **change})


@pytest.mark.parametrize(
    ("cls", "config", "message"),
    [
        (MFCC, {**MEL, "n_mfcc": 0}, "n_mfcc=0"),
        (MFCC, {**MEL, "n_mfcc": 6.0}, "n_mfcc=6.0"),
        (MFCC, {**MEL, "n_mfcc": 11}, "n_mfcc=11 must not exceed n_mels=10"),
        (MFCC, {**MEL, "n_mels": 0}, "n_mels=0"),
        (MFCC, {**MEL, "n_mels": 1, "n_mfcc": 1, "dct_type": 1}, "dct_type=1 needs at least 2"),
        (MFCC, {**MEL, "mel_scale": "bark"}, "mel_scale='bark'"),
        (MFCC, {**MEL, "mel_norm": "area"}, "mel_norm='area'"),
        (MFCC, {**MEL, "mel_norm": -1.0}, "mel_norm=-1.0"),
        (LFCC, {**LINEAR, "n_lfcc": 0}, "n_lfcc=0"),
        (LFCC, {**LINEAR, "n_filter": -1}, "n_filter=-1"),
        (LFCC, {**LINEAR, "n_lfcc": 11}, "n_lfcc=11 must not exceed n_filter=10"),
        (BFCC, {**BARK, "n_bfcc": 0}, "n_bfcc=0"),
        (BFCC, {**BARK, "n_barks": True}, "n_barks=True"),
        (BFCC, {**BARK, "n_bfcc": 9}, "n_bfcc=9 must not exceed n_barks=8"),
        (BFCC, {**BARK, "bark_scale": "zwicker"}, "bark_scale='zwicker'"),
        (Deltas, {"win_length": 8}, "win_length=8 must be an odd number"),
        (Deltas, {"win_length": 1}, "win_length=1"),
        (Deltas, {"win_length": 9.0}, "win_length=9.0"),
        (Deltas, {"order": 0}, "order=0"),
        (Deltas, {"win_length": 3, "order": 3}, "order=3 must be below win_length=3"),
        (Deltas, {"mode": "replicate"}, "mode='replicate'.*called 'nearest' here"),
        (Deltas, {"mode": "edge"}, "mode='edge' must be one of"),
        (CMVN, {"window": 0}, "window=0"),
        (CMVN, {"window": 2.5}, "window=2.5"),
        (CMVN, {"center": True}, "center=True needs a window"),
        (CMVN, {"min_window": 3}, "min_window=3 has an effect only with window="),
        (CMVN, {"window": 9, "center": True, "min_window": 3}, "min_window=3 has an effect only"),
        (CMVN, {"window": 9, "min_window": 0}, "min_window=0"),
        (CMVN, {"floor": 0.0}, "floor=0.0"),
        (InverseMFCC, {"n_mels": 0}, "n_mels=0"),
        (InverseMFCC, {"dct_type": 4}, "dct_type=4"),
        (InverseMFCC, {"norm": "slaney"}, "norm='slaney'"),
        (InverseMFCC, {"lifter": -1.0}, "lifter=-1.0"),
        (InverseMFCC, {"log": "log2"}, "log='log2'"),
        (InverseMFCC, {"ref": 0.0}, "ref=0.0"),
    ],
    ids=str,
)
def test_a_wrong_argument_of_one_cepstral_class_is_named(cls, config, message):
    with pytest.raises(ValueError, match=message):
        cls(**config)


def test_cepstral_arguments_are_keywords():
    for make in (lambda: MFCC(8000), lambda: LFCC(8000), lambda: BFCC(8000), lambda: CMVN(9)):
        with pytest.raises(TypeError):
            make()
    with pytest.raises(TypeError):
        Deltas(9, 1)
    with pytest.raises(TypeError):
        InverseMFCC(20, 2)


@pytest.mark.parametrize(
    ("cls", "config", "message"),
    [
        (MFCC, {"n_mels": 80}, "of n_mels=80 filters hold no bin of n_fft=128"),
        (LFCC, {"n_filter": 200}, "of n_filter=200 filters hold no bin"),
        (BFCC, {"n_barks": 80}, "of n_barks=80 filters hold no bin"),
    ],
)
def test_cepstral_filters_that_hold_no_bin_are_warned_of(cls, config, message):
    with pytest.warns(UserWarning, match=message) as found:
        cls(**FRAMES, **config)
    assert found[0].filename == __file__


def test_more_coefficients_than_mels_cannot_be_inverted():
    with pytest.raises(ValueError, match="6 coefficients, and must be at most n_mels=5"):
        InverseMFCC(5)(Y)


def test_a_coefficient_that_a_lifter_took_away_is_warned_of_and_counts_as_none():
    """1 + 2 / 2 sin(pi (k + 1) / 2) is 0 at k = 2."""
    transform = InverseMFCC(6, lifter=2)
    with pytest.warns(UserWarning, match="lifter=2 made coefficient 2 zero") as found:
        mels = transform(Y)
    assert found[0].filename == __file__
    without = Y.clone()
    without[2] = 0
    with pytest.warns(UserWarning, match="zero"):
        torch.testing.assert_close(transform(without), mels)
    transform(Y[:2])  # which has no such coefficient


def test_a_coefficient_has_no_frequency():
    assert not hasattr(MFCC(**MEL), "frequencies")
    assert MFCC(**MEL, hop_length=40).times(3).tolist() == [0.0, 0.005, 0.01]


def test_deltas_and_normalization_keep_bins_unless_deltas_are_appended():
    assert Deltas().keeps_bins
    assert CMVN().keeps_bins
    assert not Deltas(append=True).keeps_bins
    assert not InverseMFCC().keeps_bins


@pytest.mark.parametrize("top_db", [None, 20.0])
def test_a_stack_shares_the_spectrum_and_changes_nothing(top_db):
    members = {"mfcc": MFCC(**MEL, top_db=top_db), "lfcc": LFCC(**LINEAR), "mel": af.MelSpectrogram(**FRAMES, n_mels=9)}
    stack = af.Stack(**members)
    assert len(stack._groups()) == 1
    x, lengths = torch.stack([X, X * 1e-3]), torch.tensor([1000, 300])
    for name, features in stack(x, lengths).items():  # hundreds of decibels
        torch.testing.assert_close(features, members[name](x, lengths), rtol=1e-5, atol=1e-4)


def test_trained_filters_learn_through_the_cepstrum():
    transform = MFCC(**MEL, trainable_mel=True)
    transform(X).square().sum().backward()
    assert torch.isfinite(transform.mel.grad).all()
    assert float(transform.mel.grad.abs().max()) > 0
    with torch.no_grad():
        before = transform(X)
        transform.mel[:, -1] += 10.0  # a bin that no fixed filter looks at
        assert not torch.allclose(transform(X), before, rtol=1e-2)


@pytest.mark.parametrize("graph", [False, True])
def test_a_burst_that_no_frame_of_the_clip_reaches_is_not_its_peak(graph):
    """Without centring a clip's last samples may be in no frame; in a longer batch they are in one past its end."""
    transform = MFCC(**MEL, hop_length=32, center=False, top_db=20.0)
    clip = X[:150].clone()
    clip[140:] = 1e4
    batch = torch.stack([torch.nn.functional.pad(clip, (0, 250)), X[:400]]).requires_grad_(graph)
    frames = transform.frame_lengths(torch.tensor(150))
    ours = transform(batch, torch.tensor([150, 400]))[0, :, :frames]
    torch.testing.assert_close(ours.detach(), transform(clip))


@pytest.mark.parametrize("graph", [False, True])
def test_a_window_of_one_frame_leaves_nothing(graph):
    """Exactly: the rounding of its mean would be divided by the root of the floor."""
    x = (X.double().view(10, 100) * 1e3 + torch.pi).requires_grad_(graph)
    assert torch.all(CMVN(window=1, center=True)(x) == 0)
    first = CMVN(window=9, min_window=1)(x)[:, 0]
    assert torch.all(first == 0)


def test_a_product_over_bins_is_the_same_with_and_without_a_graph():
    x = torch.from_numpy(np.random.default_rng(2).standard_normal((2, 3, 5, 7)))
    matrix = torch.from_numpy(np.random.default_rng(3).standard_normal((4, 5)))
    expected = torch.einsum("nb,crbf->crnf", matrix, x)
    with torch.no_grad():
        torch.testing.assert_close(over_bins(x, matrix), expected)
    torch.testing.assert_close(over_bins(x.requires_grad_(), matrix), expected)


def test_blocks_change_no_delta_and_no_mean(monkeypatch):
    x = torch.from_numpy(np.random.default_rng(4).standard_normal((3, 2, 6, 40)))
    lengths = torch.tensor([40, 13, 1])
    transforms = [Deltas(), Deltas(5, mode="wrap"), CMVN(), CMVN(window=7), CMVN(window=30, center=True)]
    whole = [transform(x, lengths) for transform in transforms]
    for block in (1, 100):
        monkeypatch.setattr("audiofeed.methods.cepstral.deltas._BLOCK", block)
        monkeypatch.setattr("audiofeed.methods.cepstral.normalization._BLOCK", block)
        for transform, expected in zip(transforms, whole, strict=True):
            torch.testing.assert_close(transform(x, lengths), expected)


def test_strided_features_are_taken_as_they_are():
    """(batch, frames, bins) turned around, as torchaudio's and Kaldi's features come."""
    turned = torch.from_numpy(np.random.default_rng(5).standard_normal((2, 40, 6))).transpose(1, 2)
    for transform in (Deltas(), CMVN(), CMVN(window=9), InverseMFCC(8)):
        torch.testing.assert_close(transform(turned), transform(turned.contiguous()))
