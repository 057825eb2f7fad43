"""The RIFF parser: every variant byte by byte, and bytes that are none."""

from __future__ import annotations

import os
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiofeed.data import AudioReadError, read, read_info

SAMPLES = np.array([0, 1, -1, 32767, -32768, 1234, -4321, 7], dtype=np.int16)
PCM = SAMPLES.astype("<i2").tobytes()
GUID = bytes.fromhex("0000 0000 1000 8000 00aa 0038 9b71")


def raw_integers(bits: int, count: int) -> tuple[bytes, np.ndarray]:
    """Return `count` samples of so many bits as bytes, and as float64 with full scale at 1."""
    rng = np.random.default_rng(bits)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    values = np.concatenate([[low, high, 0, 1, -1], rng.integers(low, high, count - 5, endpoint=True)])
    if bits == 8:
        return (values + 128).astype(np.uint8).tobytes(), values / 128
    packed = b"".join(int(v).to_bytes(bits // 8, "little", signed=True) for v in values)
    return packed, values / (1 << (bits - 1))


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_integers_equal_soundfile(wav, write, bits, channels):
    packed, values = raw_integers(bits, 60)
    path = write("a.wav", wav.riff(wav.fmt(channels=channels, bits=bits), wav.chunk(b"data", packed)))
    waveform, rate = read(path)
    assert rate == 8000
    assert waveform.shape == ((60,) if channels == 1 else (channels, 60 // channels))
    assert waveform.is_contiguous()
    theirs = soundfile.read(path, dtype="float64", always_2d=True)[0].T
    expected = values.reshape(-1, channels).T
    np.testing.assert_array_equal(theirs, expected)
    if bits == 16:
        assert waveform.dtype == torch.int16
        waveform = waveform.double() / 32768
    else:
        assert waveform.dtype == torch.float32
        expected = expected.astype(np.float32)
    np.testing.assert_array_equal(np.atleast_2d(waveform.numpy()), expected)


@pytest.mark.parametrize(("kind", "bits"), [("<f4", 32), ("<f8", 64)])
def test_floats_are_kept_and_never_scaled(wav, write, kind, bits):
    values = np.array([0.0, 1.0, -1.0, 2.5, 1e-7, 0.1]).astype(kind)
    path = write("a.wav", wav.riff(wav.fmt(tag=3, bits=bits), wav.chunk(b"data", values.tobytes())))
    waveform, _ = read(path)
    assert waveform.dtype == torch.float32
    np.testing.assert_array_equal(waveform.numpy(), values.astype(np.float32))
    np.testing.assert_array_equal(soundfile.read(path, dtype="float32")[0], waveform.numpy())


def test_extensible(wav, write):
    for tag, bits, body in [(1, 16, PCM), (3, 32, SAMPLES.astype("<f4").tobytes())]:
        extra = struct.pack("<HHIH", 22, bits, 4, tag) + GUID
        path = write("a.wav", wav.riff(wav.fmt(tag=0xFFFE, bits=bits, extra=extra), wav.chunk(b"data", body)))
        assert read_info(path).data_offset == 68
        np.testing.assert_array_equal(read(path)[0].numpy(), SAMPLES)
        np.testing.assert_array_equal(soundfile.read(path, dtype="float64")[0] * (32768 if tag == 1 else 1), SAMPLES)


def test_extensible_with_fewer_bits_than_its_container(wav, write):
    """20 bits lie left-justified in 3 bytes, so the container's scale is the right one."""
    packed, values = raw_integers(24, 20)
    block = struct.pack("<HHIIHH", 0xFFFE, 1, 8000, 24000, 3, 20) + struct.pack("<HHIH", 22, 20, 4, 1) + GUID
    path = write("a.wav", wav.riff(wav.chunk(b"fmt ", block), wav.chunk(b"data", packed)))
    assert read_info(path).data_offset == 68  # read by position, not decoded
    np.testing.assert_array_equal(read(path)[0].numpy(), values.astype(np.float32))


def test_chunks_before_data_and_odd_padding(wav, write):
    parts = [
        wav.chunk(b"bext", b"x" * 601),
        wav.chunk(b"JUNK", b""),
        wav.fmt(),
        wav.chunk(b"LIST", b"INFOISFT\x05\0\0\0sox12\0"),
        wav.chunk(b"odd ", b"abc"),
        wav.chunk(b"data", PCM),
        wav.chunk(b"LIST", b"INFO"),
    ]
    path = write("a.wav", wav.riff(*parts))
    np.testing.assert_array_equal(read(path)[0].numpy(), SAMPLES)
    np.testing.assert_array_equal(soundfile.read(path, dtype="int16")[0], SAMPLES)


def test_what_only_looks_like_a_usual_header(wav, write):
    """Its first 44 bytes are those of nearly every file, but for one thing."""
    usual = wav.fmt(), wav.chunk(b"data", PCM)
    assert read_info(write("wide.wav", wav.riff(*usual, magic=b"RF64"))).format == "RF64"
    longer = wav.riff(wav.fmt(extra=b"data" + struct.pack("<I", 4) + bytes(4)), usual[1])
    assert longer[36:40] == b"data"
    np.testing.assert_array_equal(read(write("longer.wav", longer))[0].numpy(), SAMPLES)
    for other in (wav.riff(*usual).replace(b"WAVE", b"AVI "), wav.riff(*usual).replace(b"RIFF", b"RIFX")):
        with pytest.raises(AudioReadError, match=r"other\.wav"):
            read(write("other.wav", other))


def test_header_longer_than_a_page(wav, write):
    path = write("a.wav", wav.riff(wav.chunk(b"id3 ", bytes(9001)), wav.fmt(), wav.chunk(b"data", PCM)))
    assert read_info(path).data_offset > 9000
    np.testing.assert_array_equal(read(path)[0].numpy(), SAMPLES)


@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
def test_64_bit_sizes(wav, write, magic):
    body = b"".join([wav.fmt(), wav.chunk(b"data", PCM, 0xFFFFFFFF)])
    table = struct.pack("<I4sQ", 1, b"levl", 99)
    ds64 = wav.chunk(b"ds64", struct.pack("<QQQ", 4 + 44 + len(body), len(PCM), len(SAMPLES)) + table)
    after = wav.chunk(b"LIST", b"INFO")
    path = write("a.wav", wav.riff(ds64, body, after, magic=magic, size=0xFFFFFFFF))
    info = read_info(path)
    assert (info.format, info.frames) == (magic.decode(), len(SAMPLES))
    np.testing.assert_array_equal(read(path)[0].numpy(), SAMPLES)


def test_64_bit_size_of_a_chunk_before_data(wav, write):
    ds64 = wav.chunk(b"ds64", struct.pack("<QQQI4sQ", 0, len(PCM), 8, 1, b"levl", 6))
    parts = [ds64, wav.chunk(b"levl", b"abcdef", 0xFFFFFFFF), wav.fmt(), wav.chunk(b"data", PCM, 0xFFFFFFFF)]
    path = write("a.wav", wav.riff(*parts, magic=b"RF64", size=0xFFFFFFFF))
    np.testing.assert_array_equal(read(path)[0].numpy(), SAMPLES)


@pytest.mark.parametrize(
    ("promised", "outer"), [(0, 0), (0, 36), (0xFFFFFFFF, 0xFFFFFFFF), (0x7FFFF000, 0x7FFFF024)],
    ids=["zeros", "python wave", "ffmpeg", "sox"],
)  # fmt: skip
def test_a_streamed_file_is_taken_to_its_end(wav, write, promised, outer):
    path = write("a.wav", wav.riff(wav.fmt(), wav.chunk(b"data", PCM, promised), size=outer))
    np.testing.assert_array_equal(read(path)[0].numpy(), SAMPLES)


def test_a_streamed_file_that_stops_within_a_frame(wav, write):
    body = wav.riff(wav.fmt(channels=2), wav.chunk(b"data", PCM, 0xFFFFFFFF), size=0xFFFFFFFF)
    assert read(write("a.wav", body[:-3]))[0].shape == (2, 3)


def test_an_empty_recording_is_no_streamed_one(wav, write):
    path = write("a.wav", wav.riff(wav.fmt(), wav.chunk(b"data", b""), wav.chunk(b"LIST", b"INFO" * 10)))
    with pytest.raises(AudioReadError, match="no samples"):
        read_info(path)


@pytest.mark.parametrize(
    ("build", "rule"),
    [
        (lambda w: w.riff(w.chunk(b"data", PCM), w.fmt()), "before any fmt chunk"),
        (lambda w: w.riff(w.fmt()), "without a data chunk"),
        (lambda w: w.riff(w.fmt(channels=0), w.chunk(b"data", PCM)), "0 channels"),
        (lambda w: w.riff(w.fmt(rate=0), w.chunk(b"data", PCM)), "0 Hz"),
        (lambda w: w.riff(w.chunk(b"fmt ", bytes(8)), w.chunk(b"data", PCM)), "fmt chunk of 8 bytes"),
        (lambda w: w.riff(w.fmt(), w.chunk(b"data", PCM, 1 << 31)), "promises 2147483648 bytes .* holds 16"),
        (lambda w: w.riff(w.fmt(), w.chunk(b"data", PCM))[:-6], "promises 16 bytes .* holds 10"),
        (lambda w: w.riff(*[w.chunk(b"none", b"")] * 5000, w.fmt(), w.chunk(b"data", PCM)), "more than 4096 chunks"),
        (lambda w: w.riff(w.chunk(b"ds64", b"1234"), w.fmt(), magic=b"RF64"), "ds64 chunk of 4 bytes"),
        (lambda w: w.riff(w.fmt(tag=6, bits=8), w.chunk(b"data", PCM))[:-6], "promises 16 bytes .* holds 10"),
    ],
)
def test_a_broken_header_names_the_file_and_the_fault(wav, write, build, rule):
    path = write("broken.wav", build(wav))
    for call in (read_info, read, lambda p: read(p, 0, 1)):
        with pytest.raises(AudioReadError, match=rule) as caught:
            call(path)
        assert caught.value.path == path
        assert path in str(caught.value)


def outcome(path: str) -> torch.Tensor | None:
    """Read a file that may be anything: a waveform, or an AudioReadError that names it."""
    try:
        return read(path)[0]
    except AudioReadError as error:
        named = path in str(error)
    assert named
    return None


@settings(max_examples=150, deadline=2000)
@given(
    before=st.lists(
        st.tuples(st.sampled_from([b"LIST", b"bext", b"abcd", b"fact"]), st.binary(max_size=40)), max_size=5
    ),
    bits=st.sampled_from([8, 16, 24, 32]),
    channels=st.integers(1, 4),
    frames=st.integers(1, 50),
)
def test_any_sequence_of_chunks(tmp_path_factory, wav, before, bits, channels, frames):
    packed, values = raw_integers(bits, max(frames * channels, 5))
    packed, values = packed[: frames * channels * bits // 8], values[: frames * channels]
    chunks = [wav.chunk(name, body) for name, body in before]
    body = wav.riff(*chunks, wav.fmt(bits=bits, channels=channels), *chunks, wav.chunk(b"data", packed))
    path = tmp_path_factory.mktemp("chunks") / "a.wav"
    path.write_bytes(body)
    waveform, _ = read(path)
    scale = 32768 if bits == 16 else 1
    expected = (values.reshape(frames, channels).T * scale).astype(np.float32)
    np.testing.assert_array_equal(np.atleast_2d(waveform.float().numpy()), expected)


@settings(max_examples=300, deadline=2000)
@given(
    changes=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 140),
    extensible=st.booleans(),
    magic=st.sampled_from([b"RIFF", b"RF64"]),
)
def test_any_corruption_ends_in_a_waveform_or_one_error(tmp_path_factory, wav, changes, cut, extensible, magic):
    extra = struct.pack("<HHIH", 22, 16, 4, 1) + GUID if extensible else b""
    parts = [wav.fmt(tag=0xFFFE if extensible else 1, extra=extra), wav.chunk(b"data", PCM * 2)]
    if magic == b"RF64":
        parts.insert(0, wav.chunk(b"ds64", struct.pack("<QQQI", 100, len(PCM) * 2, 16, 0)))
    body = bytearray(wav.riff(*parts, magic=magic))
    for position, value in changes:
        body[position % len(body)] = value
    path = tmp_path_factory.mktemp("corrupt") / "a.wav"
    path.write_bytes(body[: len(body) - cut] if cut < len(body) else body)
    waveform = outcome(str(path))
    if waveform is not None:
        assert waveform.numel() <= os.path.getsize(path) * 8  # 4-bit codes are the densest that soundfile decodes


def test_a_lying_header_allocates_nothing(wav, write):
    path = write("a.wav", wav.riff(wav.fmt(), wav.chunk(b"data", PCM, 0xFFFFFFF0), size=0xFFFFFFF8))
    tracemalloc.start()
    with pytest.raises(AudioReadError):
        read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
