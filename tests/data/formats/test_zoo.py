"""The file zoo: odd files that tools in use write, each made by its own few lines, and what is in them."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest
import soundfile

from audiofeed.data import read, read_info
from tests.data.conftest import chunk, fmt, riff

SAMPLES = (np.sin(np.arange(600) * 0.1) * 20_000).astype(np.int16)
LITTLE, BIG = SAMPLES.astype("<i2").tobytes(), SAMPLES.astype(">i2").tobytes()
GUID = bytes.fromhex("0000 0000 1000 8000 00aa 0038 9b71")
ID3 = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)


def aiff(kind: bytes, comm: bytes, *chunks: bytes) -> bytes:
    body = kind + b"COMM" + struct.pack(">I", len(comm)) + comm + b"".join(chunks)
    return b"FORM" + struct.pack(">I", len(body)) + body


def comm(bits: int = 16) -> bytes:
    rate = struct.pack(">HQ", 16383 + 12, 8000 << 51)  # 8000 as 80 bits of floating point
    return struct.pack(">HIH", 1, len(SAMPLES), bits) + rate


def ssnd(body: bytes, size: int | None = None) -> bytes:
    return b"SSND" + struct.pack(">III", len(body) + 8 if size is None else size, 0, 0) + body


def au(size: int, offset: int = 24) -> bytes:
    return struct.pack(">4sIIIII", b".snd", offset, size, 3, 8000, 1).ljust(offset, b"\0") + BIG


def caf(size: int) -> bytes:
    desc = struct.pack(">d4sIIIII", 8000.0, b"lpcm", 2, 2, 1, 1, 16)  # bit 1: little-endian
    data = b"data" + struct.pack(">qI", size, 0) + LITTLE
    return b"caff\0\x01\0\0" + b"desc" + struct.pack(">q", len(desc)) + desc + data


def flac(write: Callable[..., str]) -> bytes:
    path = write("made.flac", b"")
    soundfile.write(path, SAMPLES, 8000)
    with open(path, "rb") as file:
        return file.read()


def ds64(riff_bytes: int, data_bytes: int, extra: bytes = b"") -> bytes:
    return chunk(b"ds64", struct.pack("<QQQI", riff_bytes, data_bytes, 0, 0) + extra)


ZOO = {
    "a list before the format": riff(chunk(b"LIST", b"INFOISFT\x04\0\0\0tool"), fmt(), chunk(b"data", LITTLE)),
    "broadcast wave": riff(chunk(b"bext", bytes(602)), chunk(b"qlty", b""), fmt(), chunk(b"data", LITTLE)),
    "pro tools junk": riff(chunk(b"JUNK", bytes(28)), fmt(), chunk(b"minf", bytes(16)), chunk(b"data", LITTLE)),
    "aligned to a page": riff(fmt(), chunk(b"FLLR", bytes(4044)), chunk(b"data", LITTLE)),  # iOS
    "a format of 18 bytes": riff(fmt(extra=b"\0\0"), chunk(b"data", LITTLE)),
    "extensible": riff(fmt(tag=0xFFFE, extra=struct.pack("<HHIH", 22, 16, 4, 1) + GUID), chunk(b"data", LITTLE)),
    "extensible without a mask": riff(
        fmt(tag=0xFFFE, extra=struct.pack("<HHIH", 22, 0, 0, 1) + GUID), chunk(b"data", LITTLE)
    ),
    "chunks behind": riff(fmt(), chunk(b"data", LITTLE), chunk(b"id3 ", ID3), chunk(b"LIST", b"INFO")),
    "rubbish behind": riff(fmt(), chunk(b"data", LITTLE)) + b"rubbish" * 50,
    "an id3 tag behind": riff(fmt(), chunk(b"data", LITTLE)) + b"TAG" + bytes(125),
    "a riff length of 0": riff(fmt(), chunk(b"data", LITTLE), size=0),
    "a riff length of all ones": riff(fmt(), chunk(b"data", LITTLE), size=0xFFFFFFFF),
    "no length at all": riff(fmt(), chunk(b"data", LITTLE, 0), size=0),
    "a wrong byte rate": riff(
        chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 1, 2, 16)), chunk(b"data", LITTLE)
    ),
    "an upper case name": riff(fmt(), chunk(b"PAD ", bytes(2047)), chunk(b"data", LITTLE)),
    "a fact chunk in pcm": riff(fmt(), chunk(b"fact", struct.pack("<I", 99)), chunk(b"data", LITTLE)),
    "rf64 that stayed small": riff(chunk(b"JUNK", bytes(28)), fmt(), chunk(b"data", LITTLE)),
    "rf64": riff(ds64(0, len(LITTLE)), fmt(), chunk(b"data", LITTLE, 0xFFFFFFFF), magic=b"RF64", size=0xFFFFFFFF),
    "rf64 of unknown length": riff(
        ds64((1 << 64) - 1, (1 << 64) - 1), fmt(), chunk(b"data", LITTLE, 0xFFFFFFFF), magic=b"RF64", size=0xFFFFFFFF
    ),
    "rf64 whose 32 bits are 0": riff(
        ds64(0, len(LITTLE)), fmt(), chunk(b"data", LITTLE, 0), chunk(b"LIST", bytes(98)), magic=b"RF64"
    ),
    "rf64 whose 32 bits say less than all ones": riff(
        ds64(0, len(LITTLE)), fmt(), chunk(b"data", LITTLE, 0xFFFF7FFF), chunk(b"LIST", bytes(98)), magic=b"RF64"
    ),
    "aiff": aiff(b"AIFF", comm(), ssnd(BIG)),
    "aiff, sound first": aiff(b"AIFF", comm(), b"NAME\0\0\0\x04name", ssnd(BIG)),
    "aiff-c, little-endian": aiff(
        b"AIFC", comm() + b"sowt\0\0", b"FVER" + struct.pack(">II", 4, 0xA2805140), ssnd(LITTLE)
    ),
    "aiff-c, none": aiff(b"AIFC", comm() + b"NONE\0\0", ssnd(BIG)),
    "au": au(len(BIG)),
    "au of unknown length": au(0xFFFFFFFF),
    "au with a comment": au(len(BIG), 64),
    "caf": caf(len(LITTLE) + 4),
}  # fmt: skip


@pytest.mark.parametrize("name", ZOO)
def test_every_animal_has_its_samples(write, name):
    path = write("a.bin", ZOO[name])
    whole, rate = read(path)
    assert rate == 8000
    np.testing.assert_array_equal(whole.numpy(), SAMPLES, err_msg=name)
    info = read_info(path)
    for start in (0, 1, 299, 599):
        part = read(path, start, min(50, 600 - start), info=info)[0]
        np.testing.assert_array_equal(part.numpy(), SAMPLES[start : start + 50])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("an id3 tag before", lambda b: ID3 + b),
        ("an id3 tag behind", lambda b: b + b"TAG" + bytes(125)),
        ("rubbish behind", lambda b: b + b"rubbish" * 50),
        ("no checksum", lambda b: b[:26] + bytes(16) + b[42:]),
        ("no frame sizes", lambda b: b[:12] + bytes(6) + b[18:]),
        ("padding", lambda b: b[:42] + b"\x01" + struct.pack(">I", 300)[1:] + bytes(300) + b[42:]),
    ],
)
def test_flac(write, name, change):
    path = write("a.bin", change(flac(write)))
    np.testing.assert_array_equal(read(path)[0].numpy(), SAMPLES)
    np.testing.assert_array_equal(read(path, 100, 200)[0].numpy(), SAMPLES[100:300])
