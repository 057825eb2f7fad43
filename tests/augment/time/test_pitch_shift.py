"""PitchShift: tones at the interval's frequency and their level, onsets where they were, as long as before."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import audiofeed as af
from audiofeed.augment import Clips
from tests.augment.test_gain import batch, draws_of

RATE = 16_000


def tones(frequency: float, n: int) -> np.ndarray:
    return np.sin(2 * np.pi * frequency / RATE * np.arange(n))


def shifted(x: np.ndarray, semitones: float, **settings) -> np.ndarray:
    clip = torch.from_numpy(x).float()[None]
    return af.augment.PitchShift(semitones)(clip, sample_rate=RATE, **settings)[0].double().numpy()


def fitted(y: np.ndarray, near: float) -> tuple[float, float, float]:
    """Frequency, amplitude, and ratio to all else in dB, of the strongest tone."""
    power = np.abs(np.fft.rfft(y * np.hanning(len(y)), 1 << 19))
    k = int(power.argmax())
    a, b, c = np.log(power[k - 1 : k + 2])
    frequency = (k + 0.5 * (a - c) / (a - 2 * b + c)) * RATE / (1 << 19)
    turns = 2 * np.pi * frequency / RATE * np.arange(len(y))
    basis = np.stack([np.cos(turns), np.sin(turns)], 1)
    found, *_ = np.linalg.lstsq(basis, y, rcond=None)
    rest = y - basis @ found
    return frequency, float(np.hypot(*found)), float(10 * np.log10(np.mean(y**2) / np.mean(rest**2)))


@pytest.mark.parametrize("semitones", [-12, -7.31, -1, 0.37, 4, 12])
def test_a_tone_is_within_5_cents_at_its_level(semitones):
    for frequency in (110.0, 440.0, 1234.5, 3000.0):
        asked = frequency * 2 ** (semitones / 12)
        if asked > 0.4 * RATE:
            continue
        got, amplitude, ratio = fitted(shifted(tones(frequency, 24_000), semitones)[4000:-4000], asked)
        assert abs(1200 * np.log2(got / asked)) < 5, (frequency, got)
        assert amplitude == pytest.approx(1, abs=0.002), frequency
        assert ratio > 80, frequency


def test_tones_together_keep_their_levels():
    partials = [220.0, 660.0, 1540.0, 2860.0]
    y = shifted(sum(tones(f, 24_000) for f in partials), 3.0)[4000:-4000]
    ratio = round(500 * 2 ** (3 / 12)) / 500
    turns = 2 * np.pi * np.array(partials) * ratio / RATE * np.arange(len(y))[:, None]
    basis = np.concatenate([np.cos(turns), np.sin(turns)], 1)
    found, *_ = np.linalg.lstsq(basis, y, rcond=None)
    levels = np.hypot(found[:4], found[4:])
    np.testing.assert_allclose(levels, 1, atol=0.02)


@pytest.mark.parametrize("semitones", [-4, 4])
def test_a_click_stays_where_it_is(semitones):
    x = np.zeros(20_000)
    places = [3000, 9111, 15_500]
    x[places] = 1
    y = shifted(x, semitones)
    for place in places:
        around = y[place - 1500 : place + 1500] ** 2
        assert around[1500 - 80 : 1500 + 81].sum() > 0.95 * around.sum()
        assert abs(int(around.argmax()) - 1500) <= 0.002 * RATE


def test_events_of_a_clip_keep_their_times():
    burst = np.concatenate([np.zeros(6000), tones(500, 4000), np.zeros(6000)])
    y = shifted(burst, 5)
    sounding = np.abs(y) > 0.2
    assert abs(int(sounding.argmax()) - 6000) < 300
    assert abs(len(y) - int(sounding[::-1].argmax()) - 10_000) < 300


@pytest.mark.parametrize("semitones", [(-4, 4), (-12, -11), 12])
def test_a_device_shifts_as_a_cpu_does(semitones, monkeypatch):
    given = batch(size=6000).with_values(sample_rate=RATE)
    smooth = torch.sin(torch.arange(6000) * 0.1).expand_as(given.waveforms)
    given = given.with_values(waveforms=torch.where(given.waveforms != 0, smooth, 0))
    augmentation = af.augment.PitchShift(semitones, p=0.8)
    here = augmentation.run(given).waveforms
    monkeypatch.setattr("audiofeed.augment.time.pitch_shift.may_look", lambda clips: False)
    for rows in (2**24, 1):  # the clips at once, and one after another
        monkeypatch.setattr("audiofeed.augment.time.pitch_shift._AT_ONCE", rows)
        there = augmentation.run(given).waveforms
        # of bins that hold rounding errors alone the phases differ
        torch.testing.assert_close(there, here, rtol=0, atol=5e-4)


def test_intervals_are_uniform_and_clips_have_their_own():
    augmentation = af.augment.PitchShift((-3, 5))
    drawn = augmentation.drawn(draws_of(af.augment.PitchShift, torch.arange(1000))).numpy()
    assert stats.kstest(drawn, stats.uniform(-3, 8).cdf).pvalue > 1e-3
    clips = torch.from_numpy(tones(440, 8000)).float().expand(4, -1).contiguous()
    after = augmentation(clips, seeds=torch.arange(4), sample_rate=RATE).double().numpy()
    for row in range(4):
        asked = 440 * 2 ** (drawn[row] / 12)
        assert abs(1200 * np.log2(fitted(after[row, 1000:-1000], asked)[0] / asked)) < 5


def test_no_shift_keeps_the_bits_and_targets_are_not_touched():
    given = batch().with_values(sample_rate=RATE, targets=torch.eye(6))
    after = af.augment.PitchShift(0.0).run(given)
    assert torch.equal(after.waveforms, given.waveforms)
    after = af.augment.PitchShift(4.0).run(given)
    assert after.targets is given.targets
    assert after.lengths is given.lengths


@pytest.mark.parametrize("rate", [4000, 44_100, 192_000])
def test_frames_follow_the_sample_rate(rate):
    x = torch.sin(2 * torch.pi * 500 / rate * torch.arange(rate // 2).double()).float()[None]
    y = af.augment.PitchShift(-12)(x, sample_rate=rate)[0].double()
    middle = slice(rate // 6, rate // 3)
    turns = 2 * torch.pi * 250 / rate * torch.arange(rate // 2).double()[middle]
    basis = torch.stack([turns.cos(), turns.sin()], 1)
    rest = y[middle] - basis @ torch.linalg.lstsq(basis, y[middle][:, None]).solution[:, 0]
    assert rest.square().mean().sqrt() < 1e-3


def test_the_gradient_is_that_of_a_linear_filter():
    x = torch.randn(1, 400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = torch.randn(1, 400, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    given = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad((af.augment.PitchShift(2.0)(given, sample_rate=8000) * weights).sum(), given)
    # with the turns as they are, the clip is the filter's only other factor: its result is the gradient's product
    result = (af.augment.PitchShift(2.0)(x, sample_rate=8000) * weights).sum()
    torch.testing.assert_close((grad * x).sum(), result)
    silent = torch.zeros(1, 400, requires_grad=True)
    af.augment.PitchShift(2.0)(silent, sample_rate=8000).sum().backward()
    assert silent.grad.isfinite().all()


def test_what_is_no_setting_is_refused():
    for semitones in (13, (2, 1), "2"):
        with pytest.raises(ValueError, match="semitones="):
            af.augment.PitchShift(semitones)
    with pytest.raises(ValueError, match="sample rate"):
        af.augment.PitchShift().run(Clips(torch.ones(1, 9), torch.tensor([9]), torch.tensor([1])))
