"""AddNoise: the ratio asked for over the clip's own samples, and noise of the color asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import signal, stats

import audiofeed as af
from audiofeed.augment import Clips
from audiofeed.augment.noise.colored import colored_noise
from tests.augment.test_gain import batch, draws_of

COLORS = ["white", "pink", ("violet", "brown"), 1.5]


def power(x: np.ndarray) -> float:
    return float(np.mean(x.astype(np.float64) ** 2))


@pytest.mark.parametrize("color", COLORS)
def test_the_ratio_is_that_of_the_clips_own_samples(color):
    given = batch()
    augmentation = af.augment.AddNoise((-5, 30), color=color)
    asked = augmentation.drawn(draws_of(af.augment.AddNoise, given.seeds))[0].tolist()
    after = augmentation.run(given)
    for row, (length, ratio) in enumerate(zip(given.lengths.tolist(), asked, strict=True)):
        own = given.waveforms[row, :, :length].numpy()
        noise = after.waveforms[row, :, :length].numpy() - own
        got = 10 * np.log10(power(own) / power(noise))
        assert abs(got - ratio) < 0.05, (row, got, ratio)
        assert not after.waveforms[row, :, length:].any()


def test_padding_eightfold_does_not_change_the_ratio():
    """torch-audiomentations sets the noise by the padded row's power: 9 dB less than asked for here."""
    clip = 0.2 * torch.randn(1, 2000, generator=torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(clip, (0, 14_000))
    for color in COLORS:
        noise = af.augment.AddNoise(10.0, color=color)(padded, torch.tensor([2000]), torch.tensor([5])) - padded
        assert 10 * np.log10(power(clip.numpy()) / power(noise[0, :2000].numpy())) == pytest.approx(10, abs=0.05)


def test_ratios_and_colors_are_uniform_and_do_not_depend_on_each_other():
    augmentation = af.augment.AddNoise((3, 30), color=("blue", "brown"))
    ratios, exponents, _ = augmentation.drawn(draws_of(af.augment.AddNoise, torch.arange(1000)))
    assert stats.kstest(ratios.numpy(), stats.uniform(3, 27).cdf).pvalue > 1e-3
    assert stats.kstest(exponents.numpy(), stats.uniform(-1, 3).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(ratios.numpy(), exponents.numpy())[0, 1]) < 0.1


def test_ratios_of_1000_clips_are_as_drawn():
    clips = torch.randn(1000, 300, generator=torch.Generator().manual_seed(0))
    augmentation = af.augment.AddNoise((3, 30))
    after = augmentation(clips, seeds=torch.arange(1000))
    got = 10 * np.log10((clips.double().square().mean(1) / (after - clips).double().square().mean(1)).numpy())
    asked = augmentation.drawn(draws_of(af.augment.AddNoise, torch.arange(1000)))[0].numpy()
    assert np.abs(got - asked).max() < 0.05


@pytest.mark.parametrize("exponent", [-2.0, -1.0, 0.0, 1.0, 2.0])
def test_the_spectrum_has_the_slope_asked_for(exponent):
    noise = colored_noise(torch.arange(8), torch.full((8,), exponent), 200_000).double().numpy()
    frequencies, density = signal.welch(noise, nperseg=8192, axis=-1)
    density = density.mean(0)
    inside = (frequencies > 0.003) & (frequencies < 0.45)
    slope, offset = np.polyfit(np.log(frequencies[inside]), np.log(density[inside]), 1)
    assert slope == pytest.approx(-exponent, abs=0.03)
    # nowhere off the line by more than the estimate's own spread
    rest = np.log(density[inside]) - slope * np.log(frequencies[inside]) - offset
    thirds = [np.abs(part.mean()) for part in np.array_split(rest, 12)]
    assert max(thirds) < 0.08
    flat = density[(frequencies > 2 / 8192) & (frequencies < 4 / 4096)]
    assert np.ptp(np.log(flat)) < 0.8


@pytest.mark.parametrize("exponent", [0.0, 2.0])
def test_the_noise_is_normal_of_one_variance_everywhere_and_no_seam_shows(exponent):
    noise = colored_noise(torch.arange(2000), torch.full((2000,), exponent), 9000).double().numpy()
    # by places of the clip: in the faded parts, beside them, and in the middle of blocks
    variance = noise.var(axis=0)
    assert np.abs(variance - 1).max() < 0.25
    blocks = variance[: 3072 * 2].reshape(2, -1).mean(0).reshape(-1, 256).mean(1)
    assert np.abs(blocks - 1).max() < 0.08
    assert stats.kstest(noise[:, 3500], "norm").pvalue > 1e-3
    assert stats.kstest(noise[:, 2500], "norm").pvalue > 1e-3
    # steps between neighbors are no larger at a seam than elsewhere
    steps = np.diff(noise, axis=1).var(axis=0)
    assert steps.max() / steps.mean() < 1.3


def test_a_sample_of_the_noise_depends_on_its_seed_and_place_alone():
    exponents = torch.linspace(-2, 2, 7)
    together = colored_noise(torch.arange(7), exponents, 20_000)
    for row in range(7):
        for n in (1, 2047, 2048, 2049, 9000):
            assert torch.equal(colored_noise(torch.tensor([row]), exponents[row : row + 1], n)[0], together[row, :n])
    correlation = np.corrcoef(together.numpy())
    assert np.abs(correlation - np.eye(7)).max() < 0.2


@pytest.mark.parametrize("color", COLORS)
def test_a_device_adds_the_noise_that_a_cpu_adds(color, monkeypatch):
    given = batch()
    augmentation = af.augment.AddNoise((0, 10), color=color, p=0.8)
    here = augmentation.run(given).waveforms
    monkeypatch.setattr("audiofeed.augment.contract.augmentation.may_look", lambda clips: False)
    monkeypatch.setattr("audiofeed.augment.noise.add_noise.may_look", lambda clips: False)
    torch.testing.assert_close(augmentation.run(given).waveforms, here, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("color", ["white", "pink"])
def test_channels_have_noise_of_their_own_and_the_first_that_of_a_mono_clip(color):
    x = torch.ones(1, 2, 4000)
    noise = (af.augment.AddNoise(0.0, color=color)(x, seeds=torch.tensor([3])) - x)[0].double().numpy()
    assert abs(np.corrcoef(noise)[0, 1]) < 0.2
    mono = (af.augment.AddNoise(0.0, color=color)(x[:, 0], seeds=torch.tensor([3])) - x[:, 0])[0].double().numpy()
    assert np.corrcoef(noise[0], mono)[0, 1] > 0.999


def test_silence_stays_silence_with_a_finite_gradient():
    silent = torch.zeros(2, 100, requires_grad=True)
    after = af.augment.AddNoise(10.0)(silent, torch.tensor([100, 0]))
    assert not after.any()
    after.sum().backward()
    assert silent.grad.isfinite().all()


def test_the_gradient_is_that_of_the_definition():
    x = torch.randn(1, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    augmentation, seeds, weights = af.augment.AddNoise(3.0), torch.tensor([4]), torch.linspace(-1, 1, 12).double()
    noise = (augmentation(x, seeds=seeds) - x).detach()
    shape = noise / noise.square().mean().sqrt()
    (got,) = torch.autograd.grad((augmentation(x, seeds=seeds) * weights).sum(), x)
    y = x + shape * x.square().mean().sqrt() * 10 ** (-3 / 20)
    (expected,) = torch.autograd.grad((y * weights).sum(), x)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("color", ["purple", 5.0, ("brown", "white"), ("white", "grey"), None])
def test_a_color_that_is_none_is_refused(color):
    with pytest.raises(ValueError, match="color="):
        af.augment.AddNoise(color=color)


def test_a_ratio_that_is_no_range_is_refused():
    with pytest.raises(ValueError, match="snr_db="):
        af.augment.AddNoise((30, 3))


def test_rows_of_a_clips_object_keep_what_is_not_drawn():
    given = batch()
    after = af.augment.AddNoise(0.0, p=0.5).run(given)
    same = (after.waveforms == given.waveforms).flatten(1).all(1)
    assert 0 < same.sum() < len(same)
    assert isinstance(after, Clips)
