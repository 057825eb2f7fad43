"""The contract of a reader: the open file that it is given, and the description that it returns."""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import torch

from audiofeed.data.errors import AudioReadError

Opened = TypeVar("Opened")

# one read of a page reaches the samples of nearly every WAV, and more than any format's first bytes
_PAGE = 4096


# not frozen: one is made for every example read, and a frozen dataclass takes six times as long to make
@dataclass(slots=True, unsafe_hash=True)
class AudioInfo:
    """Header of an audio file as a reader returns it: enough to read any part without parsing it again.

    Args:
        path: The file.
        sample_rate: Samples per second, Hz.
        channels: Number of channels, 1 or more.
        frames: Samples per channel, 1 or more.
        format: The container, in soundfile's words: WAV, FLAC, OGG, ...
        subtype: The encoding, in soundfile's words: PCM_16, FLOAT, VORBIS, ... Samples of a subtype that begins with
            "PCM_" are not checked for NaN and infinity.
        data_offset: Byte where the samples begin, or a negative number if they have to be decoded: -1, or -2 where a
            reader notes for its own `read` that the usual decoder may go by the file's header. Batches of decoded files
            are read in several threads.
        size: The file's size in bytes; a file of another size has changed since.
        reader: The reader that reads the samples; None looks for it again.
        missing: Bytes of samples that the header promises and the file lacks, where `frames` counts what is there.
            `read` and, once for all its files, a dataset warn about it.
        mtime_ns: The file's time of change in nanoseconds since 1970; a file of another time has changed since. -1
            where it is not known, and is not looked at.

    >>> AudioInfo("a.wav", sample_rate=8000, channels=1, frames=4000, format="WAV", subtype="PCM_16").duration
    0.5
    """

    path: str
    sample_rate: int
    channels: int
    frames: int
    format: str
    subtype: str
    data_offset: int = -1
    size: int = -1
    reader: Reader | None = field(default=None, repr=False, compare=False)
    missing: int = 0
    mtime_ns: int = -1

    @property
    def duration(self) -> float:
        """Length of an audio file in seconds, by the header that its reader returned."""
        return self.frames / self.sample_rate


class AudioFile:
    """Audio file that a reader is given: regular, non-empty, open for reading; `close` it.

    Args:
        path: The file's path.

    Attributes:
        path: The file's path.
        fd: Its descriptor; read with `os.pread`, which leaves the position alone.
        size: Its size in bytes.
        mtime_ns: Its time of change, in nanoseconds since 1970.

    Raises:
        AudioReadError: The file cannot be opened, is empty, or is not a regular file.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(b"RIFF"), file.flush()
    ...     opened = AudioFile(file.name)
    ...     opened.size, opened.head
    ...     opened.close()
    (4, b'RIFF')
    """

    __slots__ = ("_head", "_kept", "fd", "mtime_ns", "path", "size")

    def __init__(self, path: str) -> None:
        try:
            # a pipe that nobody writes to would block an ordinary open for ever
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise AudioReadError.of(path, error.strerror or error) from error
        except ValueError as error:  # a null byte in the name
            raise AudioReadError.of(path, error) from error
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "a device or pipe"
            raise AudioReadError.of(path, f"it is {kind}, not a file")
        if status.st_size == 0:
            os.close(fd)
            raise AudioReadError.of(path, "the file is empty (0 bytes)")
        self.path, self.fd, self.size, self.mtime_ns = path, fd, status.st_size, status.st_mtime_ns
        self._head: bytes | None = None
        self._kept: Any = None

    @property
    def head(self) -> bytes:
        """First 4096 bytes of the audio file that a reader is given, or all of a shorter file."""
        if self._head is None:
            self._head = os.pread(self.fd, _PAGE, 0)
        return self._head

    def keep(self, open: Callable[[str], AbstractContextManager[Opened]]) -> Opened:
        """Open the file that a reader is given in another library, once.

        `Reader.info` and `Reader.read` of one call share the handle.

        Args:
            open: Maps the path to a context manager, which is entered at the first call and left by `close`.

        Returns:
            The result of entering it.
        """
        if self._kept is None:
            manager = open(self.path)
            self._kept = manager, manager.__enter__()
        return self._kept[1]

    def close(self) -> None:
        """Close the file that a reader was given: its descriptor and anything that `keep` opened."""
        os.close(self.fd)
        if self._kept is not None:
            self._kept[0].__exit__(None, None, None)


class Reader(ABC):
    """Base class of a reader of a group of audio formats; pass an instance of a subclass to `register_reader`.

    The file is open, regular and not empty when a method is called; the frames asked for are in the file. Any
    `OSError`, `ValueError` or `EOFError` becomes an `AudioReadError` that names the file. One instance serves many
    files, from several threads, and travels to workers with a dataset: keep settings in it, not open files.

    Attributes:
        name: The reader's name, unique among the registered ones.
        extensions: Endings of its files' names, lower-case, with the dot.

    >>> class Silence(Reader):
    ...     name, extensions = "silence", (".silence",)
    ...     def info(self, file):
    ...         return AudioInfo(file.path, 8000, channels=1, frames=file.size, format="SILENCE", subtype="PCM_16")
    ...     def read(self, file, info, start, frames):
    ...         return torch.zeros(frames, dtype=torch.int16)
    >>> Silence().extensions
    ('.silence',)
    """

    name: ClassVar[str]
    extensions: ClassVar[tuple[str, ...]]

    def matches(self, head: bytes) -> bool:
        """Return True if a file is of this reader's formats, by its first bytes.

        They decide before any extension does.

        Args:
            head: The file's first 4096 bytes, or all of a shorter file.

        Returns:
            True if the file is to be read by this reader. Unless overridden False: the extension decides.
        """
        return False

    @abstractmethod
    def info(self, file: AudioFile) -> AudioInfo | None:
        """Read the header of a file, and no sample, as every reader of a format must.

        Args:
            file: The open file.

        Returns:
            The description (`size`, `mtime_ns` and `reader` are filled in), or None if another reader should try.
        """

    @abstractmethod
    def read(self, file: AudioFile, info: AudioInfo, start: int, frames: int) -> torch.Tensor:
        """Read part of a file, as every reader of a format must.

        Args:
            file: The open file.
            info: The result of `info` for it, from now or from when the dataset was made.
            start: First frame, 0 or more.
            frames: Number of frames, 1 or more; all of them are within `info.frames`.

        Returns:
            (frames,) if the file is mono, else (channel, frames): int16, or float32 with full scale at 1.
        """
