"""Crops, windows, the hash behind them, and resampled crops."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
import torch
from hypothesis import given
from hypothesis import strategies as st

from audiofeed.data import AudioFolder, CenterCrop, RandomCrop, Windows
from audiofeed.data.resample import resample_crop, resampled_frames
from audiofeed.data.seeds import draw_below, seed_of

FRAMES = st.integers(1, 100_000)
SECONDS = st.floats(0.001, 4.0)
RATE = st.sampled_from([8000, 11025, 16000, 44100])


def test_the_hash_never_changes():
    """Written down once: a resumed run, another machine or a later version must draw the same crops."""
    assert [seed_of(0), seed_of(0, 0, 0), seed_of(1, 2, 3), seed_of(-1, 5)] == [
        8147104208329303767, 1279368494785126216, 3851293329796251419, 1923329087015097400,
    ]  # fmt: skip


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4))
def test_a_seed_has_63_bits_and_depends_on_order(parts):
    seed = seed_of(*parts)
    assert 0 <= seed < 2**63
    if len(set(parts)) > 1 and parts != parts[::-1]:
        assert seed != seed_of(*parts[::-1])


def test_seeds_of_neighbors_are_unrelated():
    """Over 64 epochs of 64 examples every bit is set half of the time, and no two seeds are equal."""
    seeds = np.array([seed_of(0, epoch, index) for epoch in range(64) for index in range(64)], dtype=np.uint64)
    assert len(np.unique(seeds)) == seeds.size
    bits = (seeds[:, None] >> np.arange(63, dtype=np.uint64)) & np.uint64(1)
    assert np.abs(bits.mean(0) - 0.5).max() < 5 * 0.5 / 64
    flips = (bits[1:] != bits[:-1]).sum(1).mean()
    assert abs(flips - 31.5) < 0.5


def test_random_starts_are_uniform_and_reach_both_ends():
    crop = RandomCrop(1.0)
    starts = [crop.place(1000 + 9, 1000, seed=seed_of(0, 0, index))[0] for index in range(20_000)]
    counts = np.bincount(starts, minlength=10)
    assert counts.size == 10  # 0 to 9: every valid start, and no other
    assert ((counts - 2000) ** 2 / 2000).sum() < 30  # chi-square of 9 degrees, p = 4e-4


def test_draw_below_covers_its_range():
    assert {draw_below(3, seed) for seed in (0, 2**61, 2**62, 2**63 - 1)} == {0, 1, 2}


@given(FRAMES, RATE, SECONDS, st.integers(0, 2**63 - 1))
def test_a_crop_lies_within_the_clip(frames, rate, seconds, seed):
    for crop in (RandomCrop(seconds), CenterCrop(seconds)):
        start, length = crop.place(frames, rate, seed=seed)
        assert length == min(frames, max(1, int(np.floor(seconds * rate + 0.5))))
        assert 0 <= start <= frames - length
        assert crop.place(frames, rate, seed=seed) == (start, length)
    before, after = start, frames - start - length  # the center's
    assert 0 <= after - before <= 1


@given(FRAMES, RATE, SECONDS, st.floats(0.001, 4.0), st.sampled_from(["drop", "keep"]))
def test_windows(frames, rate, seconds, stride, last):
    frames = min(frames, int(200 * stride * rate) + 1)
    windows = Windows(seconds, stride, last)
    places = [windows.place(frames, rate, part=part) for part in range(windows.count(frames, rate))]
    length = max(1, int(np.floor(seconds * rate + 0.5)))
    if frames <= length:
        assert places == [(0, frames)]
        return
    starts = [int(np.floor(k * stride * rate + 0.5)) for k in range(frames + 1) if k * stride * rate < frames + 1]
    if stride == seconds or (stride < seconds and np.ceil(stride * rate) > length):
        starts = list(range(0, frames + 1, length))  # side by side: no sample twice, none left out
    whole = [(start, length) for start in starts if start + length <= frames]
    covered = whole[-1][0] + length
    rest = starts[len(whole)] if len(whole) < len(starts) else frames
    if last == "keep" and covered < frames and rest < frames:
        whole.append((rest, frames - rest))
    assert places == whole


def test_windows_side_by_side():
    windows = Windows(0.5)
    assert [windows.place(2500, 1000, part=k) for k in range(windows.count(2500, 1000))] == [
        (0, 500), (500, 500), (1000, 500), (1500, 500), (2000, 500),
    ]  # fmt: skip


def times_seen(windows, frames, rate):
    """How many windows each sample of a clip lies in."""
    seen = np.zeros(frames + 1, dtype=int)
    for part in range(windows.count(frames, rate)):
        start, length = windows.place(frames, rate, part=part)
        assert 0 <= start < start + length <= frames
        seen[start] += 1
        seen[start + length] -= 1
    return np.cumsum(seen)[:frames]


# lengths that are no whole number of samples at these rates, among them the two of the first report
KEPT = [
    (1 / 3, 16000, 160000),
    (0.025, 22050, 110251),
    (2 / 7, 44100, 441001),
    (0.96, 11025, 99999),
    (0.0025, 8000, 80001),
]


@pytest.mark.parametrize(("seconds", "rate", "frames"), KEPT)
@pytest.mark.parametrize("share", [None, 1.0, 1 - 1e-12, 0.999, 0.9, 0.75, 0.5])
def test_windows_that_keep_the_last_leave_no_sample_out(seconds, rate, frames, share):
    windows = Windows(seconds, None if share is None else share * seconds, last="keep")
    seen = times_seen(windows, frames, rate)
    assert seen.min() == 1
    if share is None or share > 1 - 1e-9:
        assert seen.max() == 1
    lengths = {windows.place(frames, rate, part=k)[1] for k in range(windows.count(frames, rate) - 1)}
    assert len(lengths) == 1  # all but the last are equally long


@given(st.integers(1, 20_000), RATE, st.floats(0.001, 1.0))
def test_windows_side_by_side_see_each_sample_once(frames, rate, seconds):
    assert (times_seen(Windows(seconds, last="keep"), frames, rate) == 1).all()
    seen = times_seen(Windows(seconds), frames, rate)
    length = Windows(seconds).place(frames, rate)[1]
    assert (seen[: frames // length * length] == 1).all()
    assert not seen[frames // length * length :].any()


def test_a_stride_longer_than_a_window_leaves_the_gaps_it_asks_for():
    seen = times_seen(Windows(0.5, stride=1.0, last="keep"), 2600, 1000)
    assert np.flatnonzero(seen == 0).tolist() == [*range(500, 1000), *range(1500, 2000), *range(2500, 2600)]


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: RandomCrop(0), "seconds=0"),
        (lambda: RandomCrop(float("nan")), "seconds=nan"),
        (lambda: CenterCrop(-1.0), r"seconds=-1\.0"),
        (lambda: Windows(float("inf"), 1), "seconds=inf"),
        (lambda: Windows(1, 0), "stride=0"),
        (lambda: Windows(1, 1e-4), r"stride=0\.0001"),
        (lambda: Windows(1, 1, last="pad"), "last='pad'"),
    ],
)
def test_arguments_out_of_range(make, rule):
    with pytest.raises(ValueError, match=rule):
        make()


@pytest.mark.parametrize("channels", [None, 2])
@pytest.mark.parametrize(
    ("rate", "new_rate"),
    [(44100, 16000), (48000, 16000), (8000, 16000), (16000, 8000), (11025, 16000), (96000, 8000), (16000, 16001)],
)
def test_a_resampled_crop_equals_the_crop_of_the_resampled_clip(rate, new_rate, channels):
    frames = int(1.7 * rate) + 3
    clip = 0.3 * torch.randn(
        (frames,) if channels is None else (channels, frames), generator=torch.Generator().manual_seed(0)
    )
    whole = torch.from_numpy(np.ascontiguousarray(soxr.resample(clip.numpy().T, rate, new_rate, quality="HQ").T))
    total = resampled_frames(frames, rate, new_rate)
    read_frames = []

    def read(start, count):
        assert start >= 0
        assert start + count <= frames
        read_frames.append(count)
        return clip[..., start : start + count]

    for start, length in [(0, total), (new_rate // 3 + 1, new_rate // 5), (total - 500, 500), (total - 1, 1), (0, 10)]:
        part = resample_crop(read, frames, rate, new_rate, start, length)
        assert part.shape == (*clip.shape[:-1], length)
        assert part.is_contiguous()
        expected = whole[..., start : start + length]
        error = (part[..., : expected.shape[-1]] - expected).norm() / max(expected.norm(), 1e-3 * length**0.5)
        # an irrational-looking ratio makes soxr interpolate its filter
        assert error < (1e-4 if new_rate == 16001 else 5e-6)
    if new_rate != 16001:
        assert read_frames[-1] < frames / 4  # the crop and its context, not the clip


@pytest.mark.parametrize("frames", [1, 2, 5, 7])
def test_the_shortest_clips_are_resampled_too(frames):
    clip = torch.ones(frames)
    total = resampled_frames(frames, 96000, 8000)
    part = resample_crop(lambda s, n: clip[s : s + n], frames, 96000, 8000, 0, total)
    assert part.shape == (total,)
    assert part.abs().max() > 0


def test_int16_is_scaled_before_it_is_resampled():
    clip = (8000 * torch.sin(torch.arange(4000) / 20)).to(torch.int16)
    part = resample_crop(lambda s, n: clip[s : s + n], 4000, 8000, 16000, 3000, 1000)
    assert part.dtype == torch.float32
    assert 0.24 < part.abs().max() < 0.25


@given(st.integers(1, 10**9), RATE, RATE)
def test_resampled_length(frames, rate, new_rate):
    exact = frames * new_rate / rate
    assert abs(resampled_frames(frames, rate, new_rate) - exact) <= max(0.5 + 1e-6, 1 - exact)


@given(FRAMES, st.integers(1, 4000), st.integers(1, 700), st.booleans(), st.integers(0, 2**63 - 1))
def test_a_crop_of_samples_on_a_grid(frames, samples, grid, pad, seed):
    start, length = RandomCrop(samples=samples, grid=grid, pad=pad).place(frames, 16000, seed=seed)
    assert length == (samples if pad else min(samples, frames))
    assert start % grid == 0
    assert 0 <= start <= max(0, frames - length)
    assert (
        RandomCrop(samples=samples, grid=1).place(frames, 16000, seed=seed)[0]
        == (RandomCrop(samples=samples).place(frames, 16000, seed=seed)[0])
    )
    start, length = CenterCrop(samples=samples, pad=pad).place(frames, 16000)
    assert (start, length) == (max(0, frames - samples) // 2, samples if pad else min(samples, frames))


def test_every_start_on_the_grid_is_drawn():
    crop = RandomCrop(samples=1000, grid=4)
    starts = np.array([crop.place(1000 + 18, 1000, seed=seed_of(0, 0, index))[0] for index in range(5000)])
    assert np.unique(starts).tolist() == [0, 4, 8, 12, 16]
    counts = np.bincount(starts // 4)
    assert ((counts - 1000) ** 2 / 1000).sum() < 20  # chi-square of 4 degrees, p = 5e-4


@pytest.mark.parametrize(
    ("kind", "arguments", "rule"),
    [
        (RandomCrop, {}, "seconds=None and samples=None: a crop has one length"),
        (RandomCrop, {"seconds": 1.0, "samples": 1}, "a crop has one length"),
        (CenterCrop, {"samples": 0}, "samples=0 must be an integer"),
        (RandomCrop, {"samples": 1.5}, "samples=1.5 must be"),
        (RandomCrop, {"samples": True}, "samples=True must be"),
        (RandomCrop, {"samples": 8, "grid": 0}, "grid=0 must be"),
        (RandomCrop, {"seconds": 1.0, "grid": 2.0}, "grid=2.0 must be"),
        (RandomCrop, {"seconds": "1"}, "seconds='1' must be a finite number"),
        (CenterCrop, {"seconds": True}, "seconds=True must be a finite number"),
        (RandomCrop, {"seconds": 1.0, "pad": "no"}, "pad='no' must be True.* or False"),
        (CenterCrop, {"seconds": 1.0, "pad": None}, "pad=None must be True.* or False"),
    ],
)
def test_lengths_of_crops_that_are_none(kind, arguments, rule):
    with pytest.raises(ValueError, match=rule):
        kind(**arguments)


class Beyond:
    """A user's crop that goes on after the clip."""

    def __init__(self, start: int, length: int, pad: bool | None = None) -> None:
        self.start, self.length = start, length
        if pad is not None:
            self.pad = pad

    def count(self, frames, sample_rate):
        return 1

    def place(self, frames, sample_rate, *, seed=0, part=0):
        return self.start, self.length


def test_a_crop_of_your_own_must_lie_in_its_clip_or_pad(write_pcm, tmp_path):
    write_pcm("set/a.wav", 1000)
    padded = AudioFolder(tmp_path / "set", crop=Beyond(900, 300, pad=True))[0]
    assert padded.waveform[:100].any()
    assert not padded.waveform[100:].any()
    assert [len(padded.waveform), padded.duration, padded.start_sample] == [300, 100 / 8000, 900]
    assert len(AudioFolder(tmp_path / "set", crop=Beyond(900, 100))[0].waveform) == 100
    for crop in (Beyond(900, 300), Beyond(900, 300, pad=False), Beyond(1000, 1, pad=True), Beyond(-1, 5), Beyond(0, 0)):
        with pytest.raises(ValueError, match=r"placed -?\d+ frames from frame -?\d+ in a clip of 1000; a crop"):
            AudioFolder(tmp_path / "set", crop=crop)[0]
