"""The meter: what each stage is charged with, what binds, and the table."""

import time

import pytest
import torch
from feed_datasets import Bands

import audiofeed as af
from audiofeed.data import AudioInfo, Reader, register_reader
from audiofeed.data.readers.registry import READERS
from audiofeed.data.stopwatch import take_laps
from audiofeed.loading.batch_work import Prepared
from audiofeed.loading.meter import Meter
from audiofeed.loading.stats import STAGES, Stats


class Slow(Reader):
    """Files whose decoding takes 20 ms, of a second of silence each."""

    name, extensions = "slow", (".slow",)

    def info(self, file):
        return AudioInfo(file.path, 8000, channels=1, frames=8000, format="SLOW", subtype="PCM_16")

    def read(self, file, info, start, frames):
        time.sleep(0.02)
        return torch.zeros(frames, dtype=torch.int16)


class SlowBands(Bands):
    sample_rate = 8000

    def forward(self, waveform, lengths=None):
        time.sleep(0.03)
        return super().forward(waveform, lengths)


@pytest.fixture
def slow_files(tmp_path):
    register_reader(Slow())
    for index in range(12):
        (tmp_path / f"{index}.slow").write_bytes(b"slow")
    yield af.AudioFolder(tmp_path)
    READERS[:] = [reader for reader in READERS if reader.name != "slow"]


@pytest.mark.parametrize("workers", [0, 2])
def test_every_stage_is_charged_with_its_own_time(slow_files, workers):
    take_laps()
    feed = af.Feed(slow_files, SlowBands(), batch_size=2, device="cpu", workers=workers, ahead=1)
    with feed:
        for _batch in feed:
            time.sleep(0.05)
    stats = feed.stats()
    seconds = stats.seconds
    assert set(seconds) == set(STAGES)
    assert seconds["decode"] >= 12 * 0.02
    assert seconds["read"] == seconds["resample"] == 0
    assert 0 < seconds["collate"] < seconds["decode"]
    # five of six batches are computed here; the features of the first are read by nobody
    assert seconds["features"] >= 5 * 0.03
    assert seconds["step"] >= 6 * 0.05
    assert seconds["start"] > 0
    assert (stats.batches, stats.clips, stats.audio_seconds, stats.padding) == (6, 12, 12.0, 0.0)
    assert stats.elapsed == pytest.approx(seconds["start"] + seconds["wait"] + seconds["step"])
    assert stats.clips_per_second == pytest.approx(12 / stats.elapsed)
    assert stats.audio_per_second == pytest.approx(12 / stats.elapsed)
    assert stats.workers == workers
    for name in (*STAGES, "clips/s", "s of audio/s", "padding", "faults", stats.bottleneck):
        assert name in str(stats)
    feed.reset_stats()
    assert feed.stats().batches == 0
    assert feed.stats().bottleneck.startswith("nothing is measured yet")


def test_reading_and_resampling_are_told_apart(wav_folder):
    folder = af.AudioFolder(wav_folder, sample_rate=8000)
    take_laps()
    with af.Feed(folder, batch_size=12, device="cpu", workers=0) as feed:
        list(feed)
    assert feed.stats().seconds["read"] > 0
    assert feed.stats().seconds["resample"] > 0
    assert feed.stats().seconds["decode"] == 0
    assert 0 < feed.stats().padding < 1
    assert feed.stats().audio_seconds == pytest.approx(folder.durations.sum())


def test_what_binds_is_named_in_a_real_loop(slow_files):
    with af.Feed(slow_files, batch_size=2, device="cpu", workers="threads") as feed:
        for _ in feed:
            pass
        assert feed.stats().bottleneck.startswith("decoding binds: the loop's own process gives ")
        assert "keep='memory'" in feed.stats().bottleneck
        feed.reset_stats()
        for _ in feed:
            time.sleep(0.1)
        assert feed.stats().binding == "step"


class _Waiting:
    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        for _ in range(self.batches):
            time.sleep(0.005)
            yield torch.zeros(4, 3)


def test_a_loader_that_nobody_measures_binds_by_loading():
    loader = af.DeviceLoader(_Waiting(8), device="cpu")
    for _ in loader:
        pass
    assert loader.stats().binding == "load"
    assert loader.stats().clips == 32
    assert loader.stats().bottleneck.startswith("loading binds: the loop's own process gives ")


@pytest.mark.parametrize(
    ("seconds", "settings", "expected"),
    [
        (
            {"wait": 2.0, "step": 1.0, "decode": 5.0, "read": 1.0},
            {"workers": 2, "cores": 8},
            "decoding binds: 2 workers give 100 clips/s, the step takes 300: more workers, or keep='memory'",
        ),
        (
            {"wait": 2.0, "step": 1.0, "decode": 2.5, "read": 0.1},
            {"workers": 1, "cores": 1},
            "decoding binds: 1 worker gives 100 clips/s, the step takes 300: more cores (there are 1), or "
            "keep='memory'",
        ),
        (
            {"wait": 2.0, "step": 1.0, "resample": 2.0},
            {},
            "resampling binds: the loop's own process gives 100 clips/s, the step takes 300: more workers, or files at "
            "the rate that is asked for",
        ),
        (
            {"wait": 2.0, "step": 1.0, "decode": 1.0, "features": 2.5},
            {},
            "the computation of features binds: it gives 100 clips/s, the step takes 300: an accelerator, or fewer and "
            "longer hops",
        ),
        (
            {"wait": 0.03, "step": 2.97, "decode": 0.5},
            {"cores": 8},
            "the step binds: it takes 100 clips/s and waits 1 % of its time: only a faster model helps",
        ),
        (
            {"wait": 0.0, "step": 3.0, "decode": 1.5, "features": 1.5},
            {"cores": 2},
            "the step binds: it takes 100 clips/s and waits 0 % of its time, while loading and features keep 1.0 of "
            "its 2 cores busy: a faster model, more cores, or keep='memory'",
        ),
        # a start of ten seconds, in which workers import torch, says nothing about what binds
        (
            {"start": 10.0, "wait": 0.0, "step": 3.0},
            {"cores": 8},
            "the step binds: it takes 100 clips/s and waits 0 % of its time: only a faster model helps",
        ),
        (
            {"wait": 3.0, "step": 0.0, "collate": 2.0},
            {},
            "collating binds: the loop's own process gives 100 clips/s, the step takes any number: more workers, or "
            "batches of equal lengths (batch_seconds=)",
        ),
    ],
)
def test_the_sentence(seconds, settings, expected):
    assert Stats(seconds, batches=10, clips=300, **{"cores": 4, **settings}).bottleneck == expected


def test_a_pause_between_two_passes_is_nobodys_time():
    meter = Meter()
    meter.begin_pass()
    meter.begin_wait()
    meter.end_wait(Prepared(None, clips=1))
    meter.end()
    before = meter.stats()
    time.sleep(0.02)
    meter.begin_pass()
    meter.begin_wait()
    meter.end_wait(None)
    assert meter.stats().elapsed - before.elapsed < 0.02


def test_stats_are_a_frozen_value():
    with pytest.raises(AttributeError):
        Stats({}).clips = 3
