"""MP3, MP2 and MP1, bare or in a WAV: the length by counting frame headers, the samples by libsndfile.

A tag at the beginning (Info, Xing, VBRI) states the length and is believed if the number of bytes that it states, too,
is the file's. Otherwise the frames are counted, for which every header is read, and none is decoded.

libsndfile counts no frames: without a tag it guesses, and reads no further than its guess. So it gets the frames that
are needed as a file of their own, followed by so many bytes that any guess is large enough.
"""

from __future__ import annotations

import functools
import os

import torch

from audiofeed.data.errors import AudioReadError
from audiofeed.data.readers import extensions
from audiofeed.data.readers.base import AudioFile, AudioInfo, Reader
from audiofeed.data.readers.mpeg_frames import (
    MpegFrames,
    MpegHeader,
    MpegStream,
    find_stream,
    has_tag,
    parse_header,
    reservoir,
)
from audiofeed.data.readers.soundfile_reader import Decoder
from audiofeed.data.readers.wav_reader import find_samples

# WAVE_FORMAT_MPEG and WAVE_FORMAT_MPEGLAYER3
_WAV_TAGS = (0x0050, 0x0055)
_SUBTYPES = {1: "MPEG_LAYER_I", 2: "MPEG_LAYER_II", 3: "MPEG_LAYER_III"}
# containers whose compressed bytes may look like a frame of MPEG audio
_OTHERS = (b"fLaC", b"OggS", b"FORM", b"RIFF", b"RF64", b"caff", b"riff")
# bytes copied at a time
_BLOCK = 1 << 20
# in place of `AudioInfo.data_offset`: the stream is tagged, and libsndfile knows its length as well
_TAGGED = -2
# an encoder may have counted the tag's own frame
_MISCOUNTED = 1


class MpegReader(Reader):
    """Reader of MPEG audio: MP3, MP2 and MP1 files, with or without tags, and WAV files that hold such a stream.

    A file whose tag promises more frames than it holds is refused. One that holds more (recordings appended to each
    other) is read whole. About frames whose bits are broken libmpg123 writes to the standard error, which libsndfile
    gives no way to turn off.
    """

    name = "mpeg"
    extensions = extensions.MPEG

    def matches(self, head: bytes) -> bool:
        """Return True for an ID3 tag, two MPEG frame headers, or a WAV file that says it holds MPEG audio."""
        if head[:3] == b"ID3":
            return True
        if head[:4] == b"RIFF":
            at = head.find(b"fmt ", 12)
            return head[8:12] == b"WAVE" and int.from_bytes(head[at + 8 : at + 10], "little") in _WAV_TAGS
        header = parse_header(int.from_bytes(head[:4], "big"))
        if header is None or not header.length:
            return False
        following = parse_header(int.from_bytes(head[header.length : header.length + 4], "big"))
        return following is not None and (following.version, following.layer, following.sample_rate) == (
            header.version, header.layer, header.sample_rate,
        )  # fmt: skip

    def info(self, file: AudioFile) -> AudioInfo | None:
        """Describe an MPEG file by its headers; None if it holds no MPEG stream.

        Raises:
            AudioReadError: The file holds fewer frames than its tag promises, or changes its rate or channels midway.
        """
        stream = _stream(file)
        if stream is None:
            return None
        header = stream.header
        frames = stream.promised if stream.promised > 0 else _count(file, stream)
        in_wav = file.head[:4] == b"RIFF"
        return AudioInfo(
            file.path, header.sample_rate, header.channels, max(0, stream.samples(frames)),
            "WAV" if in_wav else "MP3", _SUBTYPES[header.layer], _TAGGED if _is_tagged(file, stream) else -1, file.size,
            self,
            missing=find_samples(file)[3] if in_wav else 0,
        )  # fmt: skip

    def read(self, file: AudioFile, info: AudioInfo, start: int, frames: int) -> torch.Tensor:
        """Decode part of an MPEG file as float32."""
        stream = None
        if start > 0 or info.data_offset != _TAGGED:
            stream = _found(file, start)
        if start == 0 and (stream is None or _is_tagged(file, stream)):
            decoder = file.keep(lambda name: Decoder(name, file.fd))
            if decoder.frames == info.frames:
                return decoder.read(0, frames)
        return _decode_frames(file, stream or _found(file, start), start, frames)


def _is_tagged(file: AudioFile, stream: MpegStream) -> bool:
    """Return True if a tag that is believed says how long a bare MPEG stream is, so that libsndfile knows it, too."""
    return stream.tagged and stream.promised > 0 and file.head[:4] != b"RIFF"


def _found(file: AudioFile, start: int) -> MpegStream:
    """Find the MPEG stream in a file that is read from sample `start`, as one was found in it before."""
    stream = _stream(file)
    if stream is None:
        raise AudioReadError.of(file.path, "the file changed: it holds no MPEG stream any more", start)
    return stream


def _stream(file: AudioFile) -> MpegStream | None:
    """Find the MPEG stream in a file."""
    start, stop = 0, file.size
    if file.head[:4] == b"RIFF" and file.head[8:12] == b"WAVE":
        tag, start, held, _ = find_samples(file)
        if tag not in _WAV_TAGS:
            return None
        stop = start + held
    elif file.head[:4] in _OTHERS:
        return None
    head = file.head

    def read(position: int, count: int) -> bytes:
        # nearly all that is looked at lies in the first page
        end = position + count
        return head[position:end] if end <= len(head) else os.pread(file.fd, count, position)

    return find_stream(read, start, stop)


def _read_at(fd: int, position: int, count: int) -> bytes:
    return os.pread(fd, count, position)


def _count(file: AudioFile, stream: MpegStream) -> int:
    """Count the frames of an MPEG file, or raise if it is not one recording, or less than its tag promises."""
    walk = MpegFrames(functools.partial(_read_at, file.fd), stream)
    walk.advance()
    if walk.changed is not None:
        at, other = walk.changed
        raise AudioReadError.of(
            file.path,
            f"the MPEG stream changes from {_words(stream.header)} to {_words(other)} at byte {at}: split the file "
            "there",
        )
    if stream.stated > walk.index + _MISCOUNTED:
        raise AudioReadError.of(
            file.path,
            f"truncated MP3: its tag promises {stream.stated} frames of {stream.header.samples} samples, the file "
            f"holds {walk.index}: copy it again",
        )
    return walk.index


def _words(header: MpegHeader) -> str:
    """Describe an MPEG frame header for a message."""
    return f"layer {header.layer}, {header.sample_rate} Hz, {header.channels} channels"


def _decode_frames(file: AudioFile, stream: MpegStream, start: int, frames: int) -> torch.Tensor:
    """Decode samples of an MPEG stream out of the frames that hold them, and of those before that they depend on."""
    size = stream.header.samples
    begin = start + stream.skip
    last = -(-(begin + frames) // size)
    lead = mpeg_lead(stream.header)
    first = max(0, begin // size - lead)
    walk = MpegFrames(functools.partial(_read_at, file.fd), stream)
    walk.advance(first)
    beginning = [_run(file, walk.advance(1)) for _ in range(min(lead, last - first))]
    runs = walk.advance(last - first - len(beginning))
    if walk.index < last:
        raise AudioReadError.of(
            file.path, f"truncated MP3: decoding stops at sample {stream.samples(walk.index)}: copy it again", start
        )
    piece = os.memfd_create("audiofeed-mpeg", os.MFD_CLOEXEC)
    try:
        os.write(piece, _supplied(beginning, stream))
        for at, stop in runs:
            _copy(file.fd, at, stop, piece)
        if last - first == 1:  # libsndfile opens no file of one frame
            os.write(piece, beginning[0])
        # libsndfile guesses the number of frames from the length of the first, and reads no more than that; bytes
        # beyond those that it needs would be searched one by one if a frame is broken
        longest = max(map(len, beginning[:3]), default=0)
        os.ftruncate(piece, max(os.lseek(piece, 0, os.SEEK_END), longest * (last - first + 8)) + 2 * longest)
        with Decoder(file.path, piece) as decoder:
            waveform = decoder.read(0, begin - first * size + frames)
    finally:
        os.close(piece)
    # a view would take the lead along wherever the tensor goes
    return waveform[..., begin - first * size :].clone(memory_format=torch.contiguous_format)


def mpeg_lead(header: MpegHeader) -> int:
    """Return the number of MPEG frames before a position from which to decode, so that it comes out right there.

    A frame takes bits from up to 511 bytes (MPEG-2: 255) of the frames before it, its bit reservoir, and its filters
    overlap with two. The shortest frame holds its length less header and side information.
    """
    reservoir = 511 if header.version == 3 else 255
    held = max(header.lengths()[0] - 4 - header.side, 1) if header.layer == 3 else reservoir
    return -(-reservoir // held) + 2


def _run(file: AudioFile, runs: list[tuple[int, int]]) -> bytes:
    """Read runs of MPEG frames."""
    return b"".join(os.pread(file.fd, stop - at, at) for at, stop in runs)


def _copy(source: int, at: int, stop: int, target: int) -> None:
    """Append bytes of an MPEG file to one in memory."""
    while at < stop:
        block = os.pread(source, min(stop - at, _BLOCK), at)
        if not block:
            raise EOFError(f"the file ends {stop - at} bytes too early")
        os.write(target, block)
        at += len(block)


def _supplied(frames: list[bytes], stream: MpegStream) -> bytes:
    """Join the first MPEG frames of a piece, silencing those that take bits from frames before the piece.

    libmpg123 would complain about these on the standard error, and leave out a frame with a tag.
    """
    header, held = stream.header, 0
    pieces = []
    for frame in frames:
        if header.layer == 3 and len(frame) > 6 + header.side:
            tag = has_tag(frame, header)
            taken, added = reservoir(frame, header)
            if tag or taken > held:
                # no checksum, and a side information of zeros; the bits stay, for the next frames may take them, and
                # this frame seems to take all there are, for libmpg123 keeps no others for the next
                begin = header.side + (4 if frame[1] & 1 else 6)
                marked = held << 7 if header.version == 3 else held << 8
                silent = bytes([frame[0], frame[1] | 1]) + frame[2:4] + marked.to_bytes(2, "big")
                frame = silent.ljust(begin, b"\0") + frame[begin:]
            if tag:
                frame = frame[:tag] + bytes(4) + frame[tag + 4 :]
            held = min(511 if header.version == 3 else 255, held + added)
        pieces.append(frame)
    return b"".join(pieces)
