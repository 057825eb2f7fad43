"""Decode every format except plain PCM WAV with soundfile: open, seek, decode the frames asked for, close.

libsndfile's seek does not land on the right samples in every format, so a crop would differ from the same part of the
whole file. For those formats decoding begins earlier and the excess is discarded.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from audiofeed.data.errors import AudioReadError
from audiofeed.data.readers import extensions
from audiofeed.data.readers.base import AudioFile, AudioInfo, Reader
from audiofeed.data.readers.flac_frames import count_flac
from audiofeed.data.readers.ogg_pages import check_one_recording, last_page_frame, last_pages, starts_early
from audiofeed.data.readers.wav_reader import find_samples

if TYPE_CHECKING:
    from types import ModuleType

# a decoder's output is allocated in blocks of this size, so that memory grows with what is really decoded and a header
# that lies about its length costs no more than one block
_BLOCK_SAMPLES = 1 << 22
# libsndfile's answer where a header leaves the length open is 2**63 - 1
_MAX_FRAMES = 1 << 48
# samples per channel and byte that no file of a subtype or format exceeds, by the longest block and the shortest code
# for it; every other format has a code of at least half a bit for each sample of each channel
_DENSEST = {"VORBIS": 4096, "OPUS": 5760, "FLAC": 65_535 / 8, "ALAC_16": 4096, "ALAC_20": 4096, "ALAC_24": 4096}
_DENSEST |= {"ALAC_32": 4096}
_CHECKED = ("VORBIS", "OPUS")
# samples of two of the longest blocks
_FLAC_LEAD = 1 << 17
# SF_ERR_UNRECOGNIZED_FORMAT of sndfile.h
_UNRECOGNIZED = 1
# FLAC, Ogg, AIFF, W64, CAF, AU, NIST SPHERE
_MAGIC = (b"fLaC", b"OggS", b"FORM", b"riff", b"caff", b".snd", b"dns.", b"NIST_1A")


class SoundfileReader(Reader):
    """Reader that decodes FLAC, Ogg Vorbis and Opus, AIFF, W64, CAF, AU, NIST SPHERE and any WAV by libsndfile."""

    name = "soundfile"
    extensions = extensions.LIBSNDFILE

    def matches(self, head: bytes) -> bool:
        """Return True for the first bytes of a container that libsndfile decodes."""
        return head.startswith(_MAGIC)

    def info(self, file: AudioFile) -> AudioInfo | None:
        """Open the file in soundfile for decoding; None if libsndfile does not recognize the format.

        Raises:
            AudioReadError: libsndfile cannot open the file, the file holds several recordings, or its header claims
                more than a file of its size can hold.
        """
        if file.head.startswith(b"OggS"):
            check_one_recording(functools.partial(_read_at, file.fd), file.size)
        try:
            decoder = file.keep(lambda name: Decoder(name, file.fd))
        except AudioReadError as error:
            if getattr(error.__cause__, "code", None) == _UNRECOGNIZED:
                return None
            raise
        frames = decoder.frames
        if frames >= _MAX_FRAMES:
            frames = _count(file, decoder.format)
        most = file.size * _DENSEST.get(decoder.subtype, _DENSEST.get(decoder.format, 16 / decoder.channels))
        if frames > most:
            raise AudioReadError.of(
                file.path, f"the {decoder.format} header claims {frames} frames, more than {file.size} bytes can hold"
            )
        missing = find_samples(file)[3] if file.head[:4] == b"RIFF" and file.head[8:12] == b"WAVE" else 0
        return AudioInfo(
            file.path, decoder.sample_rate, decoder.channels, frames, decoder.format, decoder.subtype, -1, file.size,
            self, missing,
        )  # fmt: skip

    def read(self, file: AudioFile, info: AudioInfo, start: int, frames: int) -> torch.Tensor:
        """Decode part of a file with soundfile: 16-bit samples as int16, all others as float32."""
        lead: Callable[[int], int] | None = None
        if info.subtype == "VORBIS":
            lead = functools.partial(_vorbis_lead, functools.partial(_read_at, file.fd), file.size, info.frames)
        decoder = file.keep(lambda name: Decoder(name, file.fd))
        if decoder.frames >= _MAX_FRAMES:
            # libFLAC's seek fails in the last frames of a short stream whose length it does not know
            lead = (lambda _: _FLAC_LEAD) if decoder.format == "FLAC" else (lambda at: at)
        return decoder.read(start, frames, lead)


def _read_at(fd: int, position: int, count: int) -> bytes:
    return os.pread(fd, count, position)


def _vorbis_lead(read: Callable[[int, int], bytes], size: int, frames: int, start: int) -> int:
    """Return the number of frames before `start` at which decoding an Ogg Vorbis file has to begin."""
    if start == 0:
        return 0
    if starts_early(read):
        return start
    return max(0, start - last_page_frame(read, size, frames))


def _count(file: AudioFile, container: str) -> int:
    """Count the frames of a file to decode whose header leaves their number open."""
    read = functools.partial(_read_at, file.fd)
    frames = count_flac(read, file.size) if file.head.startswith(b"fLaC") else 0
    if file.head.startswith(b"OggS"):
        frames = next((page.granule for page in last_pages(read, file.size) if page.granule > 0), 0)
    if not frames:
        raise AudioReadError.of(
            file.path, f"the {container} header does not say how many frames there are: encode the file again"
        )
    return frames


class Decoder:
    """Decoder of one audio file, open in soundfile within a `with` block.

    Args:
        name: The file's path, for messages.
        fd: A descriptor of it, which stays open. libsndfile is not told the name: where it knows no first bytes, it
            would go by the name's extension, and read a page of text as mu-law noise.

    Attributes:
        sample_rate, channels, frames, format, subtype: The header's fields, in soundfile's words.

    Raises:
        AudioReadError: On entering: libsndfile cannot open the file.
        ModuleNotFoundError: soundfile is not installed.
    """

    sample_rate: int
    channels: int
    frames: int
    subtype: str

    def __init__(self, name: str, fd: int) -> None:
        self.name, self._fd = name, fd
        self._soundfile = _soundfile(name)

    def __enter__(self) -> Decoder:
        os.lseek(self._fd, 0, os.SEEK_SET)
        try:
            file: Any = self._soundfile.SoundFile(self._fd, closefd=False)
        except self._soundfile.SoundFileError as error:
            beginning = f"the file begins with {os.pread(self._fd, 12, 0)!r}"
            raise AudioReadError.of(self.name, f"{beginning}; {_reason(error)}") from error
        self._file = file
        self._seekable = file.seekable()
        # soundfile would seek after each read to where the decoder is already, and a seek is what goes wrong
        file.seekable = lambda: False
        self._next = 0  # the frame that decoding has come to
        self.sample_rate, self.channels, self.frames = file.samplerate, file.channels, file.frames
        self.subtype = file.subtype
        return self

    @property
    def format(self) -> str:
        """Container of the file to decode, in soundfile's words, which takes a search through all that it knows."""
        return str(self._file.format)

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, start: int, frames: int, lead: Callable[[int], int] | None = None) -> torch.Tensor:
        """Decode frames of an audio file with soundfile.

        Args:
            start: First frame.
            frames: Number of frames, all of them in the file.
            lead: Maps a frame to the number of frames before it at which decoding has to begin; None if a seek lands
                right.

        Returns:
            (frames,) if mono, else (channel, frames); int16 if the samples are 16-bit integers, else float32.

        Raises:
            AudioReadError: The frames cannot be decoded, or there are fewer than the header promises.
        """
        size = max(_BLOCK_SAMPLES // self.channels, 1)
        stop = start + frames
        try:
            self._go_to(start, 0 if lead is None else min(start, lead(start)), start)
            blocks = [self._block(min(size, stop - at), at, start) for at in range(start, stop, size)]
        except self._soundfile.SoundFileError as error:
            raise AudioReadError.of(self.name, _reason(error), start) from error
        waveform = blocks[0] if len(blocks) == 1 else torch.cat(blocks)
        return waveform if self.channels == 1 else waveform.view(-1, self.channels).T.contiguous()

    def _go_to(self, at: int, lead: int, start: int) -> None:
        """Let decoding of a file come to frame `at`, from `lead` frames before on."""
        if not self._seekable:  # GSM 6.10, G.72x
            lead = at - self._next
        elif at - lead != self._next or at == 0:
            if at > lead and self._next == 0 and self.subtype in _CHECKED:
                # libvorbis looks at the setup header here, and a seek in a broken file would crash; from the first
                # frame a seek lands elsewhere than from the beginning
                self._block(1, 0, start)
                self._file.seek(0)
            self._file.seek(at - lead)
        size = max(_BLOCK_SAMPLES // self.channels, 1)
        for ahead in range(at - lead, at, size):
            self._block(min(size, at - ahead), ahead, start)
        self._next = at

    def _block(self, frames: int, at: int, start: int) -> torch.Tensor:
        """Decode the next block of a file, from frame `at` on, in a read that began at `start`.

        Shape: (frames * channel,), the channels of a frame side by side.
        """
        # dtype="int16" would not scale a float file, so only where the samples are 16-bit integers
        dtype = "int16" if self.subtype == "PCM_16" else "float32"
        block = torch.empty(frames * self.channels, dtype=getattr(torch, dtype))
        got = self._file.buffer_read_into(block.numpy(), dtype)
        if got < frames:
            raise AudioReadError.of(
                self.name,
                f"truncated {self.format}: the header promises {self.frames} frames, decoding stops at frame "
                f"{at + got}: copy it again",
                start,
            )
        self._next = at + frames
        return block


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
