"""DropChunks: chunks within the clip, as long and as many as asked for, and never all of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import audiofeed as af
from audiofeed.augment import Clips
from tests.augment.test_gain import batch, draws_of

RATE = 8000


def clips(n: int = 1000, size: int = 8000) -> Clips:
    return Clips(torch.ones(n, size), torch.full((n,), size), torch.arange(n), RATE)


def test_counts_lengths_and_places_are_drawn_as_documented():
    augmentation = af.augment.DropChunks((1, 4), (0.01, 0.05))
    first, last = augmentation.drawn(clips(), draws_of(af.augment.DropChunks, torch.arange(1000)))
    lengths = last - first
    counts = (lengths > 0).sum(1).numpy()
    values, found = np.unique(counts, return_counts=True)
    assert values.tolist() == [1, 2, 3, 4]
    assert stats.chisquare(found).pvalue > 1e-3
    real = lengths > 0
    # rounded down to samples: 80 to 399
    assert stats.kstest(lengths[real].numpy() + 0.5, stats.uniform(80, 320).cdf).pvalue > 1e-3
    place = (first[real] + 0.5) / (8000 - lengths[real] + 1)
    assert stats.kstest(place.numpy(), "uniform").pvalue > 1e-3


@pytest.mark.parametrize("unit", ["share", "seconds"])
@pytest.mark.parametrize("fill", ["silence", "noise"])
def test_the_drawn_samples_and_no_others_are_replaced(unit, fill):
    given = batch().with_values(sample_rate=RATE)
    length = (0.02, 0.1) if unit == "share" else (0.005, 0.05)
    augmentation = af.augment.DropChunks((1, 3), length, unit=unit, fill=fill)
    first, last = augmentation.drawn(given, draws_of(af.augment.DropChunks, given.seeds))
    after = augmentation.run(given)
    for row, own in enumerate(given.lengths.tolist()):
        dropped = np.zeros(given.size, dtype=bool)
        for begin, end in zip(first[row].tolist(), last[row].tolist(), strict=True):
            assert 0 <= begin <= end <= own
            dropped[begin:end] = True
        x, y = given.waveforms[row].numpy(), after.waveforms[row].numpy()
        np.testing.assert_array_equal(y[:, ~dropped], x[:, ~dropped])
        if fill == "silence":
            assert not y[:, dropped].any()
        else:
            assert (y[:, dropped] != x[:, dropped]).all()


def test_noise_has_the_clips_power_and_the_clip_alone_counts():
    given = Clips(torch.zeros(20, 40_000), torch.full((20,), 10_000), torch.arange(20), RATE)
    given.waveforms[:, :10_000] = 0.2 * torch.randn(20, 10_000, generator=torch.Generator().manual_seed(0))
    augmentation = af.augment.DropChunks(1, 0.4, unit="share", fill="noise")
    first, last = augmentation.drawn(given, draws_of(af.augment.DropChunks, given.seeds))
    after = augmentation.run(given).waveforms
    for row in range(20):
        noise = after[row, first[row] : last[row]]
        assert noise.std().item() == pytest.approx(0.2, rel=0.08)


def test_no_clip_is_lost_however_short_or_however_many_chunks():
    given = Clips(torch.ones(4, 100), torch.tensor([1, 2, 10, 100]), torch.arange(4), RATE)
    given = given.with_values(waveforms=torch.where(torch.arange(100) < given.lengths[:, None], 1.0, 0.0))
    for count in (1, 3, 40):
        kept = af.augment.DropChunks(count, 10.0, most=0.5).run(given).waveforms.sum(1)
        assert (kept >= (given.lengths + 1) // 2).all()
    assert not af.augment.DropChunks(1, 1.0, unit="share", most=1.0).run(given).waveforms.any()


@pytest.mark.parametrize("fill", ["silence", "noise"])
def test_a_device_drops_as_a_cpu_does(fill, monkeypatch):
    given = batch().with_values(sample_rate=RATE)
    augmentation = af.augment.DropChunks((0, 6), (0.0, 0.05), fill=fill, p=0.8)
    here = augmentation.run(given).waveforms
    monkeypatch.setattr("audiofeed.augment.contract.augmentation.may_look", lambda clips: False)
    monkeypatch.setattr("audiofeed.augment.time.drop_chunks.may_look", lambda clips: False)
    torch.testing.assert_close(augmentation.run(given).waveforms, here, rtol=0, atol=1e-7)


def test_the_gradient_is_0_in_a_chunk_and_1_elsewhere():
    for fill in ("silence", "noise"):
        x = torch.ones(1, 100, requires_grad=True)
        y = af.augment.DropChunks(2, 0.1, unit="share", fill=fill)(x, seeds=torch.tensor([3]))
        y.sum().backward()
        assert torch.equal(x.grad, (y == 1).float())
        assert 0 < (y != 1).sum() <= 20


def test_what_is_no_setting_is_refused():
    for name, value in (
        ("count", -1),
        ("count", 1.5),
        ("length", (0.2, 0.1)),
        ("unit", "samples"),
        ("most", 0),
        ("fill", 0),
    ):
        with pytest.raises(ValueError, match=f"{name}="):
            af.augment.DropChunks(**{name: value})
    with pytest.raises(ValueError, match="length="):
        af.augment.DropChunks(length=1.5, unit="share")
    with pytest.raises(ValueError, match="sample rate"):
        af.augment.DropChunks()(torch.ones(1, 5))
