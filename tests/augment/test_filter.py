"""Filter: the cookbook's biquads in float64, at any cutoff, quality and gain."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.signal import sosfilt

from audiofeed.augment import Clips, Filter
from audiofeed.augment.contract import augmentation as augmentation_file
from audiofeed.augment.contract.draws import Draws
from audiofeed.augment.filters import filter as filter_file
from audiofeed.augment.filters.filter import KINDS
from audiofeed.methods.short_time.kernel import jit

RATE = 16_000


@pytest.fixture(params=["kernel", "torch"])
def way(request, monkeypatch) -> str:
    """The kernel filters, or torch as it does for a gradient."""
    if request.param == "torch":
        monkeypatch.setattr(augmentation_file, "readable", lambda *tensors: False)
    elif not jit.lanes():
        pytest.skip("no kernels here: " + str(jit.missing()))
    return request.param


def cookbook(kind: str, cutoff: float, rate: float, q: float, gain_db: float) -> np.ndarray:
    """The biquad as the cookbook has it, (1, 6)."""
    w = 2 * np.pi * cutoff / rate
    c, alpha, a = np.cos(w), np.sin(w) / (2 * q), 10 ** (gain_db / 40)
    root = 2 * np.sqrt(a) * alpha
    plain = [1 + alpha, -2 * c, 1 - alpha]
    up, down = (a + 1) + (a - 1) * c, (a + 1) - (a - 1) * c
    numerator, denominator = {
        "low_pass": ([(1 - c) / 2, 1 - c, (1 - c) / 2], plain),
        "high_pass": ([(1 + c) / 2, -1 - c, (1 + c) / 2], plain),
        "band_pass": ([alpha, 0, -alpha], plain),
        "band_stop": ([1, -2 * c, 1], plain),
        "peak": ([1 + alpha * a, -2 * c, 1 - alpha * a], [1 + alpha / a, -2 * c, 1 - alpha / a]),
        "low_shelf": (
            [a * (down + root), 2 * a * ((a - 1) - (a + 1) * c), a * (down - root)],
            [up + root, -2 * ((a - 1) + (a + 1) * c), up - root],
        ),
        "high_shelf": (
            [a * (up + root), -2 * a * ((a - 1) + (a + 1) * c), a * (up - root)],
            [down + root, 2 * ((a - 1) - (a + 1) * c), down - root],
        ),
    }[kind]
    return np.array([[*numerator, *denominator]]) / denominator[0]


def noise(n: int, time: int, channels: int | None = None) -> torch.Tensor:
    shape = (n, time) if channels is None else (n, channels, time)
    return 2 * torch.rand(*shape, generator=torch.Generator().manual_seed(0)) - 1


@pytest.mark.parametrize("rows", ["kernel", "some", "all"])
@pytest.mark.parametrize("channels", [None, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_biquad_in_float64(kind, channels, rows, monkeypatch):
    """Of full-scale noise the error is below 1e-6 of full scale, or of the largest value where that is above."""
    if rows != "kernel":
        monkeypatch.setattr(augmentation_file, "readable", lambda *tensors: False)
    if rows == "all":
        monkeypatch.setattr(filter_file, "may_look", lambda clips: False)
    gain = {"gain_db": (-20, 20)} if kind in ("peak", "low_shelf", "high_shelf") else {}
    augmentation = Filter(kind, (20, 7_900), q=(0.1, 50), p=0.9, **gain)
    x, seeds = noise(24, 20_000, channels), torch.arange(24)
    found = augmentation(x, seeds=seeds, sample_rate=RATE)
    draws = Draws(seeds, "Filter")
    active = draws.chosen(0.9)
    for row, settings in enumerate(zip(*(values.tolist() for values in augmentation.drawn(draws)), strict=True)):
        cutoff, q, gain_db = settings
        expected = x[row].double().numpy()
        if active[row]:
            expected = sosfilt(cookbook(kind, cutoff, RATE, q, gain_db), expected)
        error = np.abs(found[row].numpy() - expected).max() / max(1.0, np.abs(expected).max())
        assert error < 1e-6, (settings, error)
    assert not active.all()


@pytest.mark.parametrize("rate", [8_000, 48_000, 192_000])
@pytest.mark.parametrize("kind", KINDS)
def test_it_stays_exact_at_the_ends_of_the_range(kind, rate, way):
    x = noise(1, 3 * rate // 2)
    for share in (0.0005, 0.4999):
        for q in (0.05, 0.5, 1000.0):
            gain = {"gain_db": -60.0} if kind in ("peak", "low_shelf", "high_shelf") else {}
            found = Filter(kind, share * rate, q=q, **gain)(x, sample_rate=rate)[0].numpy()
            settings = (share * rate, rate, q, -60.0 if gain else 0.0)
            expected = sosfilt(cookbook(kind, *settings), x[0].double().numpy())
            error = np.abs(found - expected).max() / max(1.0, np.abs(expected).max())
            assert error < 1e-5, (settings, error)


@pytest.mark.parametrize("time", [1, 2, 31, 32, 33, 1023, 1024, 1025, 40_000])
def test_clips_of_any_length(time, way):
    x = noise(3, time)
    found = Filter("high_pass", 200.0)(x, sample_rate=RATE)
    expected = sosfilt(cookbook("high_pass", 200.0, RATE, np.sqrt(0.5), 0.0), x.double().numpy())
    assert np.abs(found.numpy() - expected).max() < 1e-6


@pytest.mark.parametrize("threads", [1, 2])
def test_a_clip_has_the_same_bits_beside_any_others(threads, way):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        augmentation = Filter("peak", (50, 5_000), q=(0.5, 5))
        x, seeds = noise(20, 30_000), torch.arange(20)
        lengths = torch.tensor([30_000, 5_000, 300, 1] * 5)
        x = torch.where(torch.arange(30_000) < lengths[:, None], x, 0)
        together = augmentation(x, lengths, seeds, sample_rate=RATE)
        for rows in ([0], [1, 2], [7, 3, 5], [19]):
            size = int(lengths[rows].max())
            alone = augmentation(x[rows][:, :size], lengths[rows], seeds[rows], sample_rate=RATE)
            assert torch.equal(alone, together[rows, :size])
    finally:
        torch.set_num_threads(before)


def test_a_kernels_error_is_that_of_rounding_its_result():
    if not jit.lanes():
        pytest.skip("no kernels here: " + str(jit.missing()))
    x = noise(1, 50_000)
    found = Filter("low_pass", 30.0, q=20.0)(x, sample_rate=RATE)[0].double().numpy()
    expected = sosfilt(cookbook("low_pass", 30.0, RATE, 20.0, 0.0), x[0].double().numpy())
    assert (np.abs(found - expected) <= np.abs(expected) * 2.0**-24 + 1e-10).all()


def test_draws_have_the_documented_distribution():
    augmentation = Filter("peak", (100, 6_400), q=(0.5, 8), gain_db=(-6, 18))
    cutoff, q, gain_db = augmentation.drawn(Draws(torch.arange(1000), "Filter"))
    assert stats.kstest(cutoff.log2().numpy(), stats.uniform(np.log2(100), 6).cdf).pvalue > 1e-3
    assert stats.kstest(q.log2().numpy(), stats.uniform(-1, 4).cdf).pvalue > 1e-3
    assert stats.kstest(gain_db.numpy(), stats.uniform(-6, 24).cdf).pvalue > 1e-3


def test_the_gradient_is_the_filter_backwards():
    x = noise(2, 3_000).requires_grad_()
    augmentation = Filter("band_pass", 700.0, q=3.0)
    weight = torch.randn(2, 3_000, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((augmentation(x, sample_rate=RATE) * weight).sum(), x)
    backwards = sosfilt(cookbook("band_pass", 700.0, RATE, 3.0, 0.0), weight.double().numpy()[:, ::-1])[:, ::-1]
    assert np.abs(gradient.numpy() - backwards).max() < 1e-5


def test_wrong_arguments():
    for arguments, settings, match in [
        (("lowpass", 100.0), {}, "kind='lowpass'"),
        (("low_pass", (500, 100)), {}, "cutoff="),
        (("low_pass", 0.0), {}, "cutoff="),
        (("low_pass", 100.0), {"q": 0.0}, "q="),
        (("low_pass", 100.0), {"gain_db": 3.0}, "'low_pass' has no gain"),
        (("peak", 100.0), {"gain_db": 90.0}, "gain_db="),
        (("peak", 100.0), {"p": 3}, "p=3"),
    ]:
        with pytest.raises(ValueError, match=match):
            Filter(*arguments, **settings)
    for rate, match in [(None, "needs the clips' sample rate"), (200, "below half of the clips' sample rate, 200 Hz")]:
        clips = Clips(noise(1, 50), torch.tensor([50]), torch.tensor([1]), rate)
        with pytest.raises(ValueError, match=match):
            Filter("low_pass", 100.0).run(clips)
    assert repr(Filter("peak", (100, 200), q=2, p=0.5)) == (
        "Filter('peak', cutoff=(100, 200), q=2, gain_db=(-12, 12), p=0.5)"
    )
