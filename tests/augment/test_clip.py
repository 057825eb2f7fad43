"""Clip: limits are of the clip's own samples, whatever it is padded to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import audiofeed as af
from audiofeed.augment import Clips
from tests.augment.test_gain import batch, draws_of


def test_limits_are_uniform_shares_of_the_peak():
    waveforms = torch.linspace(-1, 0.7, 200).expand(1000, 200).contiguous()
    after = af.augment.Clip((0.3, 0.9))(waveforms, seeds=torch.arange(1000))
    assert stats.kstest(after.abs().amax(1).double().numpy(), stats.uniform(0.3, 0.6).cdf).pvalue > 1e-3


@pytest.mark.parametrize("relative_to", ["peak", "full_scale", "samples"])
def test_what_is_clipped_is_what_the_definition_says(relative_to):
    given = batch()
    augmentation = af.augment.Clip((0.1, 0.5), relative_to=relative_to)
    levels = augmentation.drawn(draws_of(af.augment.Clip, given.seeds)).tolist()
    after = augmentation.run(given)
    for row, (length, level) in enumerate(zip(given.lengths.tolist(), levels, strict=True)):
        own = given.waveforms[row, :, :length].double().numpy()
        if relative_to == "samples":
            loudest = np.sort(np.abs(own).ravel())[::-1]
            limit = loudest[min(int(level * own.size), own.size - 1)]
        else:
            limit = level * (np.abs(own).max() if relative_to == "peak" else 1.0)
        np.testing.assert_allclose(
            after.waveforms[row, :, :length].numpy(), np.clip(own, -limit, limit), rtol=1e-6, atol=1e-7
        )
        assert not after.waveforms[row, :, length:].any()
        if relative_to == "samples":
            changed = (after.waveforms[row] != given.waveforms[row]).sum().item()
            assert changed == min(int(level * own.size), own.size - 1)


def test_a_device_finds_the_limits_that_a_cpu_finds(monkeypatch):
    given = batch()
    augmentation = af.augment.Clip((0.1, 0.5), relative_to="samples")
    here = augmentation.run(given).waveforms
    monkeypatch.setattr("audiofeed.augment.levels.clip.may_look", lambda clips: False)
    assert torch.equal(augmentation.run(given).waveforms, here)


def test_a_share_of_0_and_silence_change_nothing():
    given = batch()
    assert torch.equal(af.augment.Clip(0.0, relative_to="samples").run(given).waveforms, given.waveforms)
    silent = Clips(torch.zeros(1, 50), torch.tensor([50]), torch.tensor([1]))
    for relative_to in ("peak", "samples", "full_scale"):
        assert not af.augment.Clip(0.5, relative_to=relative_to).run(silent).waveforms.any()


def test_the_gradient_is_1_within_the_limit_and_0_beyond():
    x = torch.tensor([[0.1, -0.9, 0.4, 1.0]], requires_grad=True)
    af.augment.Clip(0.5)(x).sum().backward()
    assert x.grad.tolist() == [[1, 0, 1, 0]]


@pytest.mark.parametrize("level", [0.0, 1.5, (0.5, 0.1), "loud"])
def test_a_level_that_is_none_is_refused(level):
    with pytest.raises(ValueError, match="level="):
        af.augment.Clip(level)
