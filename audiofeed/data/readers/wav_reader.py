"""Plain PCM and float WAV: where the samples lie in the file, and reading them by position.

A 2 s crop needs 64 kB of a 16-bit WAV. soundfile opens, seeks and copies for it; a positioned read of those bytes into
the tensor's own memory is several times faster (benchmarks/reading.py), and it keeps no handle that a fork could share.

Headers follow the Microsoft/IBM RIFF description, WAVEFORMATEXTENSIBLE, and EBU Tech 3306 (RF64) / ITU-R BS.2088
(BW64).
"""

from __future__ import annotations

import os
import struct

import numpy as np
import torch

from audiofeed.data.errors import AudioReadError
from audiofeed.data.readers import extensions
from audiofeed.data.readers.base import AudioFile, AudioInfo, Reader
from audiofeed.data.samples import scaled

PCM, FLOAT, EXTENSIBLE = 0x0001, 0x0003, 0xFFFE

# a file of nothing but empty chunks must not keep us busy
_MAX_CHUNKS = 4096
_LARGEST_DS64 = 4096
_UNKNOWN_32 = 0xFFFFFFFF
_UNKNOWN_64 = 0xFFFFFFFFFFFFFFFF
# writers into a pipe cannot go back to fill in the length. They write 0x7FFFF000, 0x7FFFFFFF, 0x80000000 or 0xFFFFFFFF,
# less a header, or rounded down to whole frames (of up to 256 bytes)
_LEAST_UNKNOWN = 0x7FFFEF00
# recorders write a length that is too large by a header, a chunk's padding or a few samples
_MOST_MISSING = 64
# bytes 2..15 of a WAVEFORMATEXTENSIBLE sub-format whose first two are a plain format tag; the second is ambisonic
_GUID_TAILS = (
    bytes.fromhex("0000 0000 1000 8000 00aa 0038 9b71"),
    bytes.fromhex("0000 2107 d311 8644 c8c1 ca00 0000"),
)
# soundfile's names by the bytes of a sample
_INTEGER = {1: "PCM_U8", 2: "PCM_16", 3: "PCM_24", 4: "PCM_32"}
_FLOAT = {4: "FLOAT", 8: "DOUBLE"}
# nearly every header: a fmt chunk of 16 bytes, then the samples
_USUAL = struct.Struct("<4sI4s4sI16s4sI")
_MAGIC = (b"RIFF", b"RF64", b"BW64")
# tag, channels, sample rate, bytes of a frame, bits
_Layout = tuple[int, int, int, int, int]
_WIDTHS = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}


class WavReader(Reader):
    """Reader of WAV, RF64 and BW64 files of plain integers or floats by position.

    It leaves other encodings to soundfile.

    A file that holds less than its header promises was truncated, and is refused whole, unless the rest is what
    recorders are known to write. Then what is there is read, with a warning:

    - up to 64 bytes too many, and at most a quarter of what is there;
    - the size of the file or of its RIFF chunk in place of that of the samples;
    - exactly twice the size of the samples or of the file.

    A length of 0x7FFFEF00 or more that the file does not hold (or of 0, where nothing else was filled in) is that of a
    writer into a pipe, and means the rest of the file.

    Args:
        strict: True refuses every file that holds less than its header promises.

    >>> WavReader().name
    'wav'
    """

    name = "wav"
    extensions = extensions.WAV

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict

    def matches(self, head: bytes) -> bool:
        """Return True for the first bytes of a WAV file: RIFF, RF64 or BW64 of type WAVE."""
        return head[:4] in _MAGIC and head[8:12] == b"WAVE"

    def info(self, file: AudioFile) -> AudioInfo | None:
        """Parse the header of a WAV file; None if the samples need a decoder.

        Raises:
            AudioReadError: The header is broken, or promises more samples than the file holds.
        """
        head = file.head
        if len(head) >= _USUAL.size:
            riff, riff_bytes, kind, first, length, body, second, promised = _USUAL.unpack_from(head)
            if (riff, kind, first, length, second) == (b"RIFF", b"WAVE", b"fmt ", 16, b"data"):
                layout = _parse_format(body, file.path)
                held, missing = _held_bytes(promised, riff_bytes, file, _USUAL.size, self.strict)
                return _describe(self, file, "WAV", layout, held, missing, _USUAL.size)
        found = _parse_chunks(file, self.strict) if self.matches(head) else None
        return found and _describe(self, file, *found)

    def read(self, file: AudioFile, info: AudioInfo, start: int, frames: int) -> torch.Tensor:
        """Read part of a WAV file by position: 16-bit samples as int16, all others as float32."""
        channels, subtype = info.channels, info.subtype
        count = frames * channels
        width = _WIDTHS[subtype]
        position = info.data_offset + start * channels * width
        if subtype == "PCM_16":
            waveform = torch.empty(count, dtype=torch.int16)
            _fill(file, waveform.numpy(), position, start)
        elif subtype == "FLOAT":
            waveform = torch.empty(count, dtype=torch.float32)
            _fill(file, waveform.numpy(), position, start)
        else:
            raw = np.empty(count * width, dtype=np.uint8)
            _fill(file, raw, position, start)
            waveform = torch.from_numpy(scaled(raw, subtype))
        return waveform if channels == 1 else waveform.view(frames, channels).T.contiguous()


def find_samples(file: AudioFile) -> tuple[int, int, int, int]:
    """Find the samples in a WAV file of any encoding.

    Args:
        file: The file, whose first bytes are those of a WAV.

    Returns:
        The format tag, the byte where the samples begin, the number of bytes that hold them, and of those that the
        header promises beyond.

    Raises:
        AudioReadError: The header is broken, or promises more than the file holds.
    """
    _, layout, held, missing, body = _parse_chunks(file, strict=False)
    return layout[0], body, held, missing


def _describe(
    reader: WavReader, file: AudioFile, container: str, layout: _Layout, held: int, missing: int, body: int
) -> AudioInfo | None:
    """Return the description of a WAV header, or None if the samples need a decoder."""
    tag, channels, sample_rate, block, bits = layout
    width, rest = divmod(block, channels)
    # fewer bits than the container are left-justified in it, so the container's own scale is the right one
    if rest or not 8 * (width - 1) < bits <= 8 * width:
        return None
    subtype = _INTEGER.get(width) if tag == PCM else _FLOAT.get(width) if tag == FLOAT and bits == 8 * width else None
    if subtype is None:
        return None
    frames = held // block
    return AudioInfo(file.path, sample_rate, channels, frames, container, subtype, body, file.size, reader, missing)


def _parse_chunks(file: AudioFile, strict: bool) -> tuple[str, _Layout, int, int, int]:
    """Parse a WAV file whose chunks come in any order.

    Returns the container, the fields of the fmt chunk, the bytes of samples held and missing, and where they begin.
    """
    page, size, path = file.head, file.size, file.path

    def at(position: int, count: int) -> bytes:
        if position + count <= len(page):
            return page[position : position + count]
        # a 64-bit length may lead beyond what a file can have
        return os.pread(file.fd, count, position) if position < size else b""

    (riff_bytes,) = struct.unpack_from("<I", page, 4)
    container = {b"RIFF": "WAV", b"RF64": "RF64", b"BW64": "BW64"}[page[:4]]
    wide: dict[bytes, int] = {}  # 64-bit lengths of chunks whose own field says 0xFFFFFFFF
    layout: _Layout | None = None
    position = 12
    for _ in range(_MAX_CHUNKS):
        head = at(position, 8)
        if len(head) < 8:
            raise AudioReadError.of(path, f"WAV header without a data chunk in the file's {size} bytes")
        name, length = struct.unpack("<4sI", head)
        body = position + 8
        if name == b"ds64" and container != "WAV":
            riff_bytes = _parse_ds64(at(body, min(length, _LARGEST_DS64)), wide, path)
        # of the samples the 64-bit length counts also where the other is one that was never filled in
        never_filled = name == b"data" and (length >= _LEAST_UNKNOWN or length == 0)
        if length == _UNKNOWN_32 or never_filled:
            length = wide.get(name, length)
        if name == b"fmt ":
            layout = _parse_format(at(body, min(length, 40)), path)
        elif name == b"data":
            if layout is None:
                raise AudioReadError.of(path, f"WAV data chunk at byte {position} comes before any fmt chunk")
            held, missing = _held_bytes(length, riff_bytes, file, body, strict)
            return container, layout, held, missing, body
        position = body + length + (length & 1)  # chunks begin at even bytes
    raise AudioReadError.of(path, f"WAV header with more than {_MAX_CHUNKS} chunks and no data chunk among them")


def _parse_ds64(body: bytes, wide: dict[bytes, int], path: str) -> int:
    """Fill `wide` from the ds64 chunk of a WAV file and return the 64-bit size of the whole RIFF."""
    if len(body) < 24:
        raise AudioReadError.of(path, f"ds64 chunk of {len(body)} bytes; 28 are needed")
    riff_bytes, wide[b"data"] = struct.unpack_from("<QQ", body)
    for entry in range(28, len(body) - 11, 12):
        name, length = struct.unpack_from("<4sQ", body, entry)
        wide.setdefault(name, length)
    return riff_bytes


def _parse_format(body: bytes, path: str) -> _Layout:
    """Return (tag, channels, sample_rate, block, bits) of a WAV file's fmt chunk."""
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


def _held_bytes(promised: int, riff_bytes: int, file: AudioFile, body: int, strict: bool) -> tuple[int, int]:
    """Return the bytes of samples in a WAV file, and how many more its header promises; raise if those are too many."""
    size = file.size
    held = size - body
    # a writer into a pipe cannot go back to fill in the length; 0 is also the true length of an empty recording, and
    # then the outer RIFF length, filled in as well, ends with the file
    finished = riff_bytes in (size - 8, size - 9)
    if promised in (_UNKNOWN_32, _UNKNOWN_64) or (promised == 0 and not finished):
        return held, 0
    if promised <= held:
        return promised, 0
    if _LEAST_UNKNOWN <= promised <= _UNKNOWN_32:
        return held, 0
    missing = promised - held
    slip = missing <= min(_MOST_MISSING, held // 4) or promised in (size, size - 8, 2 * held, 2 * size, 2 * (size - 8))
    if slip and held > 0 and not strict:
        return held, missing
    raise AudioReadError.of(
        file.path,
        f"truncated WAV: the header promises {promised} bytes of samples, the file holds {held}: copy it again",
    )


def _fill(file: AudioFile, array: np.ndarray, position: int, start: int) -> None:
    """Fill an array from a WAV file by position, in as many reads as it takes."""
    view = array.data.cast("B")
    size = len(view)
    done = os.preadv(file.fd, [view], position)
    while done < size:
        got = os.preadv(file.fd, [view[done:]], position + done)
        if got == 0:
            raise AudioReadError.of(file.path, f"the file ends {size - done} bytes too early", start)
        done += got
