"""Files that are wrong on purpose or by damage: an AudioReadError that names them, soon, and in little memory."""

from __future__ import annotations

import os
import struct
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiofeed.data import AudioFolder, AudioReadError, Windows, read, read_info

TEXT = b"this is a page of text, and no sound at all\n" * 200


def refused(path: str) -> AudioReadError:
    """The error for a file, which names it."""
    for call in (read_info, read):
        with pytest.raises(AudioReadError) as caught:
            call(path)
        assert caught.value.path == path
    return caught.value


@pytest.mark.parametrize(
    "ending", ["au", "snd", "vox", "gsm", "raw", "sph", "aiff", "mp3", "flac", "sd2", "sds", "wve"]
)
@pytest.mark.parametrize("body", [TEXT, b"\0" * 3000, bytes(range(256)) * 20], ids=["text", "zeros", "bytes"])
def test_contents_decide_and_not_the_name(write, ending, body):
    """libsndfile falls back on the name: a page of text was mu-law noise."""
    refused(write(f"a.{ending}", body))


@pytest.mark.parametrize("ending", ["au", "wav", "raw", "txt", ""])
def test_a_sound_of_any_name_is_read(write, tmp_path, ending):
    soundfile.write(str(tmp_path / "a.flac"), np.zeros(500), 8000)
    body = (tmp_path / "a.flac").read_bytes()
    assert read_info(write(f"b.{ending}", body)).frames == 500


def test_names_that_lead_nowhere(tmp_path):
    loop = tmp_path / "loop.wav"
    loop.symlink_to(loop)
    for path in [str(loop), str(tmp_path / ("x" * 300 + ".wav")), "/" + "y/" * 3000 + "a.wav", str(loop) + "/b.wav"]:
        refused(path)
    (tmp_path / "broken.wav").symlink_to(tmp_path / "nothing")
    refused(str(tmp_path / "broken.wav"))


@pytest.mark.parametrize("channels", [1, 2])
def test_a_small_flac_that_claims_much(tmp_path, channels):
    """Under Windows its 2**36 - 1 frames became 17 GB of examples."""
    path = tmp_path / "a.flac"
    soundfile.write(str(path), np.zeros((10, channels)), 16_000)
    for claim in (2**36 - 1, 2**33, 2**30):
        body = bytearray(path.read_bytes())
        body[21] = body[21] & 0xF0 | claim >> 32
        body[22:26] = struct.pack(">I", claim & 0xFFFFFFFF)
        (tmp_path / "b.flac").write_bytes(body)
        assert f"claims {claim} frames, more than" in str(refused(str(tmp_path / "b.flac")))
    (tmp_path / "a.flac").unlink()
    with pytest.raises(AudioReadError, match="claims"):
        AudioFolder(tmp_path, crop=Windows(0.01))


@pytest.mark.parametrize(
    ("subtype", "size"), [("GSM610", 16_000_000_000_000_000_000), ("PCM_16", 1 << 63), ("ULAW", 1 << 50)]
)
def test_a_w64_that_claims_much(tmp_path, subtype, size):
    """libsndfile counted 1.6e19 bytes of GSM, and reading them never ended."""
    path = tmp_path / "a.w64"
    soundfile.write(str(path), np.zeros(4000), 8000, subtype=subtype)
    body = bytearray(path.read_bytes())
    place = body.index(b"data") + 16
    body[place : place + 8] = struct.pack("<Q", size)
    path.write_bytes(body)
    try:
        # libsndfile takes a length beyond the file's end for what is there
        assert read(str(path))[0].numel() <= 16 * len(body)
    except AudioReadError as error:
        named = error.path
    else:
        named = read_info(str(path)).path
    assert named == str(path)


@pytest.mark.parametrize("ending", ["aiff", "flac", "w64", "caf"])
def test_no_format_has_a_rate_that_no_converter_has(tmp_path, ending):
    path = str(tmp_path / f"a.{ending}")
    soundfile.write(path, np.zeros(100), 1)
    assert "1 Hz, which no converter has" in str(refused(path))


@pytest.mark.parametrize("rate", [1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_nor_has_au(write, rate):
    refused(write("a.au", struct.pack(">4sIIIII", b".snd", 24, 2000, 3, rate, 1) + bytes(2000)))


def test_memory_stays_in_proportion_to_the_file(tmp_path, write):
    """Every claim that passes is still read block by block."""
    path = tmp_path / "a.flac"
    soundfile.write(str(path), np.zeros(10), 16_000)
    body = bytearray(path.read_bytes())
    claim = len(body) * 8000
    body[22:26] = struct.pack(">I", claim)
    path.write_bytes(body)
    assert read_info(str(path)).frames == claim
    tracemalloc.start()
    with pytest.raises(AudioReadError):
        read(str(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


def test_on_error_skip_leaves_every_such_file_out(tmp_path, write, write_pcm):
    write_pcm("in/good.wav", 1000)
    (tmp_path / "in" / "link.wav").symlink_to(tmp_path / "in" / "nowhere.wav")
    write("in/text.au", TEXT)
    write(
        "in/ds64.wav",
        b"RF64\xff\xff\xff\xffWAVEds64"
        + struct.pack("<IQQQI4sQ", 40, 0, 8, 4, 1, b"levl", 1 << 63)
        + b"levl\xff\xff\xff\xff",
    )
    write(
        "in/rate.wav",
        b"RIFF\0\0\0\0WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, 1, 2, 2, 16)
        + b"data"
        + struct.pack("<I", 8)
        + bytes(8),
    )
    with pytest.warns(UserWarning, match="leaves out 4 of 5 files"):
        dataset = AudioFolder(tmp_path / "in", on_error="skip")
    assert {os.path.basename(str(error.path)) for error in dataset.faults} == {
        "link.wav",
        "text.au",
        "ds64.wav",
        "rate.wav",
    }
    assert len(dataset) == 1


def streamed_flac(folder: Path, frames: int, **how: object) -> tuple[Path, np.ndarray]:
    path = folder / "a.flac"
    data = (np.random.default_rng(0).standard_normal((frames, 2)) * 3000).astype(np.int16)
    soundfile.write(str(path), data, 44_100, **how)
    body = bytearray(path.read_bytes())
    body[12:18] = bytes(6)  # nor does a writer into a pipe know the shortest and longest frame
    body[21] &= 0xF0
    body[22:42] = bytes(20)  # or the number of samples and their checksum
    path.write_bytes(body)
    return path, data.T


@pytest.mark.parametrize("frames", [1, 17, 4095, 4096, 4097, 50_000, 300_000])
def test_a_flac_of_unknown_length_is_counted(tmp_path, frames):
    """Every FLAC that ffmpeg writes into a pipe was refused."""
    path, data = streamed_flac(tmp_path, frames)
    info = read_info(path)
    assert (info.frames, info.subtype) == (frames, "PCM_16")
    np.testing.assert_array_equal(read(path)[0].numpy(), data)
    for start in {0, frames // 2, frames - 1}:
        count = min(500, frames - start)
        np.testing.assert_array_equal(read(path, start, count, info=info)[0].numpy(), data[:, start : start + count])


def test_a_flac_of_unknown_length_that_stops_within_a_frame(tmp_path):
    path, data = streamed_flac(tmp_path, 50_000)
    os.truncate(path, path.stat().st_size - 1000)
    held = 50_000 // 4096 * 4096
    assert read_info(path).frames == held
    np.testing.assert_array_equal(read(path)[0].numpy(), data[:, :held])
    os.truncate(path, 100)
    assert "does not say how many frames" in str(refused(str(path)))


def test_nothing_of_this_warns(write):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused(write("a.raw", TEXT))
