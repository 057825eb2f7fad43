"""Whole FLAC files by miniaudio: the bits that libsndfile gives, and its errors where a file is damaged."""

from __future__ import annotations

import os
import pickle
import sys

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader

from audiofeed.data import AudioFile, AudioFolder, AudioReadError, RandomCrop, read, read_info
from audiofeed.data.readers import miniaudio_reader
from audiofeed.data.readers.soundfile_reader import SoundfileReader


@pytest.fixture
def miniaudio():
    return pytest.importorskip("miniaudio", reason="miniaudio has no wheel for this machine")


def sound(kind: str, frames: int, channels: int) -> np.ndarray:
    rng = np.random.default_rng(frames)
    if kind == "noise":
        return rng.uniform(-1, 1, (frames, channels))
    if kind == "silence":
        return np.zeros((frames, channels))
    if kind == "extremes":
        return np.where(rng.random((frames, channels)) < 0.5, -1.0, 1.0)
    smooth = 0.6 * np.sin(np.arange(frames)[:, None] / 40 * (1 + np.arange(channels))) + 0.01 * rng.standard_normal(
        (frames, channels)
    )
    smooth[frames // 2 : frames // 2 + 5000] = 0
    return smooth


@pytest.fixture
def flac(tmp_path):
    """Write a FLAC and return its path."""

    def _flac(name="a.flac", kind="speech", frames=30000, channels=1, subtype="PCM_16", level=0.5, rate=16000) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        samples = sound(kind, frames, channels)
        soundfile.write(path, samples, rate, format="FLAC", subtype=subtype, compression_level=level)
        return str(path)

    return _flac


def by_libsndfile(path: str, start: int = 0, frames: int | None = None) -> torch.Tensor:
    file = AudioFile(path)
    try:
        info = SoundfileReader().info(file)
        return SoundfileReader().read(file, info, start, info.frames - start if frames is None else frames)
    finally:
        file.close()


def forbid_libsndfile(monkeypatch):
    def read(*_):
        raise AssertionError("decoded by libsndfile")

    monkeypatch.setattr(SoundfileReader, "read", read)


# whole files


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
@pytest.mark.parametrize("kind", ["speech", "noise", "silence", "extremes"])
@pytest.mark.parametrize(
    ("frames", "channels"), [(1, 1), (15, 2), (4096, 1), (4097, 2), (30000, 1), (20000, 3), (9000, 8)]
)
def test_the_bits_are_those_of_libsndfile(miniaudio, flac, monkeypatch, subtype, kind, frames, channels):
    for level in (0.0, 1.0):
        path = flac(kind=kind, frames=frames, channels=channels, subtype=subtype, level=level)
        expected, info = by_libsndfile(path), read_info(path)
        assert (info.reader.name, info.frames) == ("miniaudio", frames)
        with monkeypatch.context() as patch:
            forbid_libsndfile(patch)
            waveform, _ = read(path, info=info)
        assert waveform.dtype == expected.dtype
        assert waveform.is_contiguous()
        assert torch.equal(waveform, expected)


@pytest.mark.parametrize(("subtype", "channels"), [("PCM_16", 1), ("PCM_16", 2), ("PCM_24", 2)])
def test_a_part_equals_that_part_of_the_whole(miniaudio, flac, subtype, channels):
    path = flac(subtype=subtype, channels=channels)
    whole = read(path)[0]
    for start, frames in [(0, 29999), (1, 29999), (5000, 22000), (9000, 21000), (0, 21000), (29999, 1), (12000, 500)]:
        part, _ = read(path, start, frames)
        assert torch.equal(part, whole[..., start : start + frames])
        assert part.untyped_storage().nbytes() == part.nbytes  # not a view of the whole file


def test_only_most_of_a_file_is_decoded_by_miniaudio(miniaudio, flac, monkeypatch):
    path = flac()
    info = read_info(path)
    decoded = []
    monkeypatch.setattr(miniaudio_reader, "_decode_all", lambda file, info: decoded.append(file.path))
    read(path, 0, 20999, info=info)
    assert decoded == []
    read(path, 9000, 21000, info=info)
    assert decoded == [path]


def test_what_is_left_to_libsndfile(miniaudio, flac, tmp_path, monkeypatch):
    assert read_info(flac(subtype="PCM_S8")).reader.name == "soundfile"
    soundfile.write(tmp_path / "a.ogg", sound("noise", 9000, 1), 16000, format="OGG", subtype="VORBIS")
    assert read_info(tmp_path / "a.ogg").reader.name == "soundfile"
    monkeypatch.setattr(miniaudio_reader, "_MOST_SAMPLES", 29_999)
    assert read_info(flac()).reader.name == "soundfile"


def test_a_flac_by_any_name(miniaudio, flac):
    path = flac()
    other = path.replace(".flac", ".wav")
    os.rename(path, other)
    assert (read_info(other).reader.name, len(read(other)[0])) == ("miniaudio", 30000)


@pytest.mark.parametrize("end", [b"TAG" + bytes(125), b"\xff\xf8" * 50, bytes(5000), b"junk"])
def test_bytes_behind_the_last_frame(miniaudio, flac, end):
    path = flac()
    expected = by_libsndfile(path)
    with open(path, "ab") as file:
        file.write(end)
    assert torch.equal(read(path)[0], expected)


# datasets


def test_a_dataset(miniaudio, flac, tmp_path):
    for i in range(4):
        flac(f"set/{i}.flac", frames=20000 + i, kind="noise")
    dataset = AudioFolder(tmp_path / "set")
    expected = [by_libsndfile(path) for path in dataset.paths]
    again = pickle.loads(pickle.dumps(dataset))
    loader = DataLoader(dataset, batch_size=None, num_workers=1, collate_fn=lambda example: example)
    for waveforms in ([e.waveform for e in dataset], [e.waveform for e in again], [e.waveform for e in loader],
                      [e.waveform for e in dataset.__getitems__(range(4))]):  # fmt: skip
        assert all(map(torch.equal, waveforms, expected))
    crops = AudioFolder(tmp_path / "set", crop=RandomCrop(0.5))
    start, length = crops.crop.place(20001, 16000, seed=crops[0, 1].seed)
    assert torch.equal(crops[0, 1].waveform, expected[1][start : start + length])


def test_without_miniaudio_libsndfile_decodes(flac, monkeypatch):
    path = flac()
    expected, info = by_libsndfile(path), read_info(path)
    monkeypatch.setitem(sys.modules, "miniaudio", None)
    assert read_info(path).reader.name == "soundfile"
    assert torch.equal(read(path)[0], expected)
    # a worker elsewhere, with the header from here
    assert torch.equal(read(path, info=info)[0], expected)


# damage


@pytest.mark.parametrize("change", ["flip", "zero", "drop", "insert", "cut"])
@pytest.mark.parametrize(("channels", "subtype"), [(1, "PCM_16"), (2, "PCM_24")])
def test_a_damaged_file_never_gives_other_samples(miniaudio, flac, change, channels, subtype):
    """Passing over a damaged frame would move all samples behind it forward."""
    path = flac(kind="noise", channels=channels, subtype=subtype)
    with open(path, "rb") as file:
        good = file.read()
    expected = by_libsndfile(path)
    rng = np.random.default_rng(channels)
    refused = 0
    for place in rng.integers(60, len(good) - 200, 40).tolist():
        data = bytearray(good)
        if change == "flip":
            data[place] ^= 1 << int(rng.integers(8))
        elif change == "zero":
            data[place : place + 100] = bytes(100)
        elif change == "drop":
            del data[place : place + 100]
        elif change == "insert":
            data[place:place] = bytes(rng.integers(0, 256, 7, dtype=np.uint8))
        else:
            del data[place:]
        with open(path, "wb") as file:
            file.write(data)
        try:
            waveform, _ = read(path)
        except AudioReadError:
            refused += 1
        else:
            assert torch.equal(waveform, expected)
    assert refused > 20


def claim(path: str, frames: int) -> None:
    """Let a FLAC's header promise so many frames."""
    with open(path, "r+b") as file:
        file.seek(18)
        (word,) = np.frombuffer(file.read(8), ">u8")
        file.seek(18)
        file.write(np.array(int(word) >> 36 << 36 | frames, ">u8").tobytes())


@pytest.mark.parametrize("claimed", [29_000, 29_999, 30_001, 34_096, 2**30, 2**36 - 1, 0])
def test_a_header_that_claims_other_frames(miniaudio, flac, claimed):
    """Whatever libsndfile makes of it: the same samples, or an error."""
    path = flac()
    expected = by_libsndfile(path)
    claim(path, claimed)
    try:
        waveform, _ = read(path)
    except AudioReadError:
        assert claimed > 30_000 or claimed == 0
    else:
        assert torch.equal(waveform, expected[: claimed or None])


@pytest.mark.parametrize("place", [300, 5000, 20000])
def test_frames_beyond_the_promised_ones_do_not_stand_in_for_a_damaged_one(miniaudio, flac, place):
    path = flac(kind="noise")
    claim(path, 25_000)
    with open(path, "r+b") as file:
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ 4]))
    with pytest.raises(AudioReadError, match="libsndfile"):
        read(path)
