"""Gain and Polarity: each clip by its own draw, and levels over its own samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import audiofeed as af
from audiofeed.augment import Clips
from audiofeed.augment.contract.draws import Draws


def batch(n: int = 6, size: int = 4000) -> Clips:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([size, 1, 37, size // 8, size - 1, size][:n])
    waveforms = torch.zeros(n, 2, size)
    for row, length in enumerate(lengths.tolist()):
        waveforms[row, :, :length] = 0.1 * (row + 1) * torch.randn(2, length, generator=generator)
    return Clips(waveforms, lengths, torch.arange(n) + 7)


def decibels(ratio: np.ndarray) -> np.ndarray:
    return 20 * np.log10(ratio)


def test_a_gain_is_uniform_in_decibels_and_multiplies():
    seeds = torch.arange(1000)
    after = af.augment.Gain((-20, 10))(torch.full((1000, 3), 0.5), seeds=seeds).double()
    gains = decibels(after.numpy() / 0.5)
    assert np.abs(gains - gains[:, :1]).max() < 1e-5
    assert stats.kstest(gains[:, 0], stats.uniform(-20, 30).cdf).pvalue > 1e-3
    drawn = af.augment.Gain((-20, 10)).drawn(draws_of(af.augment.Gain, seeds))
    np.testing.assert_allclose(gains[:, 0], drawn.numpy(), atol=1e-5)


def draws_of(cls: type, seeds: torch.Tensor) -> Draws:
    """The draws as `change` is given them: the first said whether the clip is augmented."""
    draws = Draws(seeds, cls.__name__)
    draws.chosen(1.0)
    return draws


@pytest.mark.parametrize("relative_to", ["peak", "rms"])
def test_a_level_is_of_the_clip_without_its_padding(relative_to):
    given = batch()
    goal = -17.5
    after = af.augment.Gain(goal, relative_to=relative_to).run(given)
    for row, length in enumerate(given.lengths.tolist()):
        own = after.waveforms[row, :, :length].double().numpy()
        level = np.abs(own).max() if relative_to == "peak" else np.sqrt(np.mean(own**2))
        assert decibels(level) == pytest.approx(goal, abs=1e-4)
        assert not after.waveforms[row, :, length:].any()
        # both channels by one factor
        ratio = own / given.waveforms[row, :, :length].double().numpy()
        assert np.ptp(ratio) / ratio.mean() < 1e-5


@pytest.mark.parametrize("relative_to", ["clip", "peak", "rms"])
def test_silence_stays_silence_with_a_finite_gradient(relative_to):
    silent = torch.zeros(2, 100, requires_grad=True)
    after = af.augment.Gain(6.0, relative_to=relative_to)(silent, torch.tensor([100, 0]))
    assert not after.any()
    after.sum().backward()
    assert silent.grad is not None
    assert silent.grad.isfinite().all()


@pytest.mark.parametrize("relative_to", ["clip", "peak", "rms"])
def test_the_gradient_is_that_of_the_definition(relative_to):
    x = torch.randn(2, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    augmentation = af.augment.Gain(-3.0, relative_to=relative_to)
    if relative_to == "rms":  # its sums are float32
        for weights in torch.eye(9, dtype=torch.float64):
            (got,) = torch.autograd.grad(augmentation(x) @ weights, x, torch.ones(2, dtype=torch.float64))
            y = 10 ** (-3 / 20) * x / x.square().mean(1, keepdim=True).sqrt()
            (expected,) = torch.autograd.grad(y @ weights, x, torch.ones(2, dtype=torch.float64))
            torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    else:
        assert torch.autograd.gradcheck(lambda x: augmentation(x, seeds=torch.tensor([1, 2])), (x,))


def test_polarity_turns_half_of_the_clips_and_every_sample_of_one():
    after = af.augment.Polarity()(torch.full((1000, 5), 0.25), seeds=torch.arange(1000))
    assert set(after.unique().tolist()) == {-0.25, 0.25}
    assert (after == after[:, :1]).all()
    turned = int((after[:, 0] < 0).sum())
    assert stats.binomtest(turned, 1000, 0.5).pvalue > 1e-3


@pytest.mark.parametrize("gain", [(3, -3), "6", (0, float("inf")), (1, 2, 3), True])
def test_a_gain_that_is_no_range_is_refused(gain):
    with pytest.raises(ValueError, match="gain_db="):
        af.augment.Gain(gain)


def test_an_unknown_reference_is_refused():
    with pytest.raises(ValueError, match="relative_to='lufs' must be 'clip', 'peak' or 'rms'"):
        af.augment.Gain(relative_to="lufs")
    with pytest.raises(ValueError, match="relative_to="):
        af.augment.Clip(relative_to="rms")
