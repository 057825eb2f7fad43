"""Reading: every format by position, and every way a file can be bad."""

from __future__ import annotations

import os
import pickle
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from audiofeed.data import AudioReadError, read, read_info
from audiofeed.data.readers import soundfile_reader as decoder_module

RATE = 16000


def signal(kind: str, frames: int) -> np.ndarray:
    time = np.arange(frames)
    rng = np.random.default_rng(0)
    if kind == "tone":
        return 0.3 * np.sin(0.05 * time)
    if kind == "bursts":
        return np.where(time % 40000 < 3000, 0.3, 0.0005) * rng.standard_normal(frames).clip(-3, 3)
    return 0.2 * rng.standard_normal(frames).clip(-3, 3)


FORMATS = [
    ("wav", "WAV", "PCM_16", torch.int16),
    ("wav", "WAV", "PCM_24", torch.float32),
    ("wav", "WAV", "FLOAT", torch.float32),
    ("wav", "WAV", "DOUBLE", torch.float32),
    ("wav", "WAV", "ULAW", torch.float32),
    ("wav", "WAV", "IMA_ADPCM", torch.float32),
    ("wav", "WAV", "GSM610", torch.float32),
    ("wav", "RF64", "PCM_16", torch.int16),
    ("flac", "FLAC", "PCM_16", torch.int16),
    ("flac", "FLAC", "PCM_24", torch.float32),
    ("aiff", "AIFF", "PCM_16", torch.int16),
    ("w64", "W64", "PCM_16", torch.int16),
    ("ogg", "OGG", "VORBIS", torch.float32),
    ("opus", "OGG", "OPUS", torch.float32),
    ("mp3", "MP3", "MPEG_LAYER_III", torch.float32),
]


@pytest.mark.parametrize("kind", ["tone", "noise"])
@pytest.mark.parametrize(
    ("ending", "container", "subtype", "dtype"), FORMATS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_part_equals_that_part_of_the_whole(tmp_path, ending, container, subtype, dtype, kind):
    path = str(tmp_path / f"a.{ending}")
    frames = 120_000
    soundfile.write(path, signal(kind, frames), RATE, format=container, subtype=subtype)
    info = read_info(path)
    whole, rate = read(path)
    assert (rate, whole.dtype, whole.shape) == (RATE, dtype, (info.frames,))
    assert info.frames >= frames
    theirs = soundfile.read(path, dtype="int16" if dtype == torch.int16 else "float32")[0]
    np.testing.assert_array_equal(whole.numpy(), theirs)
    tolerance = {"MPEG_LAYER_III": 1e-6, "OPUS": 1e-3}.get(subtype, 0)
    for start, count in [(0, 100), (1, 4000), (54_321, 4000), (99_999, 4000), (info.frames - 3000, 3000)]:
        for known in (None, info):
            part, _ = read(path, start, count, info=known)
            assert part.shape == (count,)
            assert (part.double() - whole[start : start + count].double()).abs().max() <= tolerance


@pytest.mark.parametrize(("rate", "channels"), [(24_000, 2), (22_050, 1), (44_100, 1), (48_000, 2)])
def test_an_mp3_part_has_the_bits_it_borrows(tmp_path, rate, channels):
    """At the lowest bit rate an onset after silence takes its bits from tens of frames before it."""
    path = str(tmp_path / "a.mp3")
    one = signal("bursts", 400_000)
    data = one if channels == 1 else np.stack([one, one[::-1]], 1)
    soundfile.write(path, data, rate, compression_level=0.99)
    whole, _ = read(path)
    for start in range(36_000, 390_000, 13_337):
        assert (read(path, start, 4000)[0] - whole[..., start : start + 4000]).abs().max() <= 1e-6


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100])
def test_a_part_in_the_last_page_of_a_vorbis_file(tmp_path, rate):
    path = str(tmp_path / "a.ogg")
    soundfile.write(path, signal("tone", 240_000), rate, format="OGG", subtype="VORBIS")
    whole, _ = read(path)
    for start in [*range(100_000, 236_000, 9001), 239_990]:
        part, _ = read(path, start, min(4000, 240_000 - start))
        torch.testing.assert_close(part, whole[start : start + 4000], rtol=0, atol=0)


@pytest.mark.parametrize(("ending", "subtype"), [("mp3", None), ("wav", "GSM610"), ("ogg", "VORBIS")])
def test_blocks_join_without_a_seam(tmp_path, monkeypatch, ending, subtype):
    path = str(tmp_path / f"a.{ending}")
    soundfile.write(path, signal("tone", 60_000), RATE, subtype=subtype)
    whole, _ = read(path)
    monkeypatch.setattr(decoder_module, "_BLOCK_SAMPLES", 7000)
    assert (read(path)[0] - whole).abs().max() <= 1e-6
    part, _ = read(path, 20_000, 30_000)
    assert (part - whole[20_000:50_000]).abs().max() <= 1e-6


@pytest.mark.parametrize(("ending", "subtype"), [("mp3", None), ("wav", "GSM610")])
def test_a_part_carries_no_more_memory_than_its_samples(tmp_path, ending, subtype):
    """What is decoded ahead would otherwise travel along from a worker."""
    path = str(tmp_path / f"a.{ending}")
    soundfile.write(path, signal("tone", 60_000), RATE, subtype=subtype)
    assert read(path, 50_000, 100)[0].untyped_storage().nbytes() == 400


@pytest.mark.parametrize("ending", ["flac", "ogg", "aiff"])
def test_channels_come_first(tmp_path, ending):
    path = str(tmp_path / f"a.{ending}")
    left = signal("noise", 5000)
    soundfile.write(path, np.stack([left, 0 * left, -left], 1), RATE)
    waveform, _ = read(path, 100, 50)
    assert waveform.shape == (3, 50)
    assert waveform.is_contiguous()
    assert waveform[0].abs().max() > 0
    assert waveform.untyped_storage().nbytes() == waveform.numel() * waveform.element_size()


@pytest.mark.parametrize(
    "name", ["mit Leerzeichen/ü ß 日本.wav", "mit Leerzeichen/ü ß 日本.flac", "quote'\".wav", "new\nline.wav"]
)
def test_any_name_and_any_kind_of_path(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    soundfile.write(os.fsencode(path), np.zeros(100), RATE, format="FLAC" if name.endswith("flac") else "WAV")
    for form in (path, str(path), os.fsencode(path)):
        assert read(form, 10, 20)[0].shape == (20,)
        assert read_info(form).path == str(path)


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_a_name_that_is_not_utf8(tmp_path, ending):
    path = os.path.join(os.fsencode(tmp_path), b"\xff\xfe." + ending.encode())
    soundfile.write(path, np.zeros(100), RATE, format=ending.upper())
    assert read(path)[0].shape == (100,)
    os.truncate(path, 50)
    with pytest.raises(AudioReadError) as caught:
        read(path)
    assert os.fsencode(caught.value.path) == path
    str(caught.value).encode()  # the message can be printed


def test_frames_outside_the_file_are_the_callers_mistake(write_pcm):
    path = write_pcm("a.wav", 100)
    for start, frames, rule in [
        (-1, 1, "start=-1"),
        (100, None, "start=100"),
        (90, 11, "frames=11"),
        (0, 0, "frames=0"),
    ]:
        with pytest.raises(ValueError, match=rule):
            read(path, start, frames)
    assert read(path, 99, 1)[0].shape == (1,)


def test_info_of_another_file_or_of_a_file_that_changed(write_pcm):
    path, other = write_pcm("a.wav", 100), write_pcm("b.wav", 100)
    info = read_info(path)
    with pytest.raises(ValueError, match=r"b\.wav"):
        read(other, info=info)
    write_pcm("a.wav", 90)
    with pytest.raises(AudioReadError, match="changed") as caught:
        read(path, 0, 10, info=info)
    assert caught.value.path == path


def bad_files(write, write_pcm, tmp_path):
    flac = tmp_path / "cut.flac"
    soundfile.write(str(flac), signal("noise", 50_000), RATE)
    os.truncate(flac, os.path.getsize(flac) // 2)
    whole = Path(write_pcm("whole.wav", 1000)).read_bytes()
    nan = np.zeros(100, dtype="<f4")
    nan[60] = np.nan
    soundfile.write(str(tmp_path / "nan.aiff"), nan, RATE, format="AIFF", subtype="FLOAT")
    header = struct.pack("<HHIIHH", 3, 1, 8000, 32000, 4, 32)
    inf = np.full(100, np.inf, dtype="<f4")

    def floats(body):
        return b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + header + b"data" + struct.pack("<I", len(body)) + body

    huge = floats(np.full(4, 1e300).tobytes()).replace(header, struct.pack("<HHIIHH", 3, 1, 8000, 64000, 8, 64))
    return {
        "zero bytes": (write("zero.wav", b""), "empty"),
        "text": (write("text.wav", b"this is a page of text\n" * 50), "this is a pa"),
        "truncated wav": (write("cut.wav", whole[:-500]), "promises 2000 bytes .* holds 1500"),
        "header only": (write("head.wav", whole[:40]), "without a data chunk"),
        "truncated flac": (str(flac), "flac|decoding stops"),
        "2**30 bytes": (
            write("claim.wav", whole[:40] + struct.pack("<I", 0x40000000) + whole[44:]),
            "promises 1073741824",
        ),
        "nan": (write("nan.wav", floats(nan.tobytes())), "1 samples are NaN or infinite, the first at frame 60"),
        "nan in aiff": (str(tmp_path / "nan.aiff"), "first at frame 60"),
        "infinite": (write("inf.wav", floats(inf.tobytes())), "100 samples are NaN"),
        "beyond float32": (write("huge.wav", huge), "4 samples are NaN or infinite"),
        "missing": (str(tmp_path / "missing.wav"), "No such file"),
        "directory": (write("dir.wav/inside", b"")[:-7], "is a directory"),
        "no frames": (write_pcm("none.wav", 0), "no samples"),
    }


BAD = [
    "zero bytes", "text", "truncated wav", "header only", "truncated flac", "2**30 bytes", "nan", "nan in aiff",
    "infinite", "beyond float32", "missing", "directory", "no frames",
]  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_named_with_what_is_wrong(write, write_pcm, tmp_path, case):
    path, rule = bad_files(write, write_pcm, tmp_path)[case]
    with pytest.raises(AudioReadError, match=rule) as caught:
        read(path)
    assert path in str(caught.value)
    assert caught.value.path == path
    assert caught.value.cause
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.path, again.cause, again.offset) == (path, caught.value.cause, caught.value.offset)


@pytest.mark.parametrize("channels", [1, 2])
def test_finite_samples_of_any_size_are_read(tmp_path, channels):
    """Their squares are beyond float32, as those of an MP3 with broken bits may be."""
    path = str(tmp_path / "a.aiff")
    written = np.full((50, channels), 3e38, dtype=np.float32)
    soundfile.write(path, written, RATE, format="AIFF", subtype="FLOAT")
    assert np.array_equal(read(path)[0].numpy(), written.T.squeeze())


def test_a_truncated_wav_is_refused_even_where_it_is_whole(write, write_pcm):
    whole = Path(write_pcm("whole.wav", 1000)).read_bytes()
    path = write("cut.wav", whole[:-500])
    with pytest.raises(AudioReadError, match="truncated"):
        read(path, 0, 10)


def test_a_truncated_flac_fails_only_where_frames_are_missing(write, write_pcm, tmp_path):
    path, _ = bad_files(write, write_pcm, tmp_path)["truncated flac"]
    assert read(path, 0, 1000)[0].shape == (1000,)
    with pytest.raises(AudioReadError) as caught:
        read(path, 49_000, 1000)
    assert caught.value.offset == 49_000


def test_a_flac_header_that_lies_is_not_believed(tmp_path):
    """The header's 36 bits of length are set to nearly 2**36 frames: 128 GiB, were they allocated."""
    path = tmp_path / "a.flac"
    soundfile.write(str(path), signal("noise", 5000), RATE)
    body = bytearray(path.read_bytes())
    body[21] |= 0x0F
    body[22:26] = b"\xff\xff\xff\xf0"
    path.write_bytes(body)
    for call in (read_info, read):
        with pytest.raises(AudioReadError, match=r"a\.flac.* claims 687194\d+ frames, more than"):
            call(path)


def test_a_decoded_file_without_a_frame(tmp_path):
    path = str(tmp_path / "a.aiff")
    soundfile.write(path, np.zeros(0), RATE)
    with pytest.raises(AudioReadError, match="no samples"):
        read_info(path)


def test_a_pipe_is_no_file_and_does_not_block(tmp_path):
    path = tmp_path / "pipe.wav"
    os.mkfifo(path)
    with pytest.raises(AudioReadError, match="pipe"):
        read(path)


def test_permission_denied(write_pcm, monkeypatch):
    path = write_pcm("a.wav", 100)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # root may read everything
    with pytest.raises(AudioReadError, match="Permission denied") as caught:
        read(path)
    assert caught.value.path == path


def test_an_input_error_while_reading(write_pcm, monkeypatch):
    path = write_pcm("a.wav", 100)

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", fail)
    with pytest.raises(AudioReadError, match="Input/output error"):
        read(path)


def test_short_reads_are_continued(write_pcm, monkeypatch):
    path = write_pcm("a.wav", 1000)
    whole, _ = read(path)
    honest = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, views, at: honest(fd, [views[0][:33]], at))
    torch.testing.assert_close(read(path)[0], whole, rtol=0, atol=0)


def test_no_descriptor_stays_open(write, write_pcm, tmp_path):
    paths = [path for path, _ in bad_files(write, write_pcm, tmp_path).values()] + [write_pcm("good.wav", 100)]
    before = len(os.listdir("/proc/self/fd"))
    for path in paths:
        for call in (read, read_info):
            try:
                call(path)
            except AudioReadError:
                continue
    assert len(os.listdir("/proc/self/fd")) == before


def test_without_soundfile_the_package_is_named(tmp_path, write_pcm, monkeypatch):
    path = tmp_path / "a.flac"
    soundfile.write(str(path), np.zeros(100), RATE)
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(ModuleNotFoundError, match="pip install soundfile"):
        read(path)
    assert read(write_pcm("a.wav", 100))[0].shape == (100,)


def test_real_speech(fsdd):
    path = os.path.join(fsdd, "7_jackson_3.wav")
    waveform, rate = read(path)
    theirs, their_rate = soundfile.read(path, dtype="int16")
    assert rate == their_rate == 8000
    np.testing.assert_array_equal(waveform.numpy(), theirs)


@pytest.mark.parametrize("level", [0.94, 0.97, 1.0])
def test_a_part_of_opus_speech(tmp_path, fsdd, level):
    """Speech at 6 to 24 kbit/s is what a decoder that starts afresh is worst at: the bound that `read` promises."""
    names = sorted(name for name in os.listdir(fsdd) if name.endswith(".wav"))[::97]
    speech = np.concatenate([soundfile.read(os.path.join(fsdd, name))[0] for name in names])
    path = str(tmp_path / "a.opus")
    soundfile.write(path, speech, 8000, format="OGG", subtype="OPUS", compression_level=level)
    whole, _ = read(path)
    worst = [
        float((read(path, start, 4000)[0] - whole[start : start + 4000]).abs().max())
        for start in range(3000, len(whole) - 4000, 2999)
    ]
    assert max(worst) <= 2e-2
    assert np.median(worst) <= 4e-3
    assert whole.abs().max() > 0.2


def test_opus_is_decoded_from_the_beginning_of_a_file_bit_for_bit(tmp_path):
    path = str(tmp_path / "a.opus")
    soundfile.write(path, signal("noise", 30_000), RATE, format="OGG", subtype="OPUS")
    assert torch.equal(read(path, 0, 20_000)[0], read(path)[0][:20_000])
