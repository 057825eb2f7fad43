"""Ranks as real processes: resume on another number of them, and in step through files that are broken in any way."""

from __future__ import annotations

import json
import multiprocessing as mp
import shutil
import wave
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch.distributed as dist
from rank_programs import seen_in, train

import audiofeed as af

pytestmark = pytest.mark.skipif(not dist.is_gloo_available(), reason="torch was built without gloo")
LIMIT = 120  # seconds for a run of ranks that hangs


@pytest.fixture(scope="module")
def ranks():
    """Starts a run of ranks, each forked from a process that has imported everything, and returns what they wrote."""
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(["torch.distributed", "audiofeed", "rank_programs"])

    def run(folder, world_size, **settings):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        processes = [
            context.Process(target=train, args=(r, world_size, str(folder), settings)) for r in range(world_size)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(LIMIT)
        alive = [process for process in processes if process.is_alive()]
        for process in alive:
            process.kill()
        assert not alive, "a rank waits for ever"
        assert [process.exitcode for process in processes] == [0] * world_size
        return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(world_size)]

    return run


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Sixty clips of 0.2 to 1.2 s at 8 kHz."""
    root = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(1)
    for number in range(60):
        write_wav(root / f"{number:02}.wav", rng, 0.2 + (number * 7 % 60) / 60)
    return root


def write_wav(path, rng, seconds):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", None))
        file.writeframes(rng.integers(-9000, 9000, int(8000 * seconds), dtype=np.int16).tobytes())


def drawn(found):
    return Counter((name, crc) for rank in found for batch in rank["batches"] for name, crc in batch)


BATCHES = [{"batch_seconds": 0.6}, {"batch_size": 4}]


@pytest.mark.parametrize(
    ("before", "after", "workers", "batches"),
    [
        (1, 1, (2, 4), 1),
        (1, 2, (0, 2), 0),
        (1, 4, (4, 0), 1),
        (2, 1, (0, "threads"), 1),
        (2, 2, (2, "threads"), 0),
        (2, 4, (2, 0), 0),
        (4, 1, (0, 2), 1),
        (4, 2, ("threads", 0), 0),
        (4, 4, (0, 2), 1),
    ],
)
def test_a_run_resumed_on_other_ranks_sees_the_rest_of_the_epoch_once(
    ranks, clips, tmp_path, before, after, workers, batches
):
    """In any number of processes: no clip lost, none twice, and each the crop that one process alone would take."""
    settings = {"root": str(clips), "crop": 0.15, "batches": BATCHES[batches]}
    dataset = af.AudioFolder(clips, crop=af.RandomCrop(seconds=0.15))
    with af.Feed(dataset, device="cpu", workers=0, rank=0, world_size=1, **settings["batches"]) as alone:
        whole = Counter(pair for batch in alone for pair in seen_in(batch))
    assert len(whole) == 60
    first = ranks(tmp_path / "first", before, steps=2, workers=workers[0], **settings)
    assert all(rank["state"] == first[0]["state"] for rank in first)
    rest = ranks(tmp_path / "rest", after, state=first[0]["state"], workers=workers[1], **settings)
    assert len({len(rank["batches"]) for rank in rest}) == 1
    assert drawn(first) + drawn(rest) == whole
    assert drawn(first)
    assert drawn(rest)


def spoil(root: Path, rng) -> tuple[list[str], list[str]]:
    """Ten files that are broken in ten ways: those that show at the scan, and those that show when they are read."""
    at_scan, at_read = [], []

    def new(name, data=b""):
        path = root / name
        path.write_bytes(data)
        return path

    write_wav(whole := root / "whole.wav", rng, 1.0)
    good = whole.read_bytes()
    whole.unlink()
    sound = rng.normal(0, 0.1, 16000)
    soundfile.write(root / "f.flac", sound, 8000)
    flac = (root / "f.flac").read_bytes()
    (root / "f.flac").unlink()
    for name, data in {
        "empty.wav": b"",
        "text.flac": b"not a recording\n" * 50,
        "noise.mp3": rng.bytes(3000),
        "cut_header.wav": good[:30],
        "no_samples.wav": good[:40] + bytes(4),
    }.items():
        at_scan.append(str(new(name, data)))
    at_read.append(str(new("cut.flac", flac[:400])))
    soundfile.write(root / "nan.wav", np.full(16000, np.nan, np.float32), 8000, subtype="FLOAT")
    at_read.append(str(root / "nan.wav"))
    flipped = bytearray(flac)
    for at in range(100, len(flipped), 31):
        flipped[at] ^= 0x55
    at_read.append(str(new("flipped.flac", bytes(flipped))))
    for name in ("emptied.wav", "emptied_too.wav"):  # after the scan, as on a mount that goes away
        write_wav(root / name, rng, 0.5)
        at_read.append(str(root / name))
    return at_scan, at_read


@pytest.mark.parametrize("world_size", [2, 4])
@pytest.mark.parametrize("workers", [0, 2])
def test_ranks_stay_in_step_through_files_broken_in_ten_ways(ranks, tmp_path, world_size, workers):
    """One file in twenty: every batch is full, every rank takes as many steps, every skip is in the ledger."""
    rng = np.random.default_rng(2)
    root = tmp_path / "clips"
    root.mkdir()
    for number in range(190):
        write_wav(root / f"{number:03}.wav", rng, 0.5)
    at_scan, at_read = spoil(root, rng)
    emptied = [path for path in at_read if "emptied" in path]
    found = ranks(
        tmp_path / "run",
        world_size,
        root=str(root),
        crop=0.4,
        workers=workers,
        on_error="skip",
        spoilt_after_the_scan=emptied,
        batches={"batch_size": 4, "drop_last": True},
    )
    steps = {len(rank["batches"]) for rank in found}
    readable = 200 - len(at_scan)
    assert steps == {readable // 4 // world_size}
    assert {len(batch) for rank in found for batch in rank["batches"]} == {4}
    bad = set(at_scan) | set(at_read)
    names = {name for rank in found for batch in rank["batches"] for name, _ in batch}
    assert not names & bad
    for rank in found:
        assert {path for path, *_ in rank["faults"]} >= set(at_scan)
        assert len({(path, cause): 0 for path, cause, _ in rank["of_all_ranks"]}) == len(rank["of_all_ranks"])
    # each comes once in an epoch, but for those of a batch that drop_last leaves out
    of_all = {path for path, *_ in found[0]["of_all_ranks"]}
    assert of_all <= bad
    assert len(bad - of_all) <= 4 * world_size
    assert of_all & set(at_read)
    assert all(cause for _, cause, _ in found[0]["of_all_ranks"])
