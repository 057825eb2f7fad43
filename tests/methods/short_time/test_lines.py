"""Passes over lines of features by machine code: float64's values, inside their own memory, and nothing past an end."""

from __future__ import annotations

import pytest
import torch

from audiofeed.methods.short_time.kernel import address_check, jit
from audiofeed.methods.short_time.kernel.lines import lines_of
from tests.signals import single_noise as noise

pytestmark = pytest.mark.skipif(not jit.lanes(), reason="needs llvmlite")


@pytest.mark.parametrize("frames", [1, 3, 16, 17, 255, 1000, 5001])
@pytest.mark.parametrize(("spread", "within"), [(0.1, 3e-5), (1e-5, 3e-2)])
def test_moments_are_those_of_float64(frames, spread, within):
    """Also where the mean lies between two floats, and the values no more than some floats beside it."""
    features = noise(2, 1, 3, frames) * spread + 40
    found = lines_of(features, None).moments()
    wide = features.double()
    mean = wide.mean(-1)
    torch.testing.assert_close(found[..., 0], mean, rtol=3e-7, atol=0)
    squares = (wide - mean[..., None]).square().sum(-1)
    torch.testing.assert_close(found[..., 1], squares, rtol=within, atol=1e-15)


def test_a_pass_ends_where_its_clip_does():
    lengths = torch.tensor([50, 17, 1])
    features = noise(3, 2, 4, 50)
    for clip, length in zip(features, lengths.tolist(), strict=True):
        clip[..., length:] = 1e9
    before = features.clone()
    lines = lines_of(features, lengths)
    for clip, peak, moments, length in zip(before, lines.peaks(), lines.moments(), lengths.tolist(), strict=True):
        own = clip[..., :length].double()
        assert torch.equal(peak[..., 0], own.amax(-1))
        torch.testing.assert_close(moments[..., 0], own.mean(-1), rtol=1e-6, atol=1e-6)
    add, divide = noise(4), noise(4).abs() + 1
    lines.apply("least", "affine", numbers=(torch.tensor(0.2), add, divide))
    expected = (before.clamp(min=0.2) + add[:, None]) / divide[:, None]
    for clip, was, wanted, length in zip(features, before, expected, lengths.tolist(), strict=True):
        assert torch.equal(clip[..., :length], wanted[..., :length])
        assert torch.equal(clip[..., length:], was[..., length:])


def test_nan_and_infinity_stay_what_they_are():
    features = torch.zeros(1, 1, 3, 40)
    features[0, 0, 0, 3], features[0, 0, 1, 39] = torch.nan, torch.inf
    lines = lines_of(features, None)
    assert lines.peaks().flatten().isnan().tolist() == [True, False, False]
    assert lines.peaks().flatten()[1:].tolist() == [torch.inf, 0.0]
    lines.standardize(unbiased=True, eps=1e-5, eps_to="std")
    assert features[0, 0, :2].isnan().all()
    assert (features[0, 0, 2] == 0).all()


@pytest.mark.parametrize("eps_to", ["std", "variance"])
def test_values_that_differ_by_rounding_alone_are_0(eps_to):
    features = torch.full((1, 1, 2, 40), 3.0)
    features[0, 0, 0, ::2] = torch.nextafter(torch.tensor(3.0), torch.tensor(4.0))
    features[0, 0, 1, ::2] = 3.001
    lines_of(features, None).standardize(unbiased=True, eps=0.0, eps_to=eps_to)
    assert (features[0, 0, 0] == 0).all()
    assert (features[0, 0, 1].abs() > 0.9).all()


@pytest.mark.parametrize("eps_to", ["std", "variance"])
@pytest.mark.parametrize("unbiased", [True, False])
def test_a_line_is_standardized(eps_to, unbiased):
    features = noise(2, 1, 3, 70) * 3 + 5
    wide = features.double()
    variance = wide.var(-1, keepdim=True, correction=int(unbiased))
    divisor = (variance + 0.5).sqrt() if eps_to == "variance" else variance.sqrt() + 0.5
    lines_of(features, None).standardize(unbiased=unbiased, eps=0.5, eps_to=eps_to)
    torch.testing.assert_close(features.double(), (wide - wide.mean(-1, keepdim=True)) / divisor, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("floor", [None, 1e-4, 20.0])
def test_a_line_is_centered_into_other_memory(floor):
    """Its own frames alone are read and written; with a floor it is over its deviation, too."""
    lengths = torch.tensor([70, 17, 1])
    features = noise(3, 2, 4, 70) * 3 + 5
    before, into = features.clone(), torch.full((3, 2, 4, 90), 7.0)[..., 10:80]
    for clip, length in zip(features, lengths.tolist(), strict=True):
        clip[..., length:] = 1e9
    lines_of(features, lengths, into).center(floor)
    for clip, was, length in zip(into, before, lengths.tolist(), strict=True):
        own = was[..., :length].double()
        centered = own - own.mean(-1, keepdim=True)
        if floor is not None:
            centered *= centered.square().mean(-1, keepdim=True).clamp(min=floor).rsqrt()
        torch.testing.assert_close(clip[..., :length].double(), centered, rtol=1e-5, atol=2e-6)
        assert (clip[..., length:] == 7).all()


@pytest.mark.parametrize("frames", [1, 16, 17, 70])
@pytest.mark.parametrize("weights", [(2.0,), (0.0, -1.5, 0.25), (-3.0, 0.0, 0.0, 1e-3, 4.0)])
def test_a_line_is_correlated_into_other_memory(frames, weights):
    reach = len(weights) - 1
    whole = torch.full((2, 1, 3, frames + reach + 5), torch.nan)  # what no weight reaches
    whole[..., : frames + reach] = noise(2, 1, 3, frames + reach)
    into = torch.full((2, 1, 3, frames + 8), 7.0)
    lines_of(whole[..., :frames], None, into[..., 3 : 3 + frames]).correlate(weights)
    wide = whole.double()
    expected = sum(weight * wide[..., i : i + frames] for i, weight in enumerate(weights))
    torch.testing.assert_close(into[..., 3 : 3 + frames].double(), expected, rtol=1e-6, atol=1e-6)
    assert (into[..., :3] == 7).all()
    assert (into[..., 3 + frames :] == 7).all()


def test_a_filter_that_reaches_out_of_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr(address_check, "ENABLED", True)
    features = noise(1, 1, 3, 40)
    lines = lines_of(features[..., :38], None, torch.empty(1, 1, 3, 38))
    lines.correlate((1.0, 0.0, 2.0))
    with pytest.raises(IndexError, match="line 2 is not inside"):
        lines.correlate((1.0, 0.0, 2.0, 3.0))


def test_lines_outside_the_memory_that_they_are_written_to_are_found(monkeypatch):
    monkeypatch.setattr(address_check, "ENABLED", True)
    lines = lines_of(noise(2, 1, 3, 40), None, torch.empty(2, 1, 3, 40))
    lines.center(None)
    lines._targets[4] += 4 * 41
    with pytest.raises(IndexError, match="line 4 is not inside"):
        lines.center(None)


def test_memory_that_a_pass_cannot_take_is_left_to_torch():
    assert lines_of(noise(2, 1, 3, 8).double(), None) is None
    assert lines_of(noise(2, 1, 8, 3).transpose(-1, -2), None) is None
    with torch._subclasses.FakeTensorMode():
        assert lines_of(torch.zeros(2, 1, 3, 8), None) is None


def test_a_line_outside_its_memory_is_refused():
    lines = lines_of(noise(2, 1, 3, 8), torch.tensor([8, 9]))
    with pytest.raises(IndexError, match="line 5 is not inside"):
        lines.peaks()
