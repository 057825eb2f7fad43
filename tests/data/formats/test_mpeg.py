"""MP3, MP2 and MP1: the length by the frame headers, with and without a tag, and parts of what is there."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from audiofeed.data import AudioFolder, AudioReadError, read, read_info
from audiofeed.data.readers import mpeg_frames, mpeg_reader
from audiofeed.data.readers.mpeg_frames import find_stream
from tests.data.formats.mpeg_bytes import encode, frames, silent_frame, untagged

MODES = [
    ("CONSTANT", 44_100, 1), ("CONSTANT", 44_100, 2), ("VARIABLE", 44_100, 1), ("AVERAGE", 48_000, 2),
    ("VARIABLE", 16_000, 1), ("AVERAGE", 22_050, 2), ("CONSTANT", 32_000, 1), ("CONSTANT", 12_000, 1),
]  # fmt: skip
ID3V2 = b"ID3\x03\0\0" + bytes([0, 0, 3, 116]) + bytes(500)
ID3V1 = b"TAG" + b"title".ljust(125, b"\0")
APE = b"APETAGEX" + struct.pack("<IIII", 2000, 32 + 20, 1, 0) + bytes(8)


def per_frame(rate: int) -> int:
    return 1152 if rate >= 32_000 else 576


def check_parts(path: str, whole: torch.Tensor) -> None:
    """Every part is that part of the whole."""
    total = whole.shape[-1]
    info = read_info(path)
    assert info.frames == total
    places = [0, 1, 575, 1152, total // 3, total // 2 + 7, total - 3000, total - 1]
    for start, count in [*((start, min(2500, total - start)) for start in places), (0, 1), (3, 100), (1151, 2)]:
        part = read(path, start, count, info=info)[0]
        assert part.untyped_storage().nbytes() == part.numel() * 4
        assert (part - whole[..., start : start + count]).abs().max() <= 1e-6, start


@pytest.mark.parametrize(("mode", "rate", "channels"), MODES)
def test_without_a_tag_the_headers_are_counted(tmp_path, write, mode, rate, channels):
    """libsndfile's guess from the first frames gave 21 to 71 % of the audio, or refused the file."""
    body = encode(tmp_path, mode, rate, channels)
    tagged, _ = read(write("tagged.mp3", body))
    bare = untagged(body)
    path = write("bare.mp3", b"".join(bare))
    whole, _ = read(path)
    assert whole.shape[-1] == len(bare) * per_frame(rate)
    if tagged.shape[-1] == whole.shape[-1]:  # no room for a tag
        assert torch.equal(tagged, whole)
        return
    kept = whole[..., 1105 : 1105 + tagged.shape[-1]]
    assert (kept - tagged[..., : kept.shape[-1]]).abs().max() <= 1e-6
    check_parts(path, whole)


@pytest.mark.parametrize(("mode", "rate", "channels"), MODES)
def test_with_a_tag_the_length_is_libsndfile_s(tmp_path, write, mode, rate, channels):
    body = encode(tmp_path, mode, rate, channels, level=0.5)
    assert b"LAME" in body[:300]
    path = write("a.mp3", body)
    whole, _ = read(path)
    theirs = soundfile.read(path, dtype="float32", always_2d=True)[0].T
    np.testing.assert_array_equal(np.atleast_2d(whole.numpy()), theirs)
    check_parts(path, whole)


@pytest.mark.parametrize("delay", [0, 576, 1105, 4095])
@pytest.mark.parametrize("padding", [0, 528, 530, 1000, 4095])
def test_the_gapless_fields_are_read_as_libsndfile_reads_them(tmp_path, write, delay, padding):
    body = bytearray(encode(tmp_path, "CONSTANT", 44_100))
    place = body.index(b"LAME") + 21
    body[place : place + 3] = (delay << 12 | padding).to_bytes(3, "big")
    path = write("a.mp3", bytes(body))
    assert read_info(path).frames == soundfile.info(path).frames
    assert len(read(path)[0]) == read_info(path).frames
    body[place - 21] = 0  # no encoder's name: then libmpg123 looks at no delay
    path = write("b.mp3", bytes(body))
    assert read_info(path).frames == soundfile.info(path).frames


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize(
    ("name", "wrap"),
    [
        ("ID3v2 and ID3v1", lambda b: ID3V2 + b + ID3V1),
        ("two ID3v2", lambda b: ID3V2 + ID3V2 + b),
        ("APE behind", lambda b: b + bytes(20) + APE),
        ("APE and ID3v1 behind", lambda b: b + bytes(20) + APE + ID3V1),
        ("zeros before", lambda b: bytes(5000) + b),
        ("zeros behind", lambda b: b + bytes(5000)),
        ("half a frame before", lambda b: b[120:240] + b),
        ("half a frame behind", lambda b: b + b[:100]),
    ],
)
def test_tags_and_junk_around_the_frames(tmp_path, write, mode, name, wrap):
    bare = untagged(encode(tmp_path, mode, 44_100))
    whole, _ = read(write("bare.mp3", b"".join(bare)))
    path = write("a.mp3", wrap(b"".join(bare)))
    around, _ = read(path)
    assert torch.equal(around, whole), name
    check_parts(path, around)


@pytest.mark.parametrize(
    "junk", [b"junk" * 100, bytes(3000), b"\xff" * 2000, ID3V1, ID3V2, b"\xff\xfb" * 300],
    ids=["text", "zeros", "ones", "ID3v1", "ID3v2", "half a header"],
)  # fmt: skip
def test_junk_between_frames(tmp_path, write, junk):
    bare = untagged(encode(tmp_path, "VARIABLE", 44_100))
    whole, _ = read(write("bare.mp3", b"".join(bare)))
    path = write("a.mp3", b"".join(bare[:50]) + junk + b"".join(bare[50:]))
    around, _ = read(path)
    assert around.shape == whole.shape
    assert (around - whole).abs().max() <= 1e-6
    check_parts(path, around)


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_cut_files(tmp_path, write, mode):
    """At the front within a frame, at the end within a frame: the whole frames are there, and nothing else."""
    bare = untagged(encode(tmp_path, mode, 44_100))
    body = b"".join(bare)
    first = sum(map(len, bare[:30]))
    path = write("front.mp3", body[first - 50 :])
    whole, _ = read(path)
    assert len(whole) == 1152 * (len(bare) - 30)
    check_parts(path, whole)
    assert len(read(write("end.mp3", body[: first + 60]))[0]) == 1152 * 30


def test_appended_files_are_read_whole(tmp_path, write):
    body = encode(tmp_path, "VARIABLE", 44_100)
    bare = untagged(body)
    joined = b"".join(bare)
    path = write("bare.mp3", joined + joined)
    whole, _ = read(path)
    assert len(whole) == 2 * 1152 * len(bare)
    check_parts(path, whole)
    # the second tag is a frame of silence; the first one's delay is left out, and nothing else
    for behind in (body, ID3V2 + body, joined):
        path = write("tagged.mp3", body + behind)
        whole, _ = read(path)
        tags = behind.count(b"Xing")
        assert len(whole) == 1152 * (2 * len(bare) + tags) - 1105
        check_parts(path, whole)


@pytest.mark.parametrize("flags", [0, 2, 15])
def test_a_tag_that_was_never_filled_in(tmp_path, write, flags):
    """A writer into a pipe leaves zeros, or says by the flags that there is nothing: the tag's frame has no sound."""
    body = encode(tmp_path, "VARIABLE", 44_100)
    whole, _ = read(write("bare.mp3", b"".join(untagged(body))))
    place = body.index(b"Xing") + 4
    path = write("a.mp3", body[:place] + struct.pack(">III", flags, 0, 0) + body[place + 12 :])
    assert torch.equal(read(path)[0], whole)
    check_parts(path, whole)


def test_recordings_of_other_rates_appended_are_refused(tmp_path, write):
    one = b"".join(untagged(encode(tmp_path, "CONSTANT", 44_100)))
    for rate, channels in [(22_050, 1), (48_000, 1), (44_100, 2)]:
        other = b"".join(untagged(encode(tmp_path, "CONSTANT", rate, channels)))
        path = write("a.mp3", one + other)
        with pytest.raises(AudioReadError, match=rf"changes .* {rate} Hz, {channels} channels at byte {len(one)}"):
            read_info(path)


def test_a_tag_that_promises_more_than_there_is(tmp_path, write):
    body = encode(tmp_path, "CONSTANT", 44_100)
    for cut in (len(body) // 2, len(body) - 1200):
        with pytest.raises(AudioReadError, match=r"truncated MP3: its tag promises 116 frames .* holds \d+"):
            read_info(write("cut.mp3", body[:cut]))
    place = body.index(b"Info") + 8
    for claim in (0xFFFFFFFF, 0x7FFFFFFF, 5000):
        lying = body[:place] + struct.pack(">I", claim) + body[place + 4 :]
        with pytest.raises(AudioReadError, match=f"promises {claim} frames"):
            read_info(write("lying.mp3", lying))
    few = body[:place] + struct.pack(">I", 3) + body[place + 4 :]
    assert read_info(write("few.mp3", few)).frames > 1152 * 100


@pytest.mark.parametrize("version", [3, 2, 0])
@pytest.mark.parametrize("rate", [0, 1, 2])
@pytest.mark.parametrize("layer", [1, 2, 3])
def test_every_layer_version_and_rate(write, version, rate, layer):
    samples = 384 if layer == 1 else 576 if layer == 3 and version != 3 else 1152
    body = b"".join(silent_frame(version, layer, 4 + n % 7, rate, n % 2) for n in range(40))
    path = write("a.mp2" if layer == 2 else "a.mp3", body)
    info = read_info(path)
    assert (info.frames, info.channels, info.subtype) == (40 * samples, 1, "MPEG_LAYER_" + "I" * layer)
    assert info.sample_rate == soundfile.info(path).samplerate
    whole, _ = read(path)
    assert whole.shape == (40 * samples,)
    assert read(path, 39 * samples, samples)[0].abs().max() == 0


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("layer", [1, 2, 3])
def test_files_of_very_few_frames(write, layer, count):
    path = write("a.mp3", silent_frame(3, layer, 9, 0) * count)
    samples = 384 if layer == 1 else 1152
    assert read(path)[0].shape == (count * samples,)
    assert read(path, count * samples - 1, 1)[0].shape == (1,)


@pytest.mark.parametrize("version", [3, 2, 0])
@pytest.mark.parametrize("layer", [1, 2])
def test_parts_of_the_older_layers(write, version, layer):
    """Frames whose bits mean something: bytes 0x33 are valid allocations in both."""
    body = b"".join(
        frame[:4] + bytes([0x33] * 30) + frame[34:]
        for frame in (silent_frame(version, layer, 5, 0, n % 2) for n in range(60))
    )
    path = write("a.mp2", body)
    whole, _ = read(path)
    assert whole.shape == (60 * (384 if layer == 1 else 1152),)
    assert whole.abs().max() > 0.1
    for start in range(0, len(whole) - 500, 1777):
        part = read(path, start, 500)[0]
        torch.testing.assert_close(part, whole[start : start + 500], rtol=1e-6, atol=1e-5)  # the sound is up to 36


def test_what_looks_like_frames_without_end_is_an_error(tmp_path, write):
    bare = untagged(encode(tmp_path, "CONSTANT", 44_100, 2, level=0.5))
    body = b"".join(bare[:50]) + b"\xff\xfb\x90\0" * 200_000 + b"".join(bare[50:])
    with pytest.raises(AudioReadError, match="look like MPEG frames and are none"):
        read_info(write("a.mp3", body))


def test_the_free_format(write):
    """Bit rate index 0: only the next header says how long a frame is."""
    one = silent_frame(3, 3, 1, 0)[:4]
    one = one[:2] + bytes([one[2] & 0x0F]) + one[3:]
    body = (one + bytes(996)) * 30
    info = read_info(write("a.mp3", body))
    assert (info.frames, info.sample_rate) == (30 * 1152, 44_100)
    assert len(read(info.path)[0]) == info.frames


def vbri(bare: list[bytes]) -> bytes:
    tag = bytearray(bare[0][:4].ljust(len(bare[0]), b"\0"))
    size = sum(map(len, bare)) + len(tag)
    tag[36:54] = b"VBRI" + struct.pack(">HHHII", 1, 0, 50, size, len(bare))
    return bytes(tag)


def test_vbri(tmp_path, write):
    """The tag of Fraunhofer's encoders, of which libsndfile knows nothing."""
    bare = untagged(encode(tmp_path, "VARIABLE", 44_100, level=0.2))
    whole, _ = read(write("bare.mp3", b"".join(bare)))
    path = write("a.mp3", vbri(bare) + b"".join(bare))
    assert torch.equal(read(path)[0], whole)
    check_parts(path, whole)


@pytest.mark.parametrize("tag", [0x55, 0x50])
def test_in_a_wav(tmp_path, write, wav, tag):
    body = encode(tmp_path, "VARIABLE", 44_100)
    header = struct.pack("<HHIIHHHHIHHH", tag, 1, 44_100, 8000, 1, 0, 12, 1, 2, 576, 1, 1393)
    for kept in (body, b"".join(untagged(body))):
        whole, _ = read(write("a.mp3", kept))
        parts = wav.chunk(b"fmt ", header), wav.chunk(b"fact", bytes(4)), wav.chunk(b"data", kept)
        path = write("a.wav", wav.riff(*parts, wav.chunk(b"LIST", b"INFO")))
        inside, _ = read(path)
        assert read_info(path).format == "WAV"
        assert (inside - whole).abs().max() <= 1e-6
        check_parts(path, inside)


def test_no_mpeg_at_all(write):
    for name, body in [("text", b"this is a page of text\n" * 500), ("ones", b"\xff" * 50_000), ("id3", ID3V2)]:
        with pytest.raises(AudioReadError, match=rf"{name}\.mp3"):
            read_info(write(f"{name}.mp3", body))


def test_a_flac_behind_an_id3_tag_is_read_as_flac(tmp_path, write):
    soundfile.write(str(tmp_path / "a.flac"), np.zeros(5000), 16_000)
    path = write("b.flac", ID3V2 + (tmp_path / "a.flac").read_bytes())
    assert read_info(path).format == "FLAC"


def test_only_the_header_is_read_where_the_tag_says_all(tmp_path, write, monkeypatch):
    path = write("a.mp3", encode(tmp_path, "VARIABLE", 44_100))
    monkeypatch.setattr(mpeg_frames.MpegFrames, "advance", None)
    assert read_info(path).frames == 3 * 44_100


def test_libmpg123_has_nothing_to_say_about_good_files(tmp_path, write):
    """Decoding from within the file lacks bits of the frames before: it wrote so to the standard error."""
    body = encode(tmp_path, "VARIABLE", 16_000, seconds=6)
    write("tagged.mp3", body)
    write("bare.mp3", b"".join(untagged(body)))
    write("cut.mp3", b"".join(frames(body)[40:]))
    code = (
        "import sys; from audiofeed.data import read, read_info\n"
        "for path in sys.argv[1:]:\n"
        "    for start in range(0, read_info(path).frames - 4000, 7001): read(path, start, 4000)\n"
        "    read(path)"
    )
    paths = [str(tmp_path / f"{name}.mp3") for name in ("tagged", "bare", "cut")]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_a_dataset_of_them(tmp_path, write):
    body = encode(tmp_path, "VARIABLE", 16_000)
    os.remove(tmp_path / "encoded.mp3")
    bare = untagged(body)
    write("in/a.mp3", b"".join(bare))
    write("in/b.MP2", b"".join(silent_frame(2, 2, 8, 2) for _ in range(20)))
    dataset = AudioFolder(tmp_path / "in")
    np.testing.assert_allclose(dataset.durations, [len(bare) * 576 / 16_000, 20 * 1152 / 16_000])
    assert [len(dataset[i].waveform) for i in range(2)] == [len(bare) * 576, 20 * 1152]


def test_a_tag_is_looked_at_once(tmp_path, write, monkeypatch):
    """Reads of the whole file go by what its header was found to be; those of a part look again."""
    body = encode(tmp_path, "VARIABLE", 16_000)
    tagged, bare = write("tagged.mp3", body), write("bare.mp3", b"".join(untagged(body)))
    info = read_info(tagged)
    searched = read(tagged, info=replace(info, data_offset=-1))[0]
    found, marks = (
        [],
        [info.data_offset, read_info(bare).data_offset, read_info(write("id3.mp3", ID3V2 + body)).data_offset],
    )
    assert marks == [-2, -1, -2]
    monkeypatch.setattr(mpeg_reader, "find_stream", lambda *place: found.append(place) or find_stream(*place))
    assert torch.equal(read(tagged, info=info)[0], searched)
    assert not found
    assert (read(tagged, 1000, 2000, info=info)[0] - searched[1000:3000]).abs().max() <= 1e-6
    assert len(found) == 1
    # a mark that the file does not bear out, as in a table of headers from elsewhere
    wrong = replace(read_info(bare), data_offset=-2)
    assert torch.equal(read(bare, info=wrong)[0], read(bare)[0])
