"""RIFF/WAVE headers: where the samples lie in the file and what they are.

Follows the Microsoft/IBM RIFF description, WAVEFORMATEXTENSIBLE, and EBU Tech 3306 (RF64) / ITU-R BS.2088 (BW64).
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

from audiofeed.data.errors import AudioReadError

PCM, FLOAT, EXTENSIBLE = 0x0001, 0x0003, 0xFFFE

# one read of a page finds the samples of nearly every file
_PAGE = 4096
# a file of nothing but empty chunks must not keep us busy
_MAX_CHUNKS = 4096
_UNKNOWN_32 = 0xFFFFFFFF
_UNKNOWN_64 = 0xFFFFFFFFFFFFFFFF
# what sox writes for a length it cannot go back to fill in
_SOX_UNKNOWN = 0x7FFFF000
# bytes 2..15 of a WAVEFORMATEXTENSIBLE sub-format whose first two are a plain format tag; the second is ambisonic
_GUID_TAILS = (
    bytes.fromhex("0000 0000 1000 8000 00aa 0038 9b71"),
    bytes.fromhex("0000 2107 d311 8644 c8c1 ca00 0000"),
)
# soundfile's names by the bytes of a sample
_WHOLE = {1: "PCM_U8", 2: "PCM_16", 3: "PCM_24", 4: "PCM_32"}
_FLOATING = {4: "FLOAT", 8: "DOUBLE"}
# nearly every header: a fmt chunk of 16 bytes, then the samples
_USUAL = struct.Struct("<4sI4s4sI16s4sI")


class WavHeader(NamedTuple):
    """What a RIFF/WAVE header says.

    ``tag`` is the format tag with WAVE_FORMAT_EXTENSIBLE resolved (0xFFFE stays where its sub-format is none of those);
    ``block`` the bytes of one frame; ``data_bytes`` what the file holds of the data chunk, a whole number of frames.
    """

    container: str
    tag: int
    channels: int
    sample_rate: int
    block: int
    bits: int
    data_offset: int
    data_bytes: int

    @property
    def subtype(self) -> str | None:
        """soundfile's name for samples that can be read by position, or None for those that need a decoder."""
        width, rest = divmod(self.block, self.channels)
        # fewer bits than the container are left-justified in it, so the container's own scale is the right one
        if rest or not 8 * (width - 1) < self.bits <= 8 * width:
            return None
        if self.tag == PCM:
            return _WHOLE.get(width)
        if self.tag == FLOAT and self.bits == 8 * width:
            return _FLOATING.get(width)
        return None


def parse_header(fd: int, size: int, path: str) -> WavHeader | None:
    """Read a RIFF/WAVE header without reading a sample.

    Args:
        fd: An open file descriptor; its position is neither used nor moved.
        size: The file's size in bytes.
        path: The file's name, for messages.

    Returns:
        The header, or None if the file is no little-endian RIFF/WAVE at all.

    Raises:
        AudioReadError: The file begins as a RIFF/WAVE but is broken, or promises more samples than it holds.
    """
    page = os.pread(fd, _PAGE, 0)
    if len(page) >= _USUAL.size:
        riff, riff_bytes, kind, first, length, body, second, promised = _USUAL.unpack_from(page)
        if (riff, kind, first, length, second) == (b"RIFF", b"WAVE", b"fmt ", 16, b"data"):
            layout = _parse_format(body, path)
            return _header("WAV", layout, _held_bytes(promised, riff_bytes, size, _USUAL.size, path), _USUAL.size)
    return _parse_chunks(fd, size, path, page)


def _header(container: str, layout: tuple[int, int, int, int, int], held: int, body: int) -> WavHeader:
    return WavHeader(container, *layout, data_offset=body, data_bytes=held - held % layout[3])


def _parse_chunks(fd: int, size: int, path: str, page: bytes) -> WavHeader | None:
    """The header of a file whose chunks come in any order.  `page` is the file's first bytes."""
    if page[:4] not in (b"RIFF", b"RF64", b"BW64") or page[8:12] != b"WAVE":
        return None

    def at(position: int, count: int) -> bytes:
        if position + count <= len(page):
            return page[position : position + count]
        return os.pread(fd, count, position)

    (riff_bytes,) = struct.unpack_from("<I", page, 4)
    container = {b"RIFF": "WAV", b"RF64": "RF64", b"BW64": "BW64"}[page[:4]]
    wide: dict[bytes, int] = {}  # 64-bit lengths of chunks whose own field says 0xFFFFFFFF
    layout: tuple[int, int, int, int, int] | None = None
    position = 12
    for _ in range(_MAX_CHUNKS):
        head = at(position, 8)
        if len(head) < 8:
            raise AudioReadError.of(path, f"WAV header without a data chunk in the file's {size} bytes")
        name, length = struct.unpack("<4sI", head)
        body = position + 8
        if name == b"ds64" and container != "WAV":
            riff_bytes = _parse_ds64(at(body, min(length, _PAGE)), wide, path)
        if length == _UNKNOWN_32 and name in wide:
            length = wide[name]
        if name == b"fmt ":
            layout = _parse_format(at(body, min(length, 40)), path)
        elif name == b"data":
            if layout is None:
                raise AudioReadError.of(path, f"WAV data chunk at byte {position} comes before any fmt chunk")
            return _header(container, layout, _held_bytes(length, riff_bytes, size, body, path), body)
        position = body + length + (length & 1)  # chunks begin at even bytes
    raise AudioReadError.of(path, f"WAV header with more than {_MAX_CHUNKS} chunks and no data chunk among them")


def _parse_ds64(body: bytes, wide: dict[bytes, int], path: str) -> int:
    """Fill `wide` from a ds64 chunk and return the 64-bit size of the whole RIFF."""
    if len(body) < 24:
        raise AudioReadError.of(path, f"ds64 chunk of {len(body)} bytes; 28 are needed")
    riff_bytes, wide[b"data"] = struct.unpack_from("<QQ", body)
    for entry in range(28, len(body) - 11, 12):
        name, length = struct.unpack_from("<4sQ", body, entry)
        wide.setdefault(name, length)
    return riff_bytes


def _parse_format(body: bytes, path: str) -> tuple[int, int, int, int, int]:
    """Return (tag, channels, sample_rate, block, bits) of a fmt chunk."""
    if len(body) < 16:
        raise AudioReadError.of(path, f"WAV fmt chunk of {len(body)} bytes; at least 16 are needed")
    tag, channels, sample_rate, _, block, bits = struct.unpack_from("<HHIIHH", body)
    if tag == EXTENSIBLE and len(body) >= 40 and body[26:40] in _GUID_TAILS:
        (tag,) = struct.unpack_from("<H", body, 24)
    if channels == 0 or sample_rate == 0 or block == 0:
        raise AudioReadError.of(
            path, f"WAV header says {channels} channels at {sample_rate} Hz in frames of {block} bytes; none may be 0"
        )
    return tag, channels, sample_rate, block, bits


def _held_bytes(promised: int, riff_bytes: int, size: int, body: int, path: str) -> int:
    """Return how many bytes of samples the file holds, or raise if the header promises more."""
    held = size - body
    # a writer into a pipe cannot go back to fill in the length; 0 is also the true length of an empty recording, and
    # then the outer RIFF length, filled in as well, ends with the file
    finished = riff_bytes in (size - 8, size - 9)
    if promised in (_UNKNOWN_32, _UNKNOWN_64) or (promised == 0 and not finished):
        return held
    if promised > held:
        if promised == _SOX_UNKNOWN:
            return held
        raise AudioReadError.of(
            path,
            f"truncated WAV: the header promises {promised} bytes of samples, the file holds {held}: copy it again",
        )
    return promised
