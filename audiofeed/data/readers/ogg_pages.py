"""Ogg by its pages: whether a file holds one recording, how long it is, and from where a part of it can be decoded.

Pages follow RFC 3533; the blocks of a Vorbis packet the Vorbis I specification.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

ReadAt = Callable[[int, int], bytes]

_HEADER = struct.Struct("<4sBBqIIIB")
_BEGINS = 2
# a page is at most this long
_LONGEST = 65_307
# a file up to this size is walked page by page; of a longer one only so many places are looked at
_WALKED = 1 << 18
# most pages are shorter: so much is looked through at a time for the next one
_STEP = 8192
_PROBES = 16
# the setup header of Vorbis is a few kB, and never more than a few pages
_MOST_HEADER_PAGES = 64
_SEVERAL = "the Ogg file holds several recordings one after the other: split it into one file each"


class OggPage(NamedTuple):
    """Page of an Ogg file.

    Args:
        at: Byte where it begins.
        flags: 1 if it continues a packet, 2 if a stream begins, 4 if one ends.
        granule: Position of the last packet that ends here, in samples; -1 if none does.
        serial: The stream's number.
        sequence: The page's number within the stream.
        lacing: Lengths of the segments.
    """

    at: int
    flags: int
    granule: int
    serial: int
    sequence: int
    lacing: bytes

    @property
    def body(self) -> int:
        """Byte where the packets of an Ogg page begin."""
        return self.at + 27 + len(self.lacing)

    @property
    def stop(self) -> int:
        """Byte behind an Ogg page."""
        return self.body + sum(self.lacing)


def read_page(read: ReadAt, at: int) -> OggPage | None:
    """Read the header of the Ogg page at a byte, or return None if there is none."""
    head = read(at, 27 + 255)
    if len(head) < 27:
        return None
    magic, version, flags, granule, serial, sequence, _, segments = _HEADER.unpack_from(head)
    if magic != b"OggS" or version or len(head) < 27 + segments:
        return None
    return OggPage(at, flags, granule, serial, sequence, head[27 : 27 + segments])


def last_pages(read: ReadAt, size: int) -> Iterator[OggPage]:
    """Yield the Ogg pages in the last bytes of a file, the last one first; at least two if it has so many."""
    begin = max(0, size - 2 * _LONGEST)
    tail = _at(read(begin, size - begin), begin)
    block = tail(begin, size)
    found = block.rfind(b"OggS")
    while found >= 0:
        page = read_page(tail, begin + found)
        if page is not None:
            yield page
        found = block.rfind(b"OggS", 0, found)


def _at(block: bytes, begin: int) -> ReadAt:
    """Return a function that reads from bytes of an Ogg file that are in memory, of which the first is at `begin`."""
    return lambda at, count: block[max(0, at - begin) : max(0, at - begin + count)]


def check_one_recording(read: ReadAt, size: int) -> None:
    """Raise if an Ogg file holds several recordings one after the other, of which a decoder would read the first.

    Files up to 256 kiB are walked page by page. In longer ones the last page and 16 places between are looked at, which
    finds any second recording of another serial number, as every encoder is to draw it, and most of the same.

    Args:
        read: Maps (position, count) to bytes of the file, fewer at its end.
        size: Bytes in the file.

    Raises:
        ValueError: The file holds several recordings.
    """
    if size <= _WALKED:
        read = _at(read(0, size), 0)
    serials: set[int] = set()
    at = 0
    page = read_page(read, at)
    while page is not None and page.flags & _BEGINS:
        serials.add(page.serial)
        at = page.stop
        page = read_page(read, at)
    if not serials or page is None:
        return
    if size <= _WALKED:
        while page is not None:
            if page.flags & _BEGINS or page.serial not in serials:
                raise ValueError(f"{_SEVERAL} (the second begins at byte {page.at})")
            page = _page_from(read, page.stop, size)
        return
    sequences: dict[int, int] = {}
    probes = [_page_from(read, at + (size - at) * probe // _PROBES, size) for probe in range(1, _PROBES)]
    for found in [*probes, next(last_pages(read, size), None)]:
        if found is None:
            continue
        if found.serial not in serials or found.sequence < sequences.get(found.serial, 0):
            raise ValueError(_SEVERAL)
        sequences[found.serial] = found.sequence


def _page_from(read: ReadAt, at: int, size: int) -> OggPage | None:
    """Return the first Ogg page at or behind a byte."""
    page = read_page(read, at)
    while page is None and at < size:
        block = read(at, _STEP)
        found = block.find(b"OggS")
        if found < 0:
            at += max(1, len(block) - 3)
            continue
        at += found
        page = read_page(read, at)
        at += 1
    return page


def last_page_frame(read: ReadAt, size: int, frames: int) -> int:
    """Return the first frame of an Ogg Vorbis file's last page, into which a decoder's seek goes wrong.

    Returns 0 if it cannot be determined.

    libsndfile places a page's samples by counting back from the position in its header, which in the last page is cut
    to the recording's true end: a seek into that page lands as many samples too late as were cut
    (github.com/libsndfile/libsndfile/issues/885). Decoding on from the page before lands right.

    Args:
        read: Maps (position, count) to bytes of the file, fewer at its end.
        size: Bytes in the file.
        frames: Samples per channel in it.

    Returns:
        The frame.
    """
    # a page on which no packet ends has position -1
    pages = (page for page in last_pages(read, size) if page.granule >= 0)
    last, before = next(pages, None), next(pages, None)
    if last is None or before is None:
        return 0
    # positions count from wherever the stream was cut out of a longer one; one frame less is on the page before
    return max(0, before.granule - (last.granule - frames) - 1)


def starts_early(read: ReadAt) -> bool:
    """Return True if an Ogg Vorbis file begins with more samples than the position of their page has room for.

    A cut without encoding anew leaves such a file. A decoder that starts at the beginning gives all the samples; one
    that seeks counts from the position, and lands elsewhere.

    Args:
        read: Maps (position, count) to bytes of the file, fewer at its end.

    Returns:
        True also where the headers cannot be understood.
    """
    packets: list[bytes] = []
    partial = b""
    at = 0
    for _ in range(_MOST_HEADER_PAGES):
        page = read_page(read, at)
        if page is None:
            return True
        if len(packets) >= 3 and page.granule >= 0:
            return _duration(read, page, packets) > page.granule
        body, offset = read(page.body, sum(page.lacing)), 0
        for segment in page.lacing:
            partial += body[offset : offset + segment]
            offset += segment
            if segment < 255:
                packets.append(partial)
                partial = b""
        at = page.stop
    return True


def _duration(read: ReadAt, page: OggPage, headers: list[bytes]) -> int:
    """Return the samples in the first Ogg page with Vorbis audio by its packets; -1 if it cannot be told."""
    blocks = _mode_blocks(headers[0], headers[2])
    if not blocks or len(headers) > 3:
        return -1
    bits = (len(blocks) - 1).bit_length()
    at, begun, total, before = page.body, page.body, 0, 0
    for segment in page.lacing:
        at += segment
        if segment == 255:
            continue
        first = read(begun, 1)
        begun = at
        if not first or first[0] & 1:
            continue
        mode = first[0] >> 1 & ((1 << bits) - 1)
        block = blocks[min(mode, len(blocks) - 1)]
        total += (before + block) // 4 if before else 0
        before = block
    return total


def _mode_blocks(identification: bytes, setup: bytes) -> list[int]:
    """Return the block length of each mode of an Ogg Vorbis stream, from its first and third header; [] if unclear.

    The modes are the last of the setup header. Everything before has to be decoded to be passed over, so they are read
    from its end: 41 bits each, of which 32 are zero, behind 6 bits for their number.
    """
    if len(identification) < 29:
        return []
    short, long = 1 << (identification[28] & 15), 1 << (identification[28] >> 4)
    bits = int.from_bytes(setup, "little")
    at = bits.bit_length() - 1  # the framing bit
    flags: list[int] = []
    found: list[int] = []
    while at >= 47 and len(flags) < 64:
        mode = bits >> (at - 41) & ((1 << 41) - 1)
        if mode >> 1 & 0xFFFFFFFF or mode >> 33 > 63:
            break
        at -= 41
        flags.insert(0, mode & 1)
        if (bits >> (at - 6) & 63) + 1 == len(flags):
            found = list(flags)
    return [long if flag else short for flag in found]
