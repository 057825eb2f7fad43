"""BitDepth and MuLaw: the steps of so many bits, silence that stays, a gradient that passes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import audiofeed as af
from tests.augment.test_gain import batch, draws_of

CLASSES = {"BitDepth": af.augment.BitDepth, "MuLaw": af.augment.MuLaw}


def linear(x: np.ndarray, bits: int) -> np.ndarray:
    steps = 2 ** (bits - 1)
    return np.clip(np.rint(x * steps), -steps, steps - 1) / steps


def mu_law(x: np.ndarray, bits: int, mu: float = 255.0) -> np.ndarray:
    highest = 2 ** (bits - 1) - 1
    companded = np.sign(x) * np.log1p(mu * np.minimum(np.abs(x), 1)) / np.log1p(mu)
    rounded = np.rint(companded * highest) / highest
    return np.sign(rounded) * ((1 + mu) ** np.abs(rounded) - 1) / mu


@pytest.mark.parametrize("name", CLASSES)
def test_samples_are_rounded_as_the_definition_says(name):
    given = batch()
    augmentation = CLASSES[name]((2, 9))
    bits = augmentation.drawn(draws_of(CLASSES[name], given.seeds)).tolist()
    assert len(set(bits)) > 2
    after = augmentation.run(given)
    for row, (length, own) in enumerate(zip(given.lengths.tolist(), bits, strict=True)):
        x = given.waveforms[row, :, :length].double().numpy()
        expected = {"BitDepth": linear, "MuLaw": mu_law}[name](x, own)
        wrong = np.abs(after.waveforms[row, :, :length].numpy() - expected) > 1e-6
        # float32 may lie on the other side of a border between two steps
        assert wrong.mean() < 1e-3
        assert not after.waveforms[row, :, length:].any()
        assert len(np.unique(after.waveforms[row].numpy())) <= 2**own


@pytest.mark.parametrize("name", CLASSES)
def test_bits_are_drawn_alike_from_a_range_and_both_ends_are_in_it(name):
    drawn = CLASSES[name]((4, 9)).drawn(draws_of(CLASSES[name], torch.arange(1000))).numpy()
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == [4, 5, 6, 7, 8, 9]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_16_bits_keep_a_file_of_16_bits():
    integers = torch.randint(-(2**15), 2**15, (1, 5000), generator=torch.Generator().manual_seed(0))
    x = integers.float() / 2**15
    assert torch.equal(af.augment.BitDepth(16)(x), x)
    assert torch.equal(af.augment.BitDepth(24)(x), x)


@pytest.mark.parametrize("name", CLASSES)
def test_silence_and_full_scale_are_steps(name):
    for bits in (2, 8, 12):
        after = CLASSES[name](bits)(torch.tensor([[0.0, -1.0, 1.5, -1.5, 1e-9]]))
        top = 1.0 if name == "MuLaw" else 1 - 2.0 ** (1 - bits)
        assert after.tolist() == [[0.0, -1.0, top, -1.0, 0.0]]


def test_torchaudios_companding_makes_a_constant_of_silence_and_lies_as_near():
    functional = pytest.importorskip("torchaudio.functional", reason="torchaudio is not installed")
    silence = torch.zeros(1, 4)
    assert functional.mu_law_decoding(functional.mu_law_encoding(silence, 256), 256).abs().min() > 8e-5
    x = 0.3 * torch.randn(1, 4000, generator=torch.Generator().manual_seed(0)).clamp(-3, 3)
    theirs = functional.mu_law_decoding(functional.mu_law_encoding(x, 256), 256)
    ours = af.augment.MuLaw(8)(x)
    # one of 256 steps and one of 255: neither is nearer to the samples
    assert (ours - x).square().mean().sqrt() < 1.02 * (theirs - x).square().mean().sqrt()


@pytest.mark.parametrize("name", CLASSES)
def test_the_gradient_is_that_of_a_clamp_and_changes_no_value(name):
    x = torch.tensor([[0.1, -0.9, 1.5, -2.0]], requires_grad=True)
    after = CLASSES[name](5)(x)
    assert torch.equal(after.detach(), CLASSES[name](5)(x.detach()))
    after.sum().backward()
    assert x.grad.tolist() == [[1, 1, 0, 0]]


@pytest.mark.parametrize("name", CLASSES)
def test_a_device_rounds_as_a_cpu_does(name, monkeypatch):
    given = batch()
    augmentation = CLASSES[name]((2, 9), p=0.7)
    here = augmentation.run(given).waveforms
    monkeypatch.setattr("audiofeed.augment.levels.quantization.may_look", lambda clips: False)
    torch.testing.assert_close(augmentation.run(given).waveforms, here, rtol=0, atol=1e-6)


@pytest.mark.parametrize("bits", [1, 25, 8.0, (9, 4), True, "8"])
@pytest.mark.parametrize("name", CLASSES)
def test_bits_that_are_none_are_refused(name, bits):
    with pytest.raises(ValueError, match="bits="):
        CLASSES[name](bits)
