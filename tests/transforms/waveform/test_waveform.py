"""Level, mean and pre-emphasis of waveforms: their formulas, other libraries' values, chains with a feature behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import audiofeed as af
from audiofeed.signal.standardization import standardized
from audiofeed.signal.waveform.levels import at_peak, at_rms
from audiofeed.signal.waveform.padding import padded
from audiofeed.signal.waveform.pre_emphasis import FIRST_SAMPLES, pre_emphasized
from audiofeed.transforms.compose import chain as chain_file
from tests.signals import noise, single_noise

MEL = {"sample_rate": 8000, "n_fft": 128, "hop_length": 32, "n_mels": 10}


COPIES = {"to": 200, "longer": "keep", "multiple": 7, "mode": "copies", "before": 3, "after": -2}
DEFINED = {"at_least": 200, "multiple": 7, "mode": "copies", "before": 3, "after": -2}


def steps():
    """Every step of waveforms, and its definition in float64 of one channel."""
    made = {
        "peak": (af.NormalizePeak(level_db=-3.0), lambda x: at_peak(x, level_db=-3.0)),
        "rms": (af.NormalizeRMS(level_db=-20.0), lambda x: at_rms(x, level_db=-20.0)),
        "mean": (af.RemoveMean(), lambda x: np.asarray(x, np.float64) - np.mean(x, dtype=np.float64)),
        "wav2vec2": (af.NormalizeWaveform(), lambda x: standardized(x, eps=1e-7, eps_to="variance")),
        "unbiased": (
            af.NormalizeWaveform(unbiased=True, eps=1e-5, eps_to="std"),
            lambda x: standardized(x, unbiased=True, eps=1e-5),
        ),
        "limited": (
            af.NormalizeRMS(level_db=-10.0, eps=1e-3, most=0.5),
            lambda x: at_rms(x, level_db=-10.0, eps=1e-3, most=0.5),
        ),
        "copies": (af.PadWaveform(**COPIES), lambda x: padded(x, **DEFINED)),
    }
    for first in FIRST_SAMPLES:
        made[first] = (af.PreEmphasis(0.97, first=first), lambda x, first=first: pre_emphasized(x, first=first))
    return made


def by_formula(name, x):
    """What a step makes of one clip, from the formula alone."""
    x = np.asarray(x, np.float64)
    if name == "peak":
        return x / abs(x).max() * 10 ** (-3 / 20)
    if name == "rms":
        return x / np.sqrt((x**2).sum() / len(x)) * 10 ** (-20 / 20)
    if name == "mean":
        return x - x.sum() / len(x)
    if name == "wav2vec2":
        return (x - x.mean()) / np.sqrt(x.var() + 1e-7)
    if name == "unbiased":
        return (x - x.mean()) / (x.std(ddof=1) + 1e-5)
    if name == "limited":
        x = x / (np.sqrt((x**2).sum() / len(x)) + 1e-3) * 10 ** (-10 / 20)
        return x if abs(x).max() <= 0.5 else x * 0.5 / (abs(x).max() + 1e-3)
    if name == "copies":
        x = np.concatenate([np.zeros(3), x[: max(1, len(x) - 2)]])
        size = next(size for size in range(200, 9000, 7) if size >= len(x))
        x = np.tile(x, size // len(x))
        return np.concatenate([x, np.zeros(size - len(x))])
    rest = np.convolve(x, [1, -0.97])[1 : len(x)]
    head = {"keep": [x[0]], "replicate": [0.03 * x[0]], "extrapolate": [3 * x[0] - x[1]], "drop": []}[name]
    return np.concatenate([head, rest])


@pytest.mark.parametrize("name", steps())
def test_a_step_has_the_values_of_its_formula(name):
    step, definition = steps()[name]
    x = 0.1 * noise(2, 5000) + 0.05
    expected = np.stack([by_formula(name, clip) for clip in x.numpy()])
    np.testing.assert_allclose([definition(clip) for clip in x.numpy()], expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(step(x), expected, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(step(x.clone().requires_grad_()).detach(), expected, rtol=1e-11, atol=1e-13)
    scale = abs(expected).max()
    np.testing.assert_allclose(step(x.float()), expected, rtol=0, atol=5e-7 * scale)
    assert step.frame_lengths(torch.tensor([5000])).tolist() == [expected.shape[-1]]


@pytest.mark.parametrize("name", steps())
@pytest.mark.parametrize("clip", [[0.25], [0.0], [0.0] * 9, [0.1] * 1000, [1e-30, -1e-30, 0.0]])
def test_clips_without_a_level_or_a_deviation_stay_finite(name, clip):
    step, definition = steps()[name]
    x = torch.tensor(clip)
    found = step(x.clone().requires_grad_()).detach()
    assert torch.isfinite(found).all()
    for made in (step(x), found, step(torch.nn.functional.pad(x[None], (0, 5)), torch.tensor([len(x)]))[0]):
        np.testing.assert_allclose(made[: len(found)], definition(x.double().numpy()), rtol=1e-5, atol=1e-6)


def test_channels_of_a_clip_share_a_gain_or_have_one_each():
    x = torch.tensor([[0.5, -0.25], [0.1, 0.05]])
    together = af.NormalizePeak()(x[None])[0]
    torch.testing.assert_close(together, x / 0.5)
    apart = af.NormalizePeak(over="channel")(x[None])[0]
    torch.testing.assert_close(apart, x / torch.tensor([[0.5], [0.1]]))
    torch.testing.assert_close(af.NormalizePeak()(x), apart)  # two clips
    torch.testing.assert_close(af.RemoveMean()(x[None])[0], x - x.mean(-1, keepdim=True))
    torch.testing.assert_close(af.RemoveMean(over="clip")(x[None])[0], x - x.mean())


@pytest.mark.torchaudio
def test_pre_emphasis_is_torchaudios():
    import torchaudio

    x = noise(2, 400)
    torch.testing.assert_close(af.PreEmphasis(0.9)(x), torchaudio.transforms.Preemphasis(0.9)(x), rtol=0, atol=1e-14)


def test_pre_emphasis_is_librosas_and_that_of_a_convolution():
    import librosa

    x = noise(2, 400)
    expected = librosa.effects.preemphasis(x.numpy(), coef=0.97)
    np.testing.assert_allclose(af.PreEmphasis(0.97, first="extrapolate")(x), expected, rtol=0, atol=1e-14)
    kernel = torch.tensor([[[-0.97, 1.0]]], dtype=torch.float64)
    expected = torch.nn.functional.conv1d(x[:, None], kernel)[:, 0]
    torch.testing.assert_close(af.PreEmphasis(0.97, first="drop")(x), expected, rtol=0, atol=1e-14)


def test_normalization_is_that_of_a_wav2vec2_extractor():
    """(x - mean) / sqrt(var + 1e-7) of the true samples, then zeros."""
    x, lengths = single_noise(2, 300) * 0.01 + 0.2, torch.tensor([300, 120])
    found = af.NormalizeWaveform()(x, lengths)
    for row, n in enumerate(lengths):
        clip = x[row, :n].double().numpy()
        np.testing.assert_allclose(found[row, :n], (clip - clip.mean()) / np.sqrt(clip.var() + 1e-7), atol=1e-5)
        assert torch.all(found[row, n:] == 0)


# ---------------------------------------------------------------- before a feature


@settings(max_examples=80)
@given(data=st.data())
def test_a_chain_of_steps_is_each_step_of_each_clip_alone(data):
    """In one pass and step by step, with a graph and without, of samples of any kind, with a feature behind or not."""
    made = steps()
    names = data.draw(st.lists(st.sampled_from(sorted(made)), min_size=1, max_size=5), "steps")
    members = [made[name][0] for name in names]
    feature = data.draw(st.booleans(), "feature")
    chain = af.Chain(*members, *([af.LogMelSpectrogram(**MEL, floor=1e-6)] if feature else []))
    lengths = torch.tensor(data.draw(st.lists(st.integers(1, 600), min_size=1, max_size=4), "lengths"))
    extra = data.draw(st.sampled_from([0, 7]), "extra")
    channels = data.draw(st.sampled_from([(), (2,)]), "channels")
    x = single_noise(len(lengths), *channels, int(lengths.max()) + extra) * 0.1 + 0.03
    if data.draw(st.booleans(), "int16"):
        x = (x * 8000).to(torch.int16)
    given_x = x.clone()
    with torch.no_grad():
        out = chain(x, lengths)
    assert torch.equal(x, given_x)
    ends = chain.frame_lengths(lengths)
    if x.is_floating_point():
        with_graph = chain(x.clone().requires_grad_(), lengths)
        torch.testing.assert_close(with_graph.detach(), out, rtol=1e-4, atol=1e-4)
    for row, (n, end) in enumerate(zip(lengths.tolist(), ends.tolist(), strict=True)):
        alone = x[row : row + 1, ..., :n]
        for member in chain:  # each called by itself
            alone = member(alone)
        assert alone.shape[-1] == end
        torch.testing.assert_close(out[row, ..., :end], alone[0], rtol=1e-5, atol=1e-5)
        assert torch.all(out[row, ..., end:] == 0)


@pytest.mark.parametrize("name", steps())
def test_what_stands_past_the_end_of_a_single_sample_is_not_looked_at(name):
    x = torch.tensor([[0.5, float("nan"), 3.0], [0.1, -0.2, 0.3]])
    step, lengths = steps()[name][0], torch.tensor([1, 3])
    for given_x in (x, x.clone().requires_grad_()):
        out = step(given_x, lengths).detach()
        alone = step(x[0, :1])
        torch.testing.assert_close(out[0, : len(alone)], alone)
        assert torch.all(out[0, len(alone) :] == 0)
        torch.testing.assert_close(out[1], step(x[1]))


def test_a_chain_without_a_graph_takes_its_steps_in_one_pass(monkeypatch):
    passes = []
    original = chain_file.transformed
    monkeypatch.setattr(
        chain_file, "transformed", lambda steps, *given: passes.append(len(steps)) or original(steps, *given)
    )
    x = single_noise(2, 400)
    chain = af.Chain(af.RemoveMean(), af.PreEmphasis(first="drop"), af.NormalizePeak(), af.LogMelSpectrogram(**MEL))
    expected = chain(x)
    assert passes == [3]
    seen = []
    hook = chain[1].register_forward_hook(lambda module, given, result: seen.append(result.shape))
    torch.testing.assert_close(chain(x), expected)
    assert seen == [(2, 399)]
    hook.remove()
    chain(x)
    assert passes == [3, 3]


def test_a_chain_of_steps_and_a_feature_says_what_it_knows():
    mel = af.LogMelSpectrogram(**MEL)
    for chain in (
        af.Chain(af.RemoveMean(), af.PreEmphasis(first="drop"), mel),
        af.Chain(af.Chain(af.RemoveMean(), af.PreEmphasis(first="drop")), mel),
    ):
        assert chain.sample_rate == 8000
        assert chain.takes_int16
        assert torch.equal(chain.frequencies, mel.frequencies)
        assert torch.equal(chain.times(3), mel.times(3))
        # 320 samples have one frame more than 319
        assert chain.frame_lengths(torch.tensor([321, 320])).tolist() == [11, 10]
    assert af.Chain(af.RemoveMean(), af.PreEmphasis()).sample_rate is None
    # the last member that makes frames of waveforms
    again = af.Chain(af.STFT(64, sample_rate=8000), af.InverseSTFT(64), af.RemoveMean(), mel)
    assert torch.equal(again.times(3), mel.times(3))
    sinc = af.SincFilterbank(sample_rate=8000, n_filters=4, hop_length=20)
    assert torch.equal(af.Chain(sinc, af.CMVN()).times(3), sinc.times(3))
    # a module of another kind may change the rate
    assert af.Chain(torch.nn.Identity(), mel).sample_rate is None


def test_members_in_an_impossible_order_are_named():
    mel = af.LogMelSpectrogram(**MEL)
    with pytest.raises(
        TypeError, match=r"member 1, PreEmphasis, takes waveforms, and member 0, LogMel.*PreEmphasis first"
    ):
        af.Chain(mel, af.PreEmphasis())
    with pytest.raises(
        TypeError, match=r"member 1, CMVN, takes features, and member 0, RemoveMean, gives waveforms.*put"
    ):
        af.Chain(af.RemoveMean(), af.CMVN())
    inner = af.Chain(af.RemoveMean(), af.PreEmphasis())
    with pytest.raises(TypeError, match="member 1, CMVN, takes features, and member 0, Chain, gives waveforms"):
        af.Chain(inner, af.CMVN())
    with pytest.raises(TypeError, match="member 1, Chain, takes waveforms, and member 0, LogMelSpectrogram"):
        af.Chain(mel, inner)
    with pytest.raises(TypeError, match="member 1, CMVN, takes features, and member 0, InverseSTFT, gives waveforms"):
        af.Chain(af.InverseSTFT(64), af.CMVN())
    # rows of samples, one for each band filter, are features as well
    af.Chain(af.SincFilterbank(sample_rate=8000, n_filters=4), af.CMVN())


def test_steps_stand_in_a_stack_before_one_and_in_a_collate():
    steps = (af.RemoveMean(), af.PreEmphasis(first="drop"))
    mel, coarse = af.LogMelSpectrogram(**MEL), af.LogMelSpectrogram(**MEL | {"n_mels": 4})
    inside = af.Stack(raw=mel, emphasized=af.Chain(*steps, mel), both=af.Chain(*steps, coarse))
    before = af.Chain(*steps, af.Stack(mel=mel, coarse=coarse))
    clips = [single_noise(400), single_noise(90, seed=1)]
    x, lengths = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True), torch.tensor([400, 90])
    found, of_all = inside(x, lengths), before(x, lengths)
    torch.testing.assert_close(found["raw"], mel(x, lengths))
    torch.testing.assert_close(found["emphasized"], of_all["mel"])
    torch.testing.assert_close(found["both"], of_all["coarse"])
    assert before.sample_rate == inside.sample_rate == 8000
    for make in (inside, before):
        batch = af.GPUSpecCollate(make, device="cpu")([(clip, 8000, i) for i, clip in enumerate(clips)])
        for name, feature in make(x, lengths).items():
            torch.testing.assert_close(batch.features[name], feature)
            assert batch.feature_lengths[name].tolist() == make.frame_lengths(lengths)[name].tolist()
    with pytest.raises(ValueError, match="16000"):
        af.GPUSpecCollate(before, device="cpu")([(clips[0], 16000, 0)])
    # waveforms are all that some models take
    batch = af.GPUSpecCollate(af.NormalizeWaveform(), device="cpu")([(clip, 0) for clip in clips])
    torch.testing.assert_close(batch.features[1, :90], af.NormalizeWaveform()(clips[1]))
    assert batch.feature_lengths.tolist() == [400, 90]


def test_int16_samples_come_to_the_first_step_as_they_are():
    chain = af.Chain(af.PreEmphasis(), af.RemoveMean(), af.LogMelSpectrogram(**MEL))
    clips = [(single_noise(n, seed=n) * 8000).to(torch.int16) for n in (400, 130)]
    batch = af.GPUSpecCollate(chain, device="cpu")([(clip, 0) for clip in clips])
    for row, clip in enumerate(clips):
        expected = chain(clip.float() / 32768)
        torch.testing.assert_close(batch.features[row, :, : expected.shape[-1]], expected, rtol=0, atol=1e-6)


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: af.PreEmphasis(float("nan")), "coeff=nan must be a finite number"),
        (lambda: af.PreEmphasis(first="zero"), "first='zero' must be one of 'keep'"),
        (lambda: af.NormalizePeak(level_db=float("inf")), "level_db=inf must be a finite number of dB"),
        (lambda: af.NormalizePeak(floor=0.0), "floor=0.0 must be a number > 0"),
        (lambda: af.NormalizeRMS(over="bin"), "over='bin' must be 'clip' or 'channel'"),
        (lambda: af.NormalizeRMS(level_db="loud"), "level_db='loud' must be"),
        (lambda: af.RemoveMean(over="time"), "over='time' must be"),
        (lambda: af.NormalizeWaveform(eps=-1.0), "eps=-1.0 must be a number >= 0"),
        (lambda: af.NormalizeWaveform(eps_to="mean"), "eps_to='mean' must be 'std' or 'variance'"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
