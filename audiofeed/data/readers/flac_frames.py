"""FLAC by its frame headers: the length of a stream whose header leaves it open, as a writer into a pipe does.

A frame's header has its number, or that of its first sample; so the last whole frame says how long the stream is.
Frames follow RFC 9639.
"""

from __future__ import annotations

from collections.abc import Callable

ReadAt = Callable[[int, int], bytes]

# the end of a file in which the last whole frame is looked for; the longest are 2**16 samples of 8 channels
_TAIL = 1 << 20
_BLOCK_SIZES = {
    1: 192,
    **{code: 576 << (code - 2) for code in range(2, 6)},
    **{c: 256 << (c - 8) for c in range(8, 16)},
}
_EXTRA_RATE_BYTES = {12: 1, 13: 2, 14: 2}


def _table(polynomial: int, bits: int) -> list[int]:
    """Return the table of a checksum in a FLAC frame."""
    mask, top = (1 << bits) - 1, 1 << (bits - 1)
    table = []
    for byte in range(256):
        value = byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & mask
        table.append(value)
    return table


_CRC8 = _table(0x07, 8)
_CRC16 = _table(0x8005, 16)


def count_flac(read: ReadAt, size: int) -> int:
    """Count the samples per channel of a FLAC stream by its last whole frame.

    Args:
        read: Maps (position, count) to bytes of the file, fewer at its end.
        size: Bytes in the file.

    Returns:
        The number, or 0 if no whole frame is found at the end of the file.
    """
    # the sizes of blocks and their kind stand in STREAMINFO, which comes first
    streaminfo = read(8, 34)
    fixed = int.from_bytes(streaminfo[:2], "big")
    start = max(0, size - _TAIL)
    tail = read(start, size - start)
    stop = len(tail)
    at = tail.rfind(b"\xff", 0, stop)
    while at >= 0:
        found = _frame(tail, at, fixed)
        if found is not None:
            if _checksum(tail[at:stop]) == 0:
                return found
            stop = at
        at = tail.rfind(b"\xff", 0, at)
    return 0


def _checksum(frame: bytes) -> int:
    """Return the checksum of a whole FLAC frame, 0 if it is right."""
    value = 0
    for byte in frame:
        value = (value << 8 & 0xFFFF) ^ _CRC16[value >> 8 ^ byte]
    return value


def _frame(data: bytes, at: int, fixed: int) -> int | None:
    """Return the number of the sample behind the FLAC frame whose header stands at a byte; None if none does."""
    head = data[at : at + 17]
    if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[3] & 1 or head[2] >> 4 == 0 or head[2] & 15 == 15:
        return None
    lead = head[4]
    follow = 0 if lead < 0x80 else 8 - (lead ^ 0xFF).bit_length() - 1
    if follow < 0 or follow > 6 or lead in range(0x80, 0xC0):
        return None
    number = lead & (0x7F if not follow else (1 << (6 - follow)) - 1)
    at_end = 5 + follow
    for byte in head[5:at_end]:
        number = number << 6 | byte & 0x3F
    code = head[2] >> 4
    if code in (6, 7):
        width = code - 5
        block = int.from_bytes(head[at_end : at_end + width], "big") + 1
        at_end += width
    else:
        block = _BLOCK_SIZES[code]
    at_end += _EXTRA_RATE_BYTES.get(head[2] & 15, 0)
    if len(head) <= at_end:
        return None
    value = 0
    for byte in head[:at_end]:
        value = _CRC8[value ^ byte]
    if value != head[at_end]:
        return None
    return (number if head[1] & 1 else number * fixed) + block
