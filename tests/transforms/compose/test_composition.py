"""Chains and stacks: lengths through every step, one STFT for all, the values of each alone."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import audiofeed as af
from audiofeed.methods.short_time import fft, kernel_method
from audiofeed.methods.short_time.kernel import jit
from audiofeed.transforms.contract.feature_transform import FeatureTransform
from tests.signals import single_noise as noise

MEL = {"sample_rate": 8000, "n_fft": 128, "hop_length": 32, "n_mels": 10}
FRAMES = {"n_fft": 128, "hop_length": 32}


class Gain(nn.Module):
    """A user's module that knows nothing of lengths."""

    def forward(self, x):
        return x * 2 + 1


class EveryOther(FeatureTransform):
    """A user's transform that changes the number of frames, and says so."""

    def compute(self, features, lengths, *, graph):
        return features[..., ::2]

    def frame_lengths(self, lengths):
        return (lengths + 1) // 2


class Cut(nn.Module):
    def forward(self, x):
        return x[..., ::2]


def members():
    """Every way to be a member of a stack."""
    return {
        "spectrum": af.STFT(**FRAMES),
        "power": af.Spectrogram(**FRAMES),
        "magnitude": af.Spectrogram(**FRAMES, power=1.0),
        "complex": af.Spectrogram(**FRAMES, power=None),
        "mel": af.MelSpectrogram(**MEL),
        "coarse": af.MelSpectrogram(**MEL | {"n_mels": 4}, power=1.0),
        "log": af.LogMelSpectrogram(**MEL, floor=1e-6),
        "limited": af.LogMelSpectrogram(**MEL, log="db", floor=1e-6, top_db=20.0),
        "trained": af.MelSpectrogram(**MEL, trainable=True),
        "trained_window": af.Spectrogram(**FRAMES, trainable_window=True),
        "trained_mel": af.MelSpectrogram(**MEL, trainable_mel=True),
        "other": af.MelSpectrogram(**MEL | {"hop_length": 40}),
        "by_conv": af.MelSpectrogram(**MEL, method="conv"),
        "by_conv_too": af.Spectrogram(**FRAMES, method="conv", power=1.0),
        "chain": af.Chain(af.MelSpectrogram(**MEL), af.AmplitudeToDB(top_db=30.0)),
        "deep": af.Chain(af.Chain(af.MelSpectrogram(**MEL), Gain()), EveryOther()),
    }


# ---------------------------------------------------------------- Chain


def test_a_chain_is_one_after_another_with_lengths_through_every_step():
    chain = af.Chain(af.MelSpectrogram(**MEL), EveryOther(), af.AmplitudeToDB(top_db=20.0))
    x, lengths = noise(3, 500), torch.tensor([500, 100, 33])
    out = chain(x, lengths)
    frames = chain.frame_lengths(lengths)
    assert frames.tolist() == [8, 2, 1]
    for row, (n, count) in enumerate(zip(lengths, frames, strict=True)):
        alone = chain[2](chain[0](x[row, :n])[..., ::2])
        torch.testing.assert_close(out[row, :, :count], alone)
        assert torch.all(out[row, :, count:] == 0)


def test_a_plain_module_in_a_chain_is_cleared_past_the_end():
    chain = af.Chain(af.MelSpectrogram(**MEL), Gain())
    x, lengths = noise(2, 400), torch.tensor([400, 90])
    out = chain(x, lengths)
    torch.testing.assert_close(out[1, :, :3], chain(x[1, :90]))
    assert torch.all(out[1, :, 3:] == 0)
    first = af.Chain(Gain(), af.MelSpectrogram(**MEL))
    torch.testing.assert_close(first(x, lengths)[1, :, :3], first(x[1, :90]))


def test_a_plain_module_that_changes_the_frames_is_named():
    chain = af.Chain(af.MelSpectrogram(**MEL), Cut())
    assert chain(noise(400)).shape == (10, 7)
    with pytest.raises(ValueError, match=r"Cut, member 1 of the chain, made 7 frames of 13.*frame_lengths"):
        chain(noise(2, 400), torch.tensor([400, 90]))


def test_a_chain_says_what_its_members_know():
    chain = af.Chain(af.MelSpectrogram(**MEL), af.AmplitudeToDB())
    assert chain.sample_rate == 8000
    assert chain.takes_int16
    assert torch.equal(chain.frequencies, chain[0].frequencies)
    assert torch.equal(chain.times(3), chain[0].times(3))
    with pytest.raises(ValueError, match="frequencies is not known after EveryOther, member 1"):
        _ = af.Chain(af.MelSpectrogram(**MEL), EveryOther()).frequencies
    other = af.Chain(Gain())
    assert other.sample_rate is None
    assert not other.takes_int16


def test_a_chain_of_features_takes_features():
    chain = af.Chain(EveryOther(), af.AmplitudeToDB(top_db=None))
    x = noise(2, 4, 9).square()
    torch.testing.assert_close(chain(x), chain[1](x[..., ::2]))
    assert chain.frame_lengths(torch.tensor([9, 4])).tolist() == [5, 2]


def test_waveforms_that_a_member_gives_may_be_analysed_again():
    again = af.Chain(af.STFT(64), af.InverseSTFT(64), af.Spectrogram(64))
    x = noise(2, 640)
    torch.testing.assert_close(again(x), af.Spectrogram(64)(x), atol=1e-4, rtol=1e-4)
    assert af.Chain(af.SincFilterbank(sample_rate=8000, n_filters=4), af.Spectrogram(64))(x).shape == (2, 4, 33, 41)


def test_wrong_members_are_named():
    with pytest.raises(TypeError, match="member 1 is a function"):
        af.Chain(Gain(), lambda x: x)
    with pytest.raises(ValueError, match="one transform or more"):
        af.Chain()
    with pytest.raises(TypeError, match="member 1, MelSpectrogram, takes waveforms, and member 0, AmplitudeToDB"):
        af.Chain(af.AmplitudeToDB(), af.MelSpectrogram(**MEL))
    with pytest.raises(TypeError, match="member 2, RMS, takes waveforms, and member 1, MFCC"):
        af.Chain(Gain(), af.MFCC(**MEL, n_mfcc=4), af.RMS())
    with pytest.raises(TypeError, match="mel=3 is a int"):
        af.Stack(mel=3)
    with pytest.raises(ValueError, match="name=transform"):
        af.Stack()
    with pytest.raises(TypeError, match=r"Stack takes no argument without a name .* \(name=Gain, ...\)"):
        af.Stack(Gain())
    with pytest.raises(ValueError, match="'keys' cannot be the name"):
        af.Stack(keys=Gain())
    with pytest.raises(ValueError, match=r"sample_rate must be the same.*'a': 8000, 'b': 16000"):
        af.Stack(a=af.MelSpectrogram(**MEL), b=af.MelSpectrogram(**MEL | {"sample_rate": 16000}))


def test_members_of_different_rates_are_named():
    mel, pcen = af.MelSpectrogram(**MEL), af.PCEN(sample_rate=16000)
    message = "member 2, PCEN, has sample_rate=16000, and member 0, MelSpectrogram, has sample_rate=8000"
    with pytest.raises(ValueError, match=message):
        af.Chain(mel, af.Rescale(divide=2.0), pcen)
    with pytest.raises(ValueError, match="member 1, PCEN, has sample_rate=16000, and member 0, Chain"):
        af.Chain(af.Chain(af.RemoveMean(), mel), pcen)
    # one of another kind may resample, and so may a transform that says so of its waveforms
    assert len(af.Chain(mel, Gain(), pcen)) == 3
    other = af.MelSpectrogram(**MEL | {"sample_rate": 16000})
    assert len(af.Chain(af.SincFilterbank(sample_rate=8000), other)) == 2
    assert len(af.Chain(af.STFT(64, sample_rate=8000), af.InverseSTFT(64), other)) == 3
    assert af.Chain(mel, af.PCEN(sample_rate=8000.0)).sample_rate == 8000


# ---------------------------------------------------------------- Stack


@settings(max_examples=60)
@given(data=st.data())
def test_a_stack_gives_what_each_member_gives_alone(data):
    made = members()
    names = data.draw(st.lists(st.sampled_from(sorted(made)), min_size=1, max_size=6, unique=True))
    stack = af.Stack(**{name: made[name] for name in names})
    lengths = torch.tensor(data.draw(st.lists(st.integers(1, 600), min_size=1, max_size=4)))
    x = noise(len(lengths), *data.draw(st.sampled_from([(), (2,)])), int(lengths.max()))
    if data.draw(st.booleans(), "int16"):
        x = (x * 8000).to(torch.int16)
    graph = data.draw(st.booleans(), "graph")
    with torch.set_grad_enabled(graph):
        if graph and x.is_floating_point():
            x.requires_grad_()
        out, alone = stack(x, lengths), {name: made[name](x, lengths) for name in names}
        assert list(out) == names
        for name in names:
            torch.testing.assert_close(out[name], alone[name], rtol=1e-5, atol=1e-5)
            assert out[name].requires_grad == alone[name].requires_grad
            expected = made[name].frame_lengths(lengths)
            assert torch.equal(stack.frame_lengths(lengths)[name], expected)
            past = torch.arange(out[name].shape[-1]) >= expected.view(-1, *[1] * (out[name].dim() - 1))
            assert torch.all(out[name].masked_select(past) == 0)


@pytest.mark.parametrize("how", ["graph", "pieces", "kernel"])
def test_features_over_the_same_frames_cost_one_fft(how, monkeypatch):
    calls = []
    # beside busy cores members that train have a spectrum each
    monkeypatch.setattr("audiofeed.transforms.compose.stack.cores_are_busy", lambda: False)
    place, name = (kernel_method, "frames_of") if how == "kernel" else (fft.torch.fft, "rfft")
    if how == "kernel" and not jit.lanes():
        pytest.skip("needs llvmlite")
    if how != "kernel":
        monkeypatch.setattr(kernel_method, "frames_of", lambda *frames: None)
    original = getattr(place, name)

    def counted(*args, **kwargs):
        calls.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr(place, name, counted)
    made = members()
    x = noise(2, 500).requires_grad_(how == "graph")
    af.Stack(**{name: made[name] for name in ("power", "mel", "coarse", "log", "limited", "chain", "deep")})(x)
    assert len(calls) == 1
    af.Stack(**{name: made[name] for name in ("mel", "spectrum", "complex", "chain")})(x)
    assert len(calls) == 2
    af.Stack(**{name: made[name] for name in ("mel", "other", "trained_mel")})(x)
    assert len(calls) == 4


def test_results_of_a_stack_share_no_memory():
    made = members()
    out = af.Stack(**{name: made[name] for name in ("spectrum", "complex", "power", "magnitude")})(noise(2, 300))
    pointers = {feature.untyped_storage().data_ptr() for feature in out.values()}
    assert len(pointers) == 4


def test_gradients_reach_every_member_of_a_stack():
    made = members()
    stack = af.Stack(**{name: made[name] for name in ("trained", "trained_mel", "log")})
    x = noise(2, 300).requires_grad_()
    sum(feature.sum() for feature in stack(x).values()).backward()
    assert set(stack.state_dict()) == {"trained.basis", "trained_mel.mel"}
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in stack.parameters())
    separate = x.detach().clone().requires_grad_()
    sum(member(separate).sum() for member in stack.values()).backward()
    torch.testing.assert_close(x.grad, separate.grad, rtol=1e-4, atol=1e-4)


def test_a_stack_survives_copies_and_holds_a_foreign_module():
    stack = af.Stack(log=af.LogMelSpectrogram(**MEL), mel=af.MelSpectrogram(**MEL), twice=Gain())
    assert stack.sample_rate == 8000
    assert not stack.takes_int16
    assert stack.frame_lengths(torch.tensor([100]))["twice"] is None
    x = noise(2, 300)
    expected = stack(x, torch.tensor([300, 100]))
    torch.testing.assert_close(expected["twice"], x * 2 + 1)
    for other in (copy.deepcopy(stack), pickle.loads(pickle.dumps(stack))):
        for name, feature in other(x, torch.tensor([300, 100])).items():
            assert torch.equal(feature, expected[name])


def test_a_stack_compiles_as_one_graph():
    made = members()
    stack = af.Stack(**{name: made[name] for name in ("mel", "log", "power", "chain")})
    x, lengths = noise(2, 300), torch.tensor([300, 100])
    torch._dynamo.reset()
    compiled = torch.compile(stack, backend="aot_eager", fullgraph=True)(x, lengths)
    for name, feature in stack(x, lengths).items():
        torch.testing.assert_close(compiled[name], feature, rtol=1e-4, atol=1e-5)


def test_a_collate_gives_a_stack_by_name():
    stack = af.Stack(mel=af.MelSpectrogram(**MEL), slow=af.MelSpectrogram(**MEL | {"hop_length": 64}))
    batch = af.GPUSpecCollate(stack)([(noise(400), 0), (noise(90), 1)])
    assert batch.features["mel"].shape == (2, 10, 13)
    assert batch.feature_lengths["slow"].tolist() == [7, 2]
    assert batch.feature_mask["mel"].sum(1).tolist() == [13, 3]
    torch.testing.assert_close(batch.features["mel"][1, :, :3], stack["mel"](noise(90)))
    assert "mel" in repr(batch)


@pytest.mark.parametrize("again", [lambda: af.LogCompression(), lambda: af.AmplitudeToDB()])
def test_a_logarithm_of_logarithms_is_warned_of_once(again):
    mel = {"sample_rate": 8000, "n_fft": 128, "n_mels": 4}
    for before in (af.LogMelSpectrogram(**mel), af.Chain(af.MelSpectrogram(**mel), af.LogCompression())):
        with pytest.warns(UserWarning, match=r"member 1, .*member 0, Log.* already; leave one") as warned:
            af.Chain(before, again())
        assert len(warned) == 1
        assert warned[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        af.Chain(af.MelSpectrogram(**mel), again(), af.Rescale(add=1.0))
        af.Chain(af.LogMelSpectrogram(**mel), af.NormalizeClips())
