"""The feeds that are timed against each other: a tiny run of some, and what the page says of them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
WORDS = 'audiofeed, keep="memory", later epochs'


@pytest.fixture
def throughput(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    found = importlib.import_module("feeds.throughput")
    for name, value in {"WARMING": 0.0, "TIMED": 0.05, "LOOKING": 0.05, "STARTING": 1}.items():
        monkeypatch.setattr(found, name, value)
    return found


@pytest.fixture
def prepared(throughput: Any, tmp_path: Path) -> tuple[Any, tuple[list[str], ...]]:
    corpora = importlib.import_module("feeds.corpora")
    corpus = corpora.Corpus("tiny", (0.5, 1.0), "FLAC", "PCM_16", "flac", 32, 32, 32 * 400)
    return corpus, throughput.in_child(lambda: throughput.prepared(tmp_path, corpus))


def timed(throughput: Any, prepared: tuple[Any, tuple[list[str], ...]], name: str) -> dict[str, float]:
    ways = importlib.import_module("feeds.ways")
    corpus, files = prepared
    (way,) = [way for way in throughput.WAYS if way.name == name]
    found = throughput.in_child(lambda: throughput.timed(way, ways.Source(corpus, *files, way.workers, way.cold)))
    assert found is not None
    return found


@pytest.mark.parametrize("workers", [0, 2])
def test_kept_clips_are_timed_with_the_memory_that_they_take(throughput, prepared, workers):
    found = timed(throughput, prepared, f"{WORDS}, {workers} workers")
    soundfile = pytest.importorskip("soundfile")
    samples = sum(soundfile.info(path).frames for path in prepared[1][0])
    # the samples in 16 bits, and a mark for each clip
    assert 2 * samples < found["kept"] < 2 * samples + 100
    assert found["memory"] > found["kept"]
    assert found["rate"] > 0
    assert found["error"] < 1e-3


@pytest.mark.parametrize("kind", ["audiofeed", "precomputed .npy log-mels on disk"])
def test_files_are_dropped_from_the_page_cache_for_a_row(throughput, prepared, monkeypatch, kind):
    ways = importlib.import_module("feeds.ways")
    dropped = []
    monkeypatch.setattr(ways, "drop", dropped.append)
    (way,) = [way for way in throughput.WAYS if way.name == f"{kind}, 0 workers, files not in memory"]
    once, _ = way.feed(ways.Source(prepared[0], *prepared[1], way.workers, way.cold))
    batches = once()
    assert [next(batches) for _ in range(5)] == [16] * 5
    files = prepared[1][0 if kind == "audiofeed" else 2]
    # 32 files, two batches: the fifth batch is of the third time
    assert [list(paths) for paths in dropped] == [files] * 3


def rounds(throughput: Any, kept: float) -> list[dict[str, Any]]:
    """A round in which every feed took as many clips, but ours that keeps clips."""
    found: dict[str, Any] = {way.name: {"rate": 100.0, "kept": 0, "memory": 1e6} for way in throughput.WAYS}
    for workers in (0, 2):
        found[f"{WORDS}, {workers} workers"] = {"rate": kept, "kept": 64e6, "memory": 80e6}
    return [found]


def test_page_says_what_kept_clips_give_beside_features_on_disk(throughput):
    (text,) = throughput.from_memory(rounds(throughput, 150.0), 65_000_000)
    assert "1.50 times the clips/s of features on disk without workers and 1.50 times with two" in text
    assert "holds 64 MB of samples" in text
    assert "65 MB of features" in text


def test_page_says_why_kept_clips_give_less(throughput):
    lines = throughput.from_memory(rounds(throughput, 50.0), 65_000_000)
    assert len(lines) == 2
    assert "computed anew" in lines[1]
    corpus = throughput.CORPORA["WAV of 1 s"]
    below = throughput.broken(corpus, rounds(throughput, 50.0))
    assert [line.partition(" is ")[2][:4] for line in below] == ["0.50", "0.50"]
    assert throughput.broken(corpus, rounds(throughput, 150.0)) == []


def test_page_says_nothing_of_kept_clips_that_were_not_timed(throughput):
    some = rounds(throughput, 150.0)
    del some[0][f"{WORDS}, 2 workers"]
    assert throughput.from_memory(some, 65_000_000) == []


def test_page_says_what_each_gives_at_its_fastest(throughput):
    some = rounds(throughput, 150.0)
    some[0][f"{WORDS}, 2 workers"]["rate"] = 200.0
    some[0][f"{throughput.ON_DISK}, 0 workers"]["rate"] = 160.0
    # files that are not in memory are another matter
    cold = importlib.import_module("feeds.ways").COLD
    some[0][f"{throughput.ON_DISK}, 2 workers{cold}"]["rate"] = 900.0
    (text,) = throughput.at_their_fastest(some)
    assert f"{WORDS}, 2 workers; {throughput.ON_DISK}, 0 workers" in text
    assert "1.25 times the clips/s" in text
    assert throughput.at_their_fastest([{}]) == []
