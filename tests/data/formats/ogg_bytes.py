"""Ogg taken apart into pages, changed, and put together with right checksums."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

_TABLE = []
for _byte in range(256):
    _value = _byte << 24
    for _ in range(8):
        _value = (_value << 1 ^ 0x04C11DB7 if _value >> 31 else _value << 1) & 0xFFFFFFFF
    _TABLE.append(_value)


def checksum(body: bytes) -> int:
    value = 0
    for byte in body:
        value = (value << 8 & 0xFFFFFFFF) ^ _TABLE[value >> 24 ^ byte]
    return value


@dataclass(frozen=True)
class Page:
    flags: int
    granule: int
    serial: int
    sequence: int
    lacing: bytes
    body: bytes

    def __bytes__(self) -> bytes:
        head = struct.pack("<4sBBqIII", b"OggS", 0, self.flags, self.granule, self.serial, self.sequence, 0)
        whole = head + bytes([len(self.lacing)]) + self.lacing + self.body
        return whole[:22] + struct.pack("<I", checksum(whole)) + whole[26:]


def pages(data: bytes) -> list[Page]:
    found, at = [], 0
    while data[at : at + 4] == b"OggS":
        _, _, flags, granule, serial, sequence, _, count = struct.unpack_from("<4sBBqIIIB", data, at)
        lacing = data[at + 27 : at + 27 + count]
        body = data[at + 27 + count : at + 27 + count + sum(lacing)]
        found.append(Page(flags, granule, serial, sequence, lacing, body))
        at += 27 + count + len(body)
    return found


def join(parts: list[Page]) -> bytes:
    return b"".join(map(bytes, parts))


def renumber(parts: list[Page], serial: int) -> list[Page]:
    return [replace(page, serial=serial) for page in parts]


def cut(parts: list[Page], drop: int, less: int) -> list[Page]:
    """Drop the first pages of audio, and let positions begin so many samples below those of the first page left."""
    heads = [page for page in parts if page.granule <= 0]
    audio = [page for page in parts if page.granule > 0][drop:]
    before = [page for page in parts if page.granule > 0][drop - 1].granule if drop else 0
    left = [replace(page, granule=page.granule - before - less) for page in audio]
    return [replace(page, sequence=n) for n, page in enumerate([*heads, *left])]


def encode(folder: Path, subtype: str = "VORBIS", seconds: float = 6.0, rate: int = 16_000, seed: int = 0) -> bytes:
    """An Ogg file of noise that swells and fades."""
    count = int(seconds * rate)
    noise = np.random.default_rng(seed).standard_normal(count) * 0.2 * (0.02 + np.abs(np.sin(np.arange(count) / 9000)))
    path = str(folder / "encoded.ogg")
    soundfile.write(path, noise.clip(-0.9, 0.9), rate, format="OGG", subtype=subtype)
    return Path(path).read_bytes()
