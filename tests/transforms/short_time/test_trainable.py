"""Filters that train: where they live, that they learn, and that nothing else enters the state_dict."""

from __future__ import annotations

import pytest
import torch

import audiofeed as af
from tests.signals import single_noise as noise

MEL = {"sample_rate": 8000, "n_fft": 64, "hop_length": 16, "n_mels": 6}


@pytest.mark.parametrize(
    ("transform", "names"),
    [
        (lambda: af.STFT(64, trainable=True), {"basis": (66, 64)}),
        (lambda: af.Spectrogram(64, trainable=True), {"basis": (66, 64)}),
        (lambda: af.STFT(64, win_length=40, trainable_window=True), {"analysis_window": (64,)}),
        (lambda: af.MelSpectrogram(**MEL, trainable=True), {"basis": (66, 64)}),
        (lambda: af.MelSpectrogram(**MEL, trainable_mel=True), {"mel": (6, 33)}),
        (
            lambda: af.LogMelSpectrogram(**MEL, trainable=True, trainable_mel=True),
            {"basis": (66, 64), "mel": (6, 33)},
        ),
    ],
)
def test_the_state_of_what_trains(transform, names):
    made = transform()
    assert {name: tuple(p.shape) for name, p in made.named_parameters()} == names
    assert set(made.state_dict()) == set(names)
    made.load_state_dict({name: torch.ones(shape) for name, shape in names.items()})
    assert all(torch.all(p == 1) for p in made.parameters())


@pytest.mark.parametrize(
    ("trainable", "rate"),
    # a mel weight is about 1e-3
    [({"trainable": True}, 1e-2), ({"trainable_window": True}, 1e-2), ({"trainable_mel": True}, 2e-5)],
    ids=str,
)
def test_starts_at_the_fixed_values_and_learns(trainable, rate):
    x = noise(4, 800)
    fixed, trained = af.LogMelSpectrogram(**MEL), af.LogMelSpectrogram(**MEL, **trainable)
    torch.testing.assert_close(trained(x), fixed(x), rtol=1e-5, atol=1e-5)
    target = fixed(x) + 0.5
    optimizer = torch.optim.Adam(trained.parameters(), lr=rate)
    losses = []
    for _ in range(60):
        loss = (trained(x) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 10
    with torch.no_grad():  # the trained values are used without a graph too
        assert not torch.allclose(trained(x), fixed(x), atol=0.1)


def test_a_window_trains_only_where_the_method_has_one():
    for settings in ({"method": "conv"}, {"trainable": True}):
        with pytest.raises(ValueError, match=r"trainable_window=True trains the window of method='fft'.*'conv'"):
            af.STFT(64, trainable_window=True, **settings)


@pytest.mark.parametrize(
    "trainable", [{"trainable": True}, {"trainable_window": True}, {"trainable_mel": True}], ids=str
)
def test_gradcheck_of_the_filters(trainable):
    config = {**MEL, "n_fft": 12, "hop_length": 5, "n_mels": 3}
    transform = af.LogMelSpectrogram(**config, **trainable, floor=1e-4).double()
    x, lengths = noise(2, 40).double(), torch.tensor([40, 23])
    (parameter,) = transform.parameters()

    def features(values):
        return torch.func.functional_call(transform, dict.fromkeys(transform.state_dict(), values), (x, lengths))

    assert torch.autograd.gradcheck(features, (parameter.detach().clone().requires_grad_(),))


def test_a_parameter_survives_a_move_and_keeps_its_optimizer():
    transform = af.STFT(16, trainable=True)
    parameter = transform.basis
    transform.to("cpu", torch.float64)
    assert transform.basis is parameter
    assert transform.basis.dtype == torch.float64


def test_int16_trains_too():
    transform = af.MelSpectrogram(**MEL, trainable=True)
    samples = (noise(2, 300) * 8000).to(torch.int16)
    transform(samples).sum().backward()
    from_int16 = transform.basis.grad.clone()
    transform.basis.grad = None
    transform(samples.float() / 32768).sum().backward()
    assert torch.equal(from_int16, transform.basis.grad)


def test_a_filter_trained_beyond_its_first_band_counts_whole_without_a_graph_too():
    transform = af.MelSpectrogram(**MEL, trainable_mel=True)
    x = noise(2, 400)
    with torch.no_grad():
        transform.mel.fill_(1.0)
        powers = af.Spectrogram(MEL["n_fft"], hop_length=MEL["hop_length"])(x)
        expected = powers.sum(1, keepdim=True).expand(-1, MEL["n_mels"], -1)
        torch.testing.assert_close(transform(x), expected)
