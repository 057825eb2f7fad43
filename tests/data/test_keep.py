"""Decoded clips in memory: the bits of the file, one block for all processes, and nothing left behind."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader

from audiofeed.data import AudioExample, AudioFolder, AudioManifest, AudioReadError, CenterCrop, RandomCrop, Windows
from audiofeed.data.clips import kept_clips
from audiofeed.data.shared.free_memory import free_memory

N = 6


def keep(batch: list[AudioExample]) -> list[AudioExample]:
    return batch


def write(
    path: Path, frames: int, seed: int, rate: int = 8000, channels: int = 1, scale: float = 0.3, **settings
) -> None:
    noise = np.random.default_rng(seed).standard_normal((frames, channels)) * scale
    soundfile.write(path, noise, rate, **settings)


@pytest.fixture
def flacs(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    for i in range(N):
        write(folder / f"{i}.flac", 3000 + 100 * i, i)
    return folder


def waveforms(dataset, keys):
    return [dataset[key].waveform for key in keys]


def same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.dtype == b.dtype == torch.int16
        assert torch.equal(a, b)


@pytest.mark.parametrize("crop", [None, RandomCrop(0.1), CenterCrop(0.2), Windows(0.1), RandomCrop(1.0, pad=True)])
def test_the_same_bits_as_from_the_files(flacs, crop):
    plain, kept = AudioFolder(flacs, crop=crop), AudioFolder(flacs, crop=crop, keep="memory")
    assert kept.kept_clips == 0
    assert plain.kept_clips == 0
    keys = [(epoch, i) for epoch in range(3) for i in range(len(plain))]
    expected = waveforms(plain, keys)
    same(waveforms(kept, keys), expected)
    assert kept.kept_clips == N
    for path in kept.paths:
        if os.path.exists(path):
            os.remove(path)  # nothing is read from the files again
    same(waveforms(kept, keys), expected)


@pytest.mark.parametrize("crop", [None, RandomCrop(0.1), RandomCrop(1.0, pad=True)])
def test_a_batch_of_kept_clips_is_that_of_the_files(flacs, crop):
    """Read first, then from memory; clips that a crop pads, and one asked for twice, among them."""
    plain, kept = AudioFolder(flacs, crop=crop), AudioFolder(flacs, crop=crop, keep="memory")
    keys = [(epoch, i) for epoch in range(2) for i in (*range(len(plain)), 0)]
    expected = [plain[key] for key in keys]
    for _ in range(3):
        found = kept.__getitems__(keys)
        same([one.waveform for one in found], [one.waveform for one in expected])
        assert [(one.key, one.seed, one.start) for one in found] == [(one.key, one.seed, one.start) for one in expected]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a.mp3", {"format": "MP3", "rate": 16000}),
        ("a.ogg", {"format": "OGG", "rate": 16000}),
        ("a.wav", {"subtype": "FLOAT", "rate": 16000}),
        ("a.wav", {"rate": 22050}),
        ("a.wav", {"rate": 16000, "channels": 2}),
    ],
)
@pytest.mark.parametrize("mono", [True, False])
@pytest.mark.filterwarnings("ignore:keep='memory' keeps 16-bit")
def test_floats_are_rounded_alike_on_first_and_later_reads(tmp_path, name, settings, mono):
    write(tmp_path / name, 9000, 1, **settings)
    kept = AudioFolder(tmp_path, sample_rate=16000, mono=mono, crop=RandomCrop(0.1), keep="memory")
    again = AudioFolder(tmp_path, sample_rate=16000, mono=mono, crop=RandomCrop(0.1), keep="memory")
    keys = [(epoch, 0) for epoch in range(4)]
    first = [again[key].waveform for key in keys[::-1]][::-1]  # another clip is the first read
    same(waveforms(kept, keys), first)
    same(waveforms(kept, keys), first)
    plain = AudioFolder(tmp_path, sample_rate=16000, mono=mono, crop=RandomCrop(0.1))
    for key, waveform in zip(keys, first, strict=True):
        exact = plain[key].waveform
        exact = exact.float() if exact.dtype == torch.int16 else exact * 32768
        assert waveform.shape == exact.shape
        # half a step, and what decoding from the middle or resampling a piece costs
        assert (waveform - exact.clamp(-32768, 32767)).abs().max() < 0.6 + 32768 * 1e-3 * (name == "a.mp3")


def test_parts_of_a_manifest_and_files_beside(tmp_path):
    write(tmp_path / "mix.flac", 8000, 1)
    write(tmp_path / "voice.flac", 8000, 2)
    rows = [
        {"path": "mix.flac", "start": 0.1 * i, "duration": 0.3, "voice": "voice.flac", "target": i}
        for i in (0, 1, 1, 5)
    ]
    settings = {"crop": RandomCrop(0.1), "path_columns": ["path", "voice"], "root": tmp_path}
    plain = AudioManifest(rows, **settings)
    kept = AudioManifest(rows, **settings, keep="memory")
    for _ in range(2):
        for key in [(epoch, i) for epoch in range(2) for i in range(4)]:
            assert torch.equal(plain[key].waveform, kept[key].waveform)
            assert torch.equal(plain[key].fields["voice"].waveform, kept[key].fields["voice"].waveform)
    assert kept.kept_clips == 6  # two rows are the same part of the same files


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
def test_one_block_for_all_workers(flacs, context):
    dataset = AudioFolder(flacs, crop=RandomCrop(0.1), keep="memory")
    part = dataset.select([4, 1])
    of_part = waveforms(AudioFolder(flacs, crop=RandomCrop(0.1)).select([4, 1]), [(0, 0), (0, 1)])
    expected = waveforms(AudioFolder(flacs, crop=RandomCrop(0.1)), [(0, i) for i in range(N)])
    loader = DataLoader(
        dataset, batch_size=1, num_workers=2 if context == "fork" else 1, collate_fn=keep,
        multiprocessing_context=context, timeout=300,
    )  # fmt: skip
    found = [one.waveform for batch in loader for one in batch]
    same(found, expected)
    assert dataset.kept_clips == part.kept_clips == N
    for path in dataset.paths:
        os.remove(path)
    same(waveforms(dataset, [(0, i) for i in range(N)]), expected)  # filled by workers, read here
    same(waveforms(part, [(0, 0), (0, 1)]), of_part)


def test_a_waveform_is_a_copy(flacs):
    dataset = AudioFolder(flacs, keep="memory")
    expected = dataset[0, 1].waveform.clone()
    for _ in range(2):
        dataset[0, 1].waveform.zero_()
    assert torch.equal(dataset[0, 1].waveform, expected)


def test_a_clip_that_a_killed_worker_left_half_written_is_read_again(flacs, monkeypatch):
    dataset = AudioFolder(flacs, keep="memory")
    expected = AudioFolder(flacs)[0, 2].waveform
    block = dataset._loader.kept
    honest = type(block._file).write

    def killed(file, data, at):
        honest(file, memoryview(data).cast("B")[:1000], at)
        os.kill(os.getpid(), signal.SIGKILL)

    pid = os.fork()
    if pid == 0:
        monkeypatch.setattr(type(block._file), "write", killed)
        try:
            dataset[0, 2]
        finally:
            os._exit(1)  # not reached
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert block._file.read(1000, int(block._offsets[2])) == expected.numpy().tobytes()[:1000]
    assert dataset.kept_clips == 0
    assert torch.equal(dataset[0, 2].waveform, expected)
    assert dataset.kept_clips == 1


def test_where_no_room_is_left_it_goes_on_with_one_warning(flacs, monkeypatch):
    dataset = AudioFolder(flacs, crop=RandomCrop(0.1), keep="memory")
    expected = waveforms(AudioFolder(flacs, crop=RandomCrop(0.1)), [(0, i) for i in range(N)])
    kept = dataset._loader.kept
    honest = type(kept._file).write

    def full(file, data, at):
        if at >= kept._marks:
            raise OSError(28, "No space left on device")
        honest(file, data, at)

    monkeypatch.setattr(type(kept._file), "write", full)
    with pytest.warns(UserWarning, match=r"no room for another clip \(No space left") as caught:
        same(waveforms(dataset, [(0, i) for i in range(N)]), expected)
    assert len(caught) == 1
    assert dataset.kept_clips == 0


def test_a_bad_file_is_replaced_and_not_kept(flacs):
    dataset = AudioFolder(flacs, on_error="skip", keep="memory")
    bad = dataset.paths[3]
    os.truncate(bad, 300)
    first, again = dataset[0, 3], dataset[0, 3]
    assert first.faults[0].path == again.faults[0].path == bad
    assert torch.equal(first.waveform, again.waveform)
    strict = AudioFolder(flacs, on_error="skip", keep="memory")
    os.truncate(strict.paths[0], 200)
    strict.on_error = "raise"
    with pytest.raises(AudioReadError):
        strict[0, 0]


# how large it may be


def test_the_size_is_foretold_and_refused(flacs, monkeypatch):
    samples = sum(3000 + 100 * i for i in range(N))
    size = 2 * samples + N + 1
    assert AudioFolder(flacs, keep="memory", keep_gb=size / 1e9)._loader.kept.size == size
    with pytest.raises(ValueError, match=rf"takes {size / 1e9:.3g} GB for 6 clips.*keep_gb=1e-05.*keep=None"):
        AudioFolder(flacs, keep="memory", keep_gb=1e-5)
    AudioFolder(flacs, sample_rate=4000, keep="memory", keep_gb=(samples + 2 * N) / 1e9)
    for free, limit, fits in (
        (2 * size, None, True),
        (2 * size - 2, None, False),
        (size - 1, 1.0, False),
        (size, 1.0, True),
    ):
        monkeypatch.setattr(kept_clips, "free_memory", lambda free=free: free)
        if fits:
            AudioFolder(flacs, keep="memory", keep_gb=limit)
        else:
            with pytest.raises(ValueError, match="GB of memory are free"):
                AudioFolder(flacs, keep="memory", keep_gb=limit)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"keep": "disk"}, "keep='disk' must be 'memory' or None"),
        ({"keep": "memory", "keep_gb": 0}, "keep_gb=0 must be a number of GB above 0"),
        ({"keep": "memory", "keep_gb": "2"}, "keep_gb='2'"),
        ({"keep_gb": 2.0}, "keep_gb=2.0 limits keep='memory', which is not set"),
    ],
)
def test_settings_that_are_none(flacs, settings, said):
    for kind, source in ((AudioFolder, flacs), (AudioManifest, [{"path": str(flacs / "0.flac"), "target": 1}])):
        with pytest.raises(ValueError, match=said):
            kind(source, **settings)


def test_one_warning_counts_the_files_of_more_than_16_bits(tmp_path):
    write(tmp_path / "a.wav", 4000, 1, subtype="FLOAT", scale=2.0)
    write(tmp_path / "b.wav", 4000, 2, subtype="PCM_24")
    write(tmp_path / "c.wav", 4000, 3, subtype="PCM_16")
    with pytest.warns(UserWarning, match=r"2 of 3 files hold more \(1 PCM_24, 1 FLOAT\)") as caught:
        dataset = AudioFolder(tmp_path, keep="memory")
    assert len(caught) == 1
    assert caught[0].filename == __file__
    loud = dataset[0, 0].waveform
    exact = AudioFolder(tmp_path)[0, 0].waveform * 32768
    assert exact.abs().max() > 32768
    assert torch.equal(loud, exact.round().clamp(-32768, 32767).short())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AudioFolder(tmp_path)


def test_free_memory_in_a_container(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 90 kB\nMemAvailable:   80 kB\n")
    (tmp_path / "own").write_text("0::/job/step\n4:memory:/slurm\n5:cpu:/x\n")

    def free(groups="none"):
        return free_memory(str(tmp_path / "meminfo"), str(tmp_path / groups), str(tmp_path / "own"))

    assert free() == 80 * 1024
    new, old = tmp_path / "new" / "job", tmp_path / "old" / "memory" / "slurm"
    for folder, names in (
        (new, ("memory.max", "memory.current")),
        (old, ("memory.limit_in_bytes", "memory.usage_in_bytes")),
    ):
        folder.mkdir(parents=True)
        for name, value in zip(
            (*names, "memory.stat"), ("50000", "30000", "anon 1\ninactive_file 4000\nx 2"), strict=True
        ):
            (folder / name).write_text(value)
    assert free("new") == free("old") == 24000
    (new / "memory.max").write_text("max\n")
    assert free("new") == 80 * 1024
    (old / "memory.usage_in_bytes").write_text("60000")
    assert free("old") == 0
    assert free_memory(meminfo=str(tmp_path / "nothing")) > 0


# nothing is left behind, and nothing is held twice


def test_a_copy_has_a_block_of_its_own(flacs):
    dataset = AudioFolder(flacs, keep="memory")
    dataset[0, 0]
    data = pickle.dumps(dataset)
    assert len(data) < 20_000
    other = pickle.loads(data)
    assert (other.kept_clips, dataset.kept_clips) == (0, 1)
    assert torch.equal(other[0, 0].waveform, dataset[0, 0].waveform)


def test_nothing_stays_behind_when_all_are_killed(flacs):
    code = """
import os, signal, sys
from torch.utils.data import DataLoader
from audiofeed.data import AudioFolder
if __name__ == "__main__":
    dataset = AudioFolder(sys.argv[1], keep="memory")
    loader = DataLoader(dataset, batch_size=1, num_workers=2, collate_fn=list, persistent_workers=True)
    list(loader)
    workers = [w.pid for w in loader._iterator._workers]
    print(os.getpid(), *workers, dataset.kept_clips, flush=True)
    for pid in [*workers, os.getpid()]:
        os.kill(pid, signal.SIGKILL)
"""
    places = [Path("/dev/shm"), Path(os.environ.get("TMPDIR", "/tmp"))]
    done = subprocess.run([sys.executable, "-c", code, str(flacs)], capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert done.stdout.split()[-1] == str(N)
    named = [
        path for place in places if place.is_dir() for path in place.iterdir() if path.name.startswith("audiofeed-")
    ]
    assert named == []
    # and the memory file has no name that could be listed even while it lives
    dataset = AudioFolder(flacs, keep="memory")
    links = [
        os.readlink(f"/proc/self/fd/{fd}")
        for fd in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{fd}")
    ]
    assert [link for link in links if "audiofeed-clips" in link][:1] == ["/memfd:audiofeed-clips (deleted)"]
    assert dataset.kept_clips == 0
