"""TimeShift: within the clip's own length, by the drawn share or time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import audiofeed as af
from audiofeed.augment import Clips
from tests.augment.test_gain import batch, draws_of

RATE = 8000
SETTINGS = [
    ("roll", "share", (-1, 1)),
    ("pad", "share", (-0.5, 0.5)),
    ("roll", "seconds", (-1, 1)),
    ("pad", "seconds", (-0.6, 0.3)),
]


def given() -> Clips:
    return batch().with_values(sample_rate=RATE)


@pytest.mark.parametrize(("mode", "unit", "shift"), SETTINGS)
def test_samples_move_within_the_clip(mode, unit, shift):
    clips = given()
    augmentation = af.augment.TimeShift(shift, unit=unit, mode=mode)
    after = augmentation.run(clips)
    drawn = draws_of(af.augment.TimeShift, clips.seeds).uniform(*shift)
    for row, length in enumerate(clips.lengths.tolist()):
        samples = round(float(drawn[row]) * (length if unit == "share" else RATE))
        x, y = clips.waveforms[row, :, :length].numpy(), after.waveforms[row, :, :length].numpy()
        if mode == "roll":
            expected = np.roll(x, samples, axis=-1)
        else:
            expected = np.zeros_like(x)
            if abs(samples) < length:
                expected[:, max(samples, 0) : length + min(samples, 0)] = x[
                    :, max(-samples, 0) : length - max(samples, 0)
                ]
        np.testing.assert_array_equal(y, expected)
        assert not after.waveforms[row, :, length:].any()


@pytest.mark.parametrize(("mode", "unit", "shift"), SETTINGS)
def test_a_device_shifts_as_a_cpu_does(mode, unit, shift, monkeypatch):
    augmentation = af.augment.TimeShift(shift, unit=unit, mode=mode, p=0.8)
    here = augmentation.run(given()).waveforms
    monkeypatch.setattr("audiofeed.augment.time.time_shift.may_look", lambda clips: False)
    assert torch.equal(augmentation.run(given()).waveforms, here)


def test_shifts_are_uniform():
    n = 1000
    ramp = torch.arange(1, n + 1).float().expand(1000, n).contiguous()
    clips = Clips(ramp, torch.full((1000,), n), torch.arange(1000), RATE)
    first = af.augment.TimeShift((-0.3, 0.6)).run(clips).waveforms[:, 0].long()
    shifts = (1 - first).remainder(n).double()
    shifts = torch.where(shifts > 600, shifts - n, shifts) / n
    assert stats.kstest(shifts.numpy(), stats.uniform(-0.3, 0.9).cdf).pvalue > 1e-3


def test_an_empty_clip_and_a_shift_beyond_the_clip():
    clips = Clips(torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([2, 0]), torch.tensor([1, 2]), RATE)
    for seconds in (-1.0, 1.0):
        assert not af.augment.TimeShift(seconds, unit="seconds", mode="pad").run(clips).waveforms.any()
        assert af.augment.TimeShift(seconds + 1 / RATE, unit="seconds").run(clips).waveforms.tolist() == [
            [2, 1],
            [0, 0],
        ]


def test_what_is_no_setting_is_refused():
    for shift in (1.5, (-2, 0), "1"):
        with pytest.raises(ValueError, match="shift="):
            af.augment.TimeShift(shift)
    with pytest.raises(ValueError, match="unit="):
        af.augment.TimeShift(unit="samples")
    with pytest.raises(ValueError, match="mode="):
        af.augment.TimeShift(mode="wrap")
    with pytest.raises(ValueError, match="sample rate"):
        af.augment.TimeShift(unit="seconds").run(batch())
    with pytest.raises(TypeError, match="targets"):
        af.augment.TimeShift()(torch.ones(1, 5))
