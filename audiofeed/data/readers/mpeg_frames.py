"""MPEG audio (MP3, MP2, MP1) by its frame headers: how many samples a stream holds, and which bytes hold them.

Every frame begins with 4 bytes that say how long it is, so frames are counted without decoding one. A decoder that
only guesses a length (libsndfile without an Info tag) is told by this file; any other decoder can be, too.

Headers follow ISO/IEC 11172-3 and 13818-3, and the extension to lower rates called MPEG-2.5.
"""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

# Hz by the version's two bits: MPEG-2.5, (reserved), MPEG-2, MPEG-1
_RATES = {0: (11_025, 12_000, 8_000), 2: (22_050, 24_000, 16_000), 3: (44_100, 48_000, 32_000)}
# kbit/s by (MPEG-1?, layer); index 0 is the free format, 15 is forbidden
_BITRATES = {
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
# sync, version, layer, bit rate, rate, padding and channel mode: all that decides a frame's length and sound
_DECISIVE = 0xFFFEFEC0
# sync, version, layer and rate: the same in every frame of a stream
_CONSTANT = 0xFFFE0C00
# all of that but the bit of the checksum, and bit rate: the same in every frame of the free format
_ALIKE = 0xFFFFFC00
_MONO = 3
_MPEG_1 = 3
# filters of an encoder and a decoder delay the sound by this much beyond the delay that the encoder writes down
_DECODER_DELAY = 529
# headers are read in blocks of this size, since a frame is shorter than a page of memory
_BLOCK = 1 << 20
# bytes without a frame at the start of a file, after which it is none of MPEG audio
_SEARCH = 1 << 18
# no frame is longer: 448 kbit/s at 32 kHz in Layer I is 672, the free format goes on to about 640 kbit/s
_LONGEST = 6000
# as much that looks like a header and is none is no accident, and would keep us busy
_MOST_TRIES = 1 << 16
_WORD = struct.Struct(">I")
# a lookahead, so that a header may begin within what only looked like one: sync with a valid version and layer, then a
# valid bit rate and sample rate
_HEADER = re.compile(
    b"(?=\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff]["
    + b"".join(re.escape(bytes([third])) for third in range(256) if third >> 4 != 15 and third >> 2 & 3 != 3)
    + b"].)",
    re.DOTALL,
)

ReadAt = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class MpegHeader:
    """Header of an MPEG audio frame.

    Args:
        word: Its 4 bytes as an integer.
        version: 3 for MPEG-1, 2 for MPEG-2, 0 for MPEG-2.5.
        layer: 1, 2 or 3.
        sample_rate: Hz.
        channels: 1 or 2.
        samples: Samples per channel in a frame.
        length: Bytes in the frame, header included; 0 in the free format, where only the next frame tells.
    """

    word: int
    version: int
    layer: int
    sample_rate: int
    channels: int
    samples: int
    length: int

    @property
    def slot(self) -> int:
        """Bytes that the padding bit adds to an MPEG frame."""
        return 4 if self.layer == 1 else 1

    @property
    def side(self) -> int:
        """Bytes of side information in an MPEG Layer III frame."""
        if self.version == _MPEG_1:
            return 17 if self.channels == 1 else 32
        return 9 if self.channels == 1 else 17

    def lengths(self) -> tuple[int, int]:
        """Return the shortest and the longest frame in bytes of an MPEG stream like this one's."""
        if not self.length:
            return 1, _LONGEST
        rates = _BITRATES[self.version == _MPEG_1, self.layer]
        return _length(self.version, self.layer, rates[1], self.sample_rate), _length(
            self.version, self.layer, rates[-1], self.sample_rate
        ) + self.slot


@dataclass(frozen=True, slots=True)
class MpegStream:
    """Stream of MPEG audio frames within a file, as its headers describe it.

    Args:
        header: The first frame's header.
        first: Byte where the first frame with sound begins: an Info, Xing or VBRI frame has none.
        stop: Byte behind the last one that can belong to a frame.
        stated: Frames that the tag promises, or -1 without a tag.
        promised: The same where the tag states the bytes that the file holds, too, and is believed; else -1.
        skip: Samples at the beginning to leave out, which the encoder's and the decoder's filters made.
        trim: Samples at the end to leave out; 0 without a tag that says so.
        free: Bytes of an unpadded frame in the free format, else 0.
        tagged: True if the stream begins with an Info or Xing frame.
    """

    header: MpegHeader
    first: int
    stop: int
    stated: int
    promised: int
    skip: int
    trim: int
    free: int
    tagged: bool

    def samples(self, frames: int) -> int:
        """Return the samples per channel of so many MPEG frames, without those to leave out at both ends.

        Frames beyond those that the tag promises were appended, and then nothing is left out at the end.
        """
        trim = self.trim if frames <= self.stated else 0
        return frames * self.header.samples - self.skip - trim


@functools.lru_cache(maxsize=1024)  # the frames of a corpus have few headers, and each read of a file begins with three
def parse_header(word: int) -> MpegHeader | None:
    """Parse the 4 bytes of an MPEG audio frame's header.

    Args:
        word: The bytes as a big-endian integer.

    Returns:
        The header, or None if the bytes are none.

    >>> header = parse_header(0xFFFB90C4)
    >>> header.layer, header.sample_rate, header.channels, header.samples, header.length
    (3, 44100, 1, 1152, 417)
    """
    version, layer = word >> 19 & 3, 4 - (word >> 17 & 3)
    index, rate = word >> 12 & 15, word >> 10 & 3
    if word >> 21 != 0x7FF or version == 1 or layer == 4 or index == 15 or rate == 3:
        return None
    sample_rate = _RATES[version][rate]
    kbits = _BITRATES[version == _MPEG_1, layer][index]
    length = _length(version, layer, kbits, sample_rate)
    if kbits and word >> 9 & 1:
        length += 4 if layer == 1 else 1
    samples = 384 if layer == 1 else 576 if layer == 3 and version != _MPEG_1 else 1152
    return MpegHeader(word, version, layer, sample_rate, 1 if word >> 6 & 3 == _MONO else 2, samples, length)


def _length(version: int, layer: int, kbits: int, sample_rate: int) -> int:
    """Return the bytes of an unpadded MPEG frame."""
    if layer == 1:
        return 12_000 * kbits // sample_rate * 4
    return (144_000 if version == _MPEG_1 or layer == 2 else 72_000) * kbits // sample_rate


class MpegFrames:
    """Walk over the frames of an MPEG stream, from the first one on, by their headers alone.

    Tags and junk between frames are passed over. A frame that is cut off at the end is none.

    Args:
        read: Maps (position, count) to bytes of the file, fewer at its end.
        stream: The stream.

    Attributes:
        index: Number of frames passed.
        changed: (byte, header) of the first two frames in a row that cannot belong to the stream, because the rate or
            the number of channels is another; the walk ends before them. Else None.
    """

    def __init__(self, read: ReadAt, stream: MpegStream) -> None:
        self._read, self._stream = read, stream
        self._position = stream.first
        self._buffer, self._base = b"", 0
        self._lengths: dict[int, int] = {}
        self.index = 0
        self.changed: tuple[int, MpegHeader] | None = None

    def advance(self, frames: int | None = None) -> list[tuple[int, int]]:
        """Pass over frames of an MPEG stream.

        Args:
            frames: Their number; None for all that are left.

        Returns:
            The bytes that hold them, as (start, stop) of each run without a gap; fewer frames where the stream ends.
        """
        runs: list[tuple[int, int]] = []
        target = -1 if frames is None else self.index + frames
        lengths, stop = self._lengths, self._stream.stop
        unpack, decisive = _WORD.unpack_from, _DECISIVE
        position = begun = self._position
        index = self.index
        while index != target and position + 4 <= stop:
            at = position - self._base
            if not 0 <= at <= len(self._buffer) - 4:
                self._buffer, self._base, at = self._read(position, _BLOCK), position, 0
                if len(self._buffer) < 4:
                    break
            key = unpack(self._buffer, at)[0] & decisive
            length = lengths.get(key)
            if length is None:
                length = lengths[key] = self._fitting(key)
            if length and position + length <= stop:
                position += length
                index += 1
                continue
            if position > begun:
                runs.append((begun, position))
            found = self._next(position)
            begun = position = stop if found is None else found
        if position > begun:
            runs.append((begun, position))
        self._position, self.index = position, index
        return runs

    def _fitting(self, word: int) -> int:
        """Return the length of an MPEG frame with this header, or 0 if it is none of the stream."""
        header = parse_header(word)
        own = self._stream.header
        if header is None or (word ^ own.word) & _CONSTANT or header.channels != own.channels:
            return 0
        if not header.length:
            return self._stream.free and self._stream.free + (header.slot if word >> 9 & 1 else 0)
        return header.length

    def _next(self, position: int) -> int | None:
        """Return where the MPEG stream goes on behind something else, or None if it ends there."""
        stop = self._stream.stop
        position = _behind_tags(self._read, position, stop)
        for at, header in _candidates(self._read, position, stop, stop):
            length = self._fitting(header.word & _DECISIVE)
            if length and at + length <= stop and (at == position or self._continues(at + length)):
                return at
            if not length and header.length and _repeats(self._read, at, header, stop, certain=True):
                self.changed = self.changed or (at, header)
                return None
        return None

    def _continues(self, position: int) -> bool:
        """Check that another MPEG frame of the stream, a tag or the end stands at a byte."""
        head = self._read(position, 10)
        if position >= self._stream.stop or _tag_length(head):
            return True
        return len(head) >= 4 and self._fitting(_WORD.unpack_from(head)[0] & _DECISIVE) > 0


def find_stream(read: ReadAt, start: int, stop: int) -> MpegStream | None:
    """Find the first frame of an MPEG stream, and the tags before and in it.

    Args:
        read: Maps (position, count) to bytes of the file, fewer at its end.
        start: First byte that may belong to it.
        stop: Byte behind the last one.

    Returns:
        The stream, or None if there is none.
    """
    start = _behind_tags(read, start, stop)
    stop = _before_tags(read, start, stop)
    for at, header in _candidates(read, start, stop, start + _SEARCH):
        free = 0 if header.length else _free_length(read, at, header, stop)
        length = header.length or (free and free + (header.slot if header.word >> 9 & 1 else 0))
        if not length or at + length > stop:
            continue
        if at + length == stop or (free and length) or _repeats(read, at, header, stop):
            return _tagged(read, at, length, stop, header, free)
    return None


def _tagged(read: ReadAt, at: int, length: int, stop: int, header: MpegHeader, free: int) -> MpegStream:
    """Return the MPEG stream that begins at byte `at`, by the tag in its first frame if there is one."""
    frame = read(at, length)
    first = at + length
    place = has_tag(frame, header)
    if not place or len(frame) < place + 18:
        return MpegStream(header, at, stop, -1, -1, 0, 0, free, False)
    if frame[place : place + 4] == b"VBRI":
        size, frames = struct.unpack_from(">II", frame, place + 10)
        promised = _believed(frames, size, length, first, stop, header)
        return MpegStream(header, first, stop, frames, promised, 0, 0, free, False)
    (flags,) = _WORD.unpack_from(frame, place + 4)
    place += 8
    fields = []
    for bit, width in ((1, 4), (2, 4), (4, 100), (8, 4)):
        field = frame[place : place + width] if flags & bit else b""
        fields.append(_WORD.unpack_from(field)[0] if width == 4 and len(field) == 4 else -1)
        place += width if flags & bit else 0
    frames, size = fields[:2]
    # without a count libmpg123 does not look at the delays behind it
    if frames < 1:
        return MpegStream(header, first, stop, -1, -1, 0, 0, free, False)
    delay = padding = 0
    if len(frame) >= place + 24 and frame[place]:
        packed = int.from_bytes(frame[place + 21 : place + 24], "big")
        delay, padding = packed >> 12, packed & 0xFFF
    promised = _believed(frames, size, length, first, stop, header)
    trim = max(0, padding - _DECODER_DELAY)
    return MpegStream(header, first, stop, frames, promised, delay + _DECODER_DELAY, trim, free, True)


def _believed(frames: int, size: int, length: int, first: int, stop: int, header: MpegHeader) -> int:
    """Return the frames that an MPEG stream's tag promises, or -1 if the size it states is not the file's."""
    held = stop - first
    shortest, longest = header.lengths()
    # most encoders count the tag's own frame among the bytes, some do not
    if size in (held, held + length) and shortest * frames <= held <= longest * frames:
        return frames
    return -1


def _candidates(read: ReadAt, start: int, stop: int, last: int) -> Iterator[tuple[int, MpegHeader]]:
    """Yield (byte, header) of everything that looks like an MPEG frame header and begins before `last`."""
    position, tries = start, 0
    while position < min(stop - 3, last):
        block = read(position, _BLOCK if position > start else 4096)
        for found in _HEADER.finditer(block):
            at = position + found.start()
            tries += 1
            if at > stop - 4 or at >= last:
                return
            if tries > _MOST_TRIES:
                raise ValueError(f"from byte {start} on, {tries} places look like MPEG frames and are none")
            header = parse_header(_WORD.unpack_from(block, found.start())[0])
            if header is not None:
                yield at, header
        if len(block) < 4:
            return
        position += len(block) - 3


def _repeats(read: ReadAt, at: int, header: MpegHeader, stop: int, certain: bool = False) -> bool:
    """Check that an MPEG frame is followed by two of its kind, or, unless `certain`, by a tag or the file's end."""
    for _ in range(2):
        at += header.length
        head = read(at, 10)
        if at >= stop or _tag_length(head):
            return not certain
        following = parse_header(_WORD.unpack_from(head)[0]) if len(head) >= 4 else None
        if following is None:
            return False
        if (following.word ^ header.word) & _CONSTANT or following.channels != header.channels or not following.length:
            return False
        header = following
    return True


def reservoir(frame: bytes, header: MpegHeader) -> tuple[int, int]:
    """Return the bytes that an MPEG Layer III frame takes from the frames before it, and those it holds itself.

    Args:
        frame: The frame, of which the first bytes are enough.
        header: A header of its stream.
    """
    body = 4 if frame[1] & 1 else 6
    taken = frame[body] << 1 | frame[body + 1] >> 7 if header.version == _MPEG_1 else frame[body]
    return taken, len(frame) - body - header.side


def has_tag(frame: bytes, header: MpegHeader) -> int:
    """Return where the tag Info, Xing or VBRI begins in an MPEG frame, or 0 if the frame has none."""
    if header.layer != 3:
        return 0
    if frame[36:40] == b"VBRI":
        return 36
    offset = 4 + header.side
    return next((at for at in (offset, offset + 2) if frame[at : at + 4] in (b"Xing", b"Info")), 0)


def _free_length(read: ReadAt, at: int, header: MpegHeader, stop: int) -> int:
    """Return the bytes of an unpadded MPEG frame of the free format, by where the next two headers stand; 0 if none."""
    block = read(at, 3 * _LONGEST)[: stop - at]
    next_at = block.find(b"\xff", 4)
    while 0 < next_at <= min(len(block) - 4, _LONGEST):
        (word,) = _WORD.unpack_from(block, next_at)
        if not (word ^ header.word) & _ALIKE:
            bare = next_at - (header.slot if header.word >> 9 & 1 else 0)
            third = next_at + bare + (header.slot if word >> 9 & 1 else 0)
            if third <= len(block) - 4 and not (_WORD.unpack_from(block, third)[0] ^ header.word) & _ALIKE:
                return bare
        next_at = block.find(b"\xff", next_at + 1)
    return 0


def _tag_length(head: bytes) -> int:
    """Return the bytes of the tag that begins with `head` beside or between MPEG frames, or 0 if there is none."""
    if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 128:
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        return 10 + size + (10 if head[5] & 0x10 else 0)
    if head[:3] == b"TAG":
        return 128
    return 32 if head[:8] == b"APETAGEX" else 0


def _behind_tags(read: ReadAt, position: int, stop: int) -> int:
    """Return the byte behind the ID3 and APE tags that stand at a byte of an MPEG file."""
    while position < stop:
        head = read(position, 32)
        length = _tag_length(head)
        if not length:
            break
        if head[:8] == b"APETAGEX" and len(head) >= 24 and head[23] & 0x20:  # the tag's own header, before its items
            length += int.from_bytes(head[12:16], "little")
        position += length
    return min(position, stop)


def _before_tags(read: ReadAt, start: int, stop: int) -> int:
    """Return the byte where the ID3v1 and APE tags at the end of an MPEG file begin."""
    # one read for the usual end: no tag, or one of the kinds
    tail = read(max(start, stop - 160), 160)[: stop - start]
    while stop - 128 >= start and (tail[-128:-125] if len(tail) >= 128 else read(stop - 128, 3)) == b"TAG":
        stop -= 128
        tail = tail[:-128]
    if stop - 32 >= start:
        footer = tail[-32:] if len(tail) >= 32 else read(stop - 32, 32)
        if footer[:8] == b"APETAGEX":
            length = int.from_bytes(footer[12:16], "little") + (32 if footer[23] & 0x80 else 0)
            if 32 <= length <= stop - start:
                stop -= length
    return stop
