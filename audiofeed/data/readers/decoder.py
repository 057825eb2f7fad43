"""Decode every format except plain PCM WAV with soundfile: open, seek, decode the frames asked for, close.

libsndfile's seek does not land on the right samples in every format, so a crop would differ from the same part of the
whole file. For those formats decoding begins earlier and the excess is discarded.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch

from audiofeed.data.errors import AudioReadError
from audiofeed.data.readers.base import AudioFile, AudioInfo, Reader

if TYPE_CHECKING:
    from types import ModuleType

# a decoder's output is allocated in blocks of this size, so that memory grows with what is really decoded and a header
# that lies about its length costs no more than one block
_BLOCK_SAMPLES = 1 << 22
# libsndfile's answer where a header leaves the length open is 2**63 - 1
_MAX_FRAMES = 1 << 48
# a page is at most 65307 bytes long: this much of a file's end holds the last two
_OGG_TAIL = 2 * 65307
# SF_ERR_UNRECOGNIZED_FORMAT of sndfile.h
_UNRECOGNIZED = 1
# FLAC, Ogg, MP3 after an ID3 tag (a bare MP3 frame begins like many a sample), AIFF, W64, CAF, AU, NIST SPHERE
_MAGIC = (b"fLaC", b"OggS", b"ID3", b"FORM", b"riff", b"caff", b".snd", b"dns.", b"NIST_1A")


class SoundfileReader(Reader):
    """Reader that decodes FLAC, Ogg Vorbis and Opus, MP3, AIFF, W64, CAF, AU, NIST SPHERE, any WAV by libsndfile."""

    name = "soundfile"
    extensions = (
        ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".w64", ".caf", ".au", ".snd", ".sph",
    )  # fmt: skip

    def matches(self, head: bytes) -> bool:
        """Return True for the first bytes of a container that libsndfile decodes."""
        return head.startswith(_MAGIC)

    def info(self, file: AudioFile) -> AudioInfo | None:
        """Open the file in soundfile for decoding; None if libsndfile does not recognize the format."""
        try:
            decoder = file.keep(Decoder)
        except AudioReadError as error:
            if getattr(error.__cause__, "code", None) == _UNRECOGNIZED:
                return None
            raise
        return AudioInfo(
            file.path, decoder.sample_rate, decoder.channels, decoder.frames, decoder.format, decoder.subtype, -1,
            file.size, self,
        )  # fmt: skip

    def read(self, file: AudioFile, info: AudioInfo, start: int, frames: int) -> torch.Tensor:
        """Decode part of a file with soundfile: 16-bit samples as int16, all others as float32."""
        return file.keep(Decoder).read(start, frames)


class Decoder:
    """Decoder of one audio file, open in soundfile within a `with` block.

    Args:
        name: The file's path.

    Attributes:
        sample_rate, channels, frames, format, subtype: The header's fields, in soundfile's words.

    Raises:
        AudioReadError: On entering: libsndfile cannot open the file, or its header does not say how many frames it has.
        ModuleNotFoundError: soundfile is not installed.
    """

    sample_rate: int
    channels: int
    frames: int
    format: str
    subtype: str

    def __init__(self, name: str) -> None:
        self.name = name
        self._soundfile = _soundfile(name)

    def __enter__(self) -> Decoder:
        try:
            # bytes: soundfile would refuse a name that is not valid UTF-8
            file: Any = self._soundfile.SoundFile(os.fsencode(self.name))
        except self._soundfile.SoundFileError as error:
            raise AudioReadError.of(self.name, f"{_beginning(self.name)}; {_reason(error)}") from error
        self._file = file
        self._next = 0  # the frame that decoding has come to
        self.sample_rate, self.channels, self.frames = file.samplerate, file.channels, file.frames
        self.format, self.subtype = file.format, file.subtype
        if self.frames < _MAX_FRAMES:
            return self
        file.close()
        raise AudioReadError.of(
            self.name, f"the {self.format} header does not say how many frames there are: encode the file again"
        )

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, start: int, frames: int) -> torch.Tensor:
        """Decode frames of an audio file with soundfile.

        Args:
            start: First frame.
            frames: Number of frames, all of them within `self.frames`.

        Returns:
            (frames,) if mono, else (channel, frames); int16 if the samples are 16-bit integers, else float32.

        Raises:
            AudioReadError: The frames cannot be decoded, or there are fewer than the header promises.
        """
        size = max(_BLOCK_SAMPLES // self.channels, 1)
        stop = start + frames
        try:
            blocks = [self._block(at, min(size, stop - at), start) for at in range(start, stop, size)]
        except self._soundfile.SoundFileError as error:
            raise AudioReadError.of(self.name, _reason(error), start) from error
        waveform = blocks[0] if len(blocks) == 1 else torch.cat(blocks)
        return waveform.view(-1) if self.channels == 1 else waveform.T.contiguous()

    def _block(self, at: int, frames: int, start: int) -> torch.Tensor:
        """Decode a block (frames, channel) of a file from frame `at`, in a read that began at `start`."""
        lead = min(at, self._lead(at))
        # dtype="int16" would not scale a float file, so only where the samples are 16-bit integers
        dtype = torch.int16 if self.subtype == "PCM_16" else torch.float32
        block = torch.empty((lead + frames, self.channels), dtype=dtype)
        if self._file.seekable():
            self._file.seek(at - lead)
        # in one call: soundfile seeks anew after each, and the lead would be lost
        got = len(self._file.read(out=block.numpy()))
        if got < len(block):
            raise AudioReadError.of(
                self.name,
                f"truncated {self.format}: the header promises {self.frames} frames, decoding stops at frame "
                f"{at - lead + got}: copy it again",
                start,
            )
        self._next = at + frames
        # a view would take the lead along wherever the tensor goes
        return block[lead:].clone() if lead else block

    def _lead(self, start: int) -> int:
        """Return the number of frames before `start` at which decoding has to begin."""
        if not self._file.seekable():  # GSM 6.10, G.72x
            return start - self._next
        if self.subtype.startswith("MPEG_LAYER"):
            return _mp3_lead(self.sample_rate, self.channels)
        if self.subtype == "VORBIS":
            return max(0, start - _last_page_frame(self.name, self.frames))
        return 0


def _mp3_lead(sample_rate: int, channels: int) -> int:
    """Return the number of samples before a position from which an MP3 has to be decoded.

    Decoding from there comes out right at the position.

    A frame takes bits from up to 511 bytes (MPEG-2: 255) of the frames before it, its bit reservoir, and its filters
    overlap with two. At the lowest bit rate a frame holds this many bytes beside its header and side information:

        144 * 32000 / rate - 36  (mono: - 21)          for MPEG-1, 1152 samples, 32 kHz and above
         72 *  8000 / rate - 21  (mono: - 13)          for MPEG-2, 576 samples

    libsndfile seeks without regard to that: the first thousands of samples are then wrong by the signal's own size.
    """
    if sample_rate >= 32_000:
        samples, reservoir, held = 1152, 511, 144 * 32_000 // sample_rate - (21 if channels == 1 else 36)
    else:
        samples, reservoir, held = 576, 255, 72 * 8_000 // sample_rate - (13 if channels == 1 else 21)
    return samples * (-(-reservoir // max(held, 1)) + 2)


def _last_page_frame(name: str, frames: int) -> int:
    """Return the first frame of an Ogg Vorbis file's last page, into which a decoder's seek goes wrong.

    Returns 0 if it cannot be determined.

    libsndfile places a page's samples by counting back from the position in its header, which in the last page is cut
    to the recording's true end: a seek into that page lands as many samples too late as were cut
    (github.com/libsndfile/libsndfile/issues/885). Decoding on from the page before lands right.
    """
    with open(name, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _OGG_TAIL))
        tail = file.read(_OGG_TAIL)
    last = tail.rfind(b"OggS")
    before = tail.rfind(b"OggS", 0, max(last, 0))
    while before >= 0:
        position = int.from_bytes(tail[before + 6 : before + 14], "little", signed=True)
        if position >= 0:
            end = int.from_bytes(tail[last + 6 : last + 14], "little", signed=True)
            # positions count from wherever the stream was cut out of a longer one; one frame less is on the page before
            return max(0, position - (end - frames) - 1)
        # a page on which no packet ends has position -1
        before = tail.rfind(b"OggS", 0, before)
    return 0


def _soundfile(name: str) -> ModuleType:
    """Import soundfile for decoding; if it is missing, name the file that needs it."""
    try:
        import soundfile
    except ImportError as error:
        raise ModuleNotFoundError(
            f"reading {name!r} needs the package soundfile, which reads every format except plain WAV: "
            "pip install soundfile",
            name="soundfile",
        ) from error
    return soundfile


def _reason(error: Exception) -> str:
    """Return libsndfile's message about a failed decoding without the path that soundfile puts before it."""
    return f"libsndfile: {getattr(error, 'error_string', error)}"


def _beginning(name: str) -> str:
    """Describe the first bytes of a file that cannot be decoded, to tell a page of text from broken audio."""
    with open(name, "rb") as file:
        return f"the file begins with {file.read(12)!r}"
