"""The RIFF parser: every variant byte by byte, and bytes that are none."""

from __future__ import annotations

import os
import struct
import tracemalloc
import warnings

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiofeed.data import AudioFile, AudioFolder, AudioReadError, WavReader, read, read_info

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
    ("promised", "outer"),
    [
        (0, 0), (0, 36), (0xFFFFFFFF, 0xFFFFFFFF), (0x7FFFF000, 0x7FFFF024), (0x7FFFEFFF, 0x7FFFF023),
        (0x7FFFEFFC, 0x7FFFF020), (0x7FFFEFF0, 0x7FFFF014), (0x7FFFEF00, 0), (0x7FFFFFFF, 0x7FFFFFFF),
        (0x80000000, 0x80000024), (0x7FFFFFDA, 0x7FFFFFFE), (0xFFFFFFFF - 36, 0xFFFFFFFF), (0xFFFFFFFE, 0xFFFFFFFF),
    ],
    ids=[
        "zeros", "python wave", "ffmpeg", "sox", "sox of 3 channels", "sox of 6 channels", "sox of 24 bits and 5",
        "the least", "opusdec", "arecord", "lame", "less a header", "even",
    ],
)  # fmt: skip
def test_a_streamed_file_is_taken_to_its_end(wav, write, promised, outer):
    path = write("a.wav", wav.riff(wav.fmt(), wav.chunk(b"data", PCM, promised), size=outer))
    np.testing.assert_array_equal(read(path)[0].numpy(), SAMPLES)


@pytest.mark.parametrize(("channels", "bits"), [(1, 24), (3, 16), (5, 24), (6, 16), (7, 32)])
def test_a_streamed_file_of_whole_frames(wav, write, channels, bits):
    """sox rounds the length that it cannot know down to whole frames."""
    packed, _ = raw_integers(bits, channels * 20)
    block = channels * bits // 8
    unknown = 0x7FFFF000 // block * block
    path = write("a.wav", wav.riff(wav.fmt(channels=channels, bits=bits), wav.chunk(b"data", packed, unknown)))
    whole = read(path)[0]
    assert read_info(path).missing == 0
    np.testing.assert_array_equal(
        np.atleast_2d(whole.float().numpy()) / (32768 if bits == 16 else 1),
        soundfile.read(path, always_2d=True, dtype="float32")[0].T,
    )


@pytest.mark.parametrize("more", [1, 2, 4, 16, 36, 44, 64, "file", "riff", "twice", "twice the file"])
def test_a_length_a_little_too_large_is_read_with_a_warning(wav, write, more):
    """Recorders write it: a header, a padding byte, or a few samples too many; or twice what there is."""
    body = np.arange(1000, dtype="<i2").tobytes()
    size = 12 + len(wav.fmt()) + 8 + len(body)
    promised = {"file": size, "riff": size - 8, "twice": 2 * len(body), "twice the file": 2 * size}.get(more, 0)
    missing = (promised or len(body) + more) - len(body)
    path = write("a.wav", wav.riff(wav.fmt(), wav.chunk(b"data", body, len(body) + missing)))
    info = read_info(path)
    assert (info.frames, info.missing) == (1000, missing)
    with pytest.warns(UserWarning, match=rf"1 of 1 files holds fewer .*a\.wav' \({missing} bytes") as caught:
        whole, _ = read(path)
    assert len(caught) == 1
    np.testing.assert_array_equal(whole.numpy(), np.arange(1000))
    np.testing.assert_array_equal(soundfile.read(path, dtype="int16")[0], whole.numpy())
    assert torch.equal(read(path, 900, 100, info=info)[0], whole[900:])  # and no second warning
    strict = WavReader(strict=True)
    file = AudioFile(path)
    with pytest.raises(AudioReadError, match=f"promises {len(body) + missing} bytes .* holds 2000"):
        strict.info(file)
    file.close()


@pytest.mark.parametrize("tag", [6, 7])
def test_nor_is_a_decoded_wav_short_in_silence(wav, write, tag):
    body = bytes(range(200)) * 5
    path = write("a.wav", wav.riff(wav.fmt(tag=tag, bits=8), wav.chunk(b"data", body, len(body) + 36)))
    assert (read_info(path).frames, read_info(path).missing) == (1000, 36)
    with pytest.warns(UserWarning, match=r"a\.wav' \(36 bytes missing"):
        whole, _ = read(path)
    np.testing.assert_array_equal(whole.numpy(), soundfile.read(path, dtype="float32")[0])


@pytest.mark.parametrize("missing", [65, 100, 500, 999, 1001, 1999])
def test_a_truncated_file_stays_an_error(wav, write, missing):
    body = wav.riff(wav.fmt(), wav.chunk(b"data", bytes(2000)))
    with pytest.raises(AudioReadError, match=f"promises 2000 bytes .* holds {2000 - missing}"):
        read_info(write("a.wav", body[:-missing]))


def test_a_dataset_warns_once_and_counts_the_files(wav, write, write_pcm):
    for name, missing in [("a.wav", 4), ("b.wav", 44), ("c.wav", 2)]:
        write(f"in/{name}", wav.riff(wav.fmt(), wav.chunk(b"data", bytes(2000), 2000 + missing)))
    root = os.path.dirname(write_pcm("in/d.wav", 1000))
    with pytest.warns(UserWarning, match=r"3 of 4 files hold fewer .*a\.wav") as caught:
        dataset = AudioFolder(root)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert [len(dataset[i].waveform) for i in range(4)] == [1000] * 4


@pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 2, (1 << 62) + 1, 1 << 40])
@pytest.mark.parametrize("name", [b"data", b"levl"])
def test_64_bit_sizes_beyond_any_file(wav, write, name, length):
    sizes = (length, 0) if name == b"data" else (len(PCM), length)
    ds64 = wav.chunk(b"ds64", struct.pack("<QQQI4sQ", 0, sizes[0], 8, 1, b"levl", sizes[1]))
    parts = [ds64, wav.chunk(b"levl", b"abcdef", 0xFFFFFFFF), wav.fmt(), wav.chunk(b"data", PCM, 0xFFFFFFFF)]
    with pytest.raises(AudioReadError, match=r"a\.wav"):
        read_info(write("a.wav", wav.riff(*parts, magic=b"RF64", size=0xFFFFFFFF)))


@pytest.mark.parametrize("rate", [1, 8, 99, 10_000_001, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_rate_that_no_converter_has(wav, write, rate):
    """At 1 Hz a second of sound became 16,000, at 2**32 Hz an example read 400 MB of context."""
    header = struct.pack("<HHIIHH", 1, 1, rate, 0, 2, 16)
    path = write("a.wav", wav.riff(wav.chunk(b"fmt ", header), wav.chunk(b"data", PCM)))
    with pytest.raises(AudioReadError, match=rf"{rate} Hz, which no converter has: 100 to"):
        read_info(path)


@pytest.mark.parametrize("rate", [100, 250, 4000, 384_000, 6_144_000, 10_000_000])
def test_every_rate_that_a_converter_has(wav, write, rate):
    header = struct.pack("<HHIIHH", 1, 1, rate, 0, 2, 16)
    path = write("a.wav", wav.riff(wav.chunk(b"fmt ", header), wav.chunk(b"data", PCM)))
    assert read_info(path).sample_rate == rate


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
        (lambda w: w.riff(w.fmt(), w.chunk(b"data", PCM, 1 << 30)), "promises 1073741824 bytes .* holds 16"),
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
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".* fewer bytes of samples than the header promises")
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
    path = write("a.wav", wav.riff(wav.fmt(), wav.chunk(b"data", PCM, 0x7FFFEEFF), size=0x7FFFEF24))
    tracemalloc.start()
    with pytest.raises(AudioReadError):
        read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
