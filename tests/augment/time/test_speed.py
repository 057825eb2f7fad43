"""Speed: tones at the factor's frequency, lengths rounded up, each clip by its own draw, labels stretched with it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import stats

import audiofeed as af
from audiofeed.augment import Clips
from audiofeed.augment.time.resampling import Grid, resampled, weights
from audiofeed.data.targets.timed import CutEvents, CutFrames
from tests.augment.test_gain import batch, draws_of

RATE = 8000


def reference(
    x: np.ndarray, factor: float, cutoff: float = 0.9, crossings: int = 32, shape: float = 10.0
) -> np.ndarray:
    """The resampled clip by the definition: a windowed sinc about each instant, in float64."""
    scale = cutoff * min(1.0, 1 / factor)
    places = np.arange(int(np.ceil(Fraction(x.shape[-1]) / Fraction(factor).limit_denominator(10_000)))) * factor
    turns = (np.arange(x.shape[-1]) - places[:, None]) * scale
    inside = 1 - (turns / crossings) ** 2
    window = np.where(inside > 0, np.exp(shape * (np.sqrt(np.maximum(inside, 0)) - 1)), 0)
    return x @ (scale * np.sinc(turns) * window).T


SETTINGS = [{"factor": (0.8, 1.25)}, {"factor": 1.5}, {"choices": (0.9, 1.0, 1.1)}, {"choices": (0.5, 4 / 3, 2.0)}]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_samples_are_those_of_the_definition(setting):
    given = batch(size=800)
    augmentation = af.augment.Speed(**setting)
    factors = augmentation.drawn(draws_of(af.augment.Speed, given.seeds)).tolist()
    after = augmentation.run(given)
    for row, (length, factor) in enumerate(zip(given.lengths.tolist(), factors, strict=True)):
        x = given.waveforms[row, :, :length].double().numpy()
        expected = x if factor == 1 else reference(x, factor)
        assert int(after.lengths[row]) == expected.shape[1]
        got = after.waveforms[row, :, : expected.shape[1]].numpy()
        assert np.abs(got - expected).max() < 2e-6 * np.abs(x).max()
        assert not after.waveforms[row, :, expected.shape[1] :].any()


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_a_device_resamples_as_a_cpu_does(setting, monkeypatch):
    given = batch()
    augmentation = af.augment.Speed(**setting, p=0.8)
    here = augmentation.run(given)
    monkeypatch.setattr("audiofeed.augment.time.speed.may_look", lambda clips: False)
    there = augmentation.run(given)
    assert torch.equal(here.lengths, there.lengths)
    torch.testing.assert_close(there.waveforms, here.waveforms, rtol=0, atol=2e-6)


@pytest.mark.parametrize("factor", [0.9, 1.1, 0.75])
def test_a_tone_keeps_its_level_and_goes_up_by_the_factor(factor):
    t = np.arange(8000)
    for cycles in (0.01, 0.2, 0.4 / max(1.0, factor)):  # per sample; up to 0.8 of the lower Nyquist frequency
        x = torch.from_numpy(np.sin(2 * np.pi * cycles * t)).float()[None]
        after = af.augment.Speed(factor).run(Clips(x, torch.tensor([8000]), torch.tensor([0])))
        m = np.arange(int(after.lengths[0]))
        error = after.waveforms[0, : len(m)].numpy() - np.sin(2 * np.pi * cycles * factor * m)
        assert np.abs(error[100:-100]).max() < 10 ** (-85 / 20), cycles


def test_what_would_be_folded_back_is_90_db_down():
    grid = Grid.of(10)
    kernel = weights(torch.tensor([60]), grid, 60)[0]  # 1.2 times as fast
    t = torch.arange(4000)
    for cycles in (0.5 / 1.2, 0.44, 0.49):
        tone = torch.sin(2 * torch.pi * cycles * t.double()).float()[None]
        rest = resampled(tone, 60, grid, kernel)[0, 100:-100]
        assert rest.abs().max() < 10 ** (-90 / 20), cycles


def test_factors_are_drawn_as_documented():
    drawn = af.augment.Speed((0.85, 1.2)).drawn(draws_of(af.augment.Speed, torch.arange(1000))).numpy()
    steps = np.rint(drawn * 200)
    np.testing.assert_allclose(drawn, steps / 200)
    assert (steps.min(), steps.max()) == (170, 240)
    assert stats.kstest(drawn + 0.0, stats.uniform(0.8475, 0.355).cdf).pvalue > 1e-3
    chosen = af.augment.Speed(choices=(0.9, 1.0, 1.1)).drawn(draws_of(af.augment.Speed, torch.arange(1000))).numpy()
    values, counts = np.unique(chosen, return_counts=True)
    assert values.tolist() == [0.9, 1.0, 1.1]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_clips_of_a_batch_have_factors_of_their_own():
    """SpeechBrain's SpeedPerturb plays a whole batch at one speed."""
    clips = Clips(torch.ones(50, 1000), torch.full((50,), 1000), torch.arange(50))
    after = af.augment.Speed(choices=(0.9, 1.0, 1.1)).run(clips)
    assert sorted(set(after.lengths.tolist())) == [910, 1000, 1112]


def test_a_factor_of_1_and_a_clip_left_out_keep_their_bits():
    given = batch()
    for augmentation in (af.augment.Speed(1.0), af.augment.Speed((0.9, 1.1), p=0.5)):
        after = augmentation.run(given)
        kept = (after.lengths == given.lengths) & (given.lengths > 100)
        assert kept.sum() > 1
        assert torch.equal(after.waveforms[kept, :, : given.size], given.waveforms[kept])


def test_an_empty_clip_stays_empty():
    after = af.augment.Speed(0.5).run(Clips(torch.zeros(2, 4), torch.tensor([0, 4]), torch.tensor([1, 2])))
    assert after.lengths.tolist() == [0, 8]


def test_the_gradient_is_the_transposed_filter():
    x = torch.randn(1, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    lengths, seeds = torch.tensor([20]), torch.tensor([1])
    augmentation = af.augment.Speed(1.25)
    assert torch.autograd.gradcheck(lambda x: augmentation.run(Clips(x, lengths, seeds)).waveforms, (x,), atol=1e-6)


@pytest.mark.parametrize("rule", ["max", "nearest"])
def test_labels_are_stretched_with_their_clip(rule):
    n = 8000
    x = torch.zeros(4, n)
    clicks = [[1000, 5003], [40, 7000], [4000], [7900]]
    events, frames = [], []
    for row, places in enumerate(clicks):
        x[row, places] = 1.0
        at = torch.tensor(places, dtype=torch.float64)
        events.append(CutEvents(at, at, torch.zeros(len(places), dtype=torch.int64), n, 1, "onset", "span"))
        values = torch.zeros(n // 10, dtype=torch.int64)
        values[[place // 10 for place in places]] = 1
        frames.append(CutFrames(values, 5.0, 10.0, n, rule, 0))
    targets = {"events": CutEvents.join(events), "frames": CutFrames.join(frames)}
    clips = Clips(x, torch.full((4,), n), torch.arange(4), RATE, targets=targets)
    after = af.augment.Speed((0.7, 1.4)).run(clips)
    assert len(after.lengths.unique()) == 4
    hop = 10
    centers = torch.arange(after.size // hop).double() * hop
    marks = after.targets["events"].at(centers, after.lengths // hop, after.lengths)[:, 0]
    labels = after.targets["frames"].at(centers, after.lengths // hop, after.lengths)
    for row, places in enumerate(clicks):
        loud = after.waveforms[row].abs().unfold(0, 3, 1).amax(1)
        peaks = [int(p) for p in torch.nonzero(loud > 0.45).flatten()]
        for mark in torch.nonzero(marks[row]).flatten().tolist():
            assert any(abs(mark * hop - p - 1) <= hop / 2 + 3 for p in peaks), (row, mark)
        assert marks[row].sum() == len(places)
        if rule == "max":
            for place in torch.nonzero(labels[row]).flatten().tolist():
                assert any(abs(place * hop - p - 1) <= 2 * hop for p in peaks), (row, place)
            assert labels[row].sum() >= len(places)


def test_what_is_no_setting_is_refused():
    for factor in (0.0, 20.0, (1.1, 0.9), "1.0"):
        with pytest.raises(ValueError, match="factor="):
            af.augment.Speed(factor)
    with pytest.raises(ValueError, match="multiple of 1/200"):
        af.augment.Speed((0.9001, 0.9002))
    for choices in ((), "0.9", (0.9, 0.0), 0.9):
        with pytest.raises(ValueError, match="choices="):
            af.augment.Speed(choices=choices)
    with pytest.raises(ValueError, match="give one of them"):
        af.augment.Speed(0.9, choices=(0.9,))
    with pytest.raises(TypeError, match="lengths"):
        af.augment.Speed()(torch.ones(1, 9))
