"""The table of readers, and reading a file with the one that knows its format.

A file's first bytes decide, then its extension: a FLAC named .wav is read as the FLAC it is.
"""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace

import torch

from audiofeed.arguments.checks import HIGHEST_RATE, LOWEST_RATE
from audiofeed.data.errors import AudioReadError
from audiofeed.data.readers.base import AudioFile, AudioInfo, Reader
from audiofeed.data.readers.changes import change_of
from audiofeed.data.readers.miniaudio_reader import MiniaudioReader
from audiofeed.data.readers.mpeg_reader import MpegReader
from audiofeed.data.readers.soundfile_reader import SoundfileReader
from audiofeed.data.readers.torchcodec_reader import TorchcodecReader
from audiofeed.data.readers.wav_reader import WavReader
from audiofeed.data.samples import bad_samples
from audiofeed.data.stopwatch import add_lap

# the exceptions by which a reader says that a file is broken; a caller's mistakes are found before it is asked
_BROKEN = (OSError, ValueError, EOFError)

#: The readers of audio files, in the order in which they are asked.
#:
#: The last one is asked about every file that no other knows, for libsndfile knows more formats than first bytes and
#: extensions show. `register_reader` adds one of your own.
#:
#: >>> from audiofeed.data.readers import READERS
#: >>> READERS[0].name
#: 'wav'
READERS: list[Reader] = [WavReader(), MiniaudioReader(), MpegReader(), TorchcodecReader(), SoundfileReader()]
_BUILT_IN = (WavReader, MiniaudioReader, MpegReader, TorchcodecReader, SoundfileReader)


def register_reader(reader: Reader) -> None:
    """Register a reader of your own for audio files, for `read`, `read_info` and the datasets.

    It is asked before those that are there, so it may take a format from them; under the name of one that is there it
    takes its place. `AudioFolder` finds its extensions from then on. A dataset carries the reader of each of its files
    to its workers, however they are started; for `read(path)` in a worker started by spawn or forkserver, register
    where the worker imports it: at the top level of a module, beside the reader's class.

    Args:
        reader: An instance of a subclass of `Reader`.

    Raises:
        TypeError: `reader` is not an instance of a `Reader`.
        ValueError: Its name is empty, or an extension is not lower-case with a leading dot.

    >>> register_reader(WavReader())  # the built-in one, under its own name: nothing changes
    >>> [reader.name for reader in READERS]
    ['wav', 'miniaudio', 'mpeg', 'torchcodec', 'soundfile']
    """
    if not isinstance(reader, Reader):
        raise TypeError(f"reader={reader!r} must be an instance of a subclass of audiofeed.data.Reader")
    name, extensions = getattr(reader, "name", ""), getattr(reader, "extensions", ())
    if not name or not isinstance(name, str):
        raise ValueError(f"{type(reader).__name__}.name={name!r} must be a non-empty string, as in name = 'npy'")
    if isinstance(extensions, str) or not all(
        isinstance(ending, str) and len(ending) > 1 and ending[0] == "." and ending == ending.lower()
        for ending in extensions
    ):
        raise ValueError(
            f"{type(reader).__name__}.extensions={extensions!r} must be a tuple of lower-case endings with the dot, as "
            "in extensions = ('.npy',)"
        )
    names = [known.name for known in READERS]
    if name in names:
        READERS[names.index(name)] = reader
    else:
        READERS.insert(0, reader)


def known_extensions() -> tuple[str, ...]:
    """Return the file extensions of all registered readers, each once.

    Returns:
        Lower-case endings with the dot.

    >>> known_extensions()[:4]
    ('.wav', '.wave', '.rf64', '.bwf')
    """
    return tuple(dict.fromkeys(ending for reader in READERS for ending in reader.extensions))


def read_info(path: str | bytes | os.PathLike[str]) -> AudioInfo:
    """Read an audio file's header, and no sample, by the registered reader that knows its format.

    The file's first bytes decide about its format; only if they are of no known format does its extension.

    Args:
        path: The file.

    Returns:
        The header, from which `read` reads any part of the file without parsing it again.

    Raises:
        AudioReadError: The file cannot be opened, is of no known format, is truncated, or has no frames.
        ModuleNotFoundError: The file needs soundfile and it is not installed.

    >>> import tempfile, wave
    >>> with tempfile.NamedTemporaryFile(suffix=".wav") as named, wave.open(named.name, "wb") as file:
    ...     file.setparams((1, 2, 8000, 0, "NONE", None))
    ...     file.writeframes(bytes(16000))
    ...     read_info(named.name).duration
    1.0
    """
    file = AudioFile(os.fsdecode(path))
    try:
        return _info(file)
    finally:
        file.close()


def warn_missing(infos: Sequence[AudioInfo], *, stacklevel: int) -> None:
    """Warn once about audio files whose header promises a little more than they hold, as some recorders write it.

    Args:
        infos: Headers by a reader; those with `missing` above 0 are counted.
        stacklevel: As in `warnings.warn`, seen from the caller.

    >>> info = AudioInfo("a.wav", 8000, channels=1, frames=4000, format="WAV", subtype="PCM_16", missing=2)
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn_missing([info], stacklevel=1)
    >>> str(caught[0].message).split(",")[0]
    '1 of 1 files holds fewer bytes of samples than the header promises'
    """
    short = [info for info in infos if info.missing]
    if short:
        warnings.warn(
            f"{len(short)} of {len(infos)} files {'holds' if len(short) == 1 else 'hold'} fewer bytes of samples than "
            f"the header promises, and what is there is read; the first: {short[0].path!r} ({short[0].missing} bytes "
            "missing); audiofeed.data.register_reader(audiofeed.data.WavReader(strict=True)) refuses such files",
            stacklevel=stacklevel + 1,
        )


def read(
    path: str | bytes | os.PathLike[str], start: int = 0, frames: int | None = None, *, info: AudioInfo | None = None
) -> tuple[torch.Tensor, int]:
    """Read part of an audio file as the samples it stores, by the registered reader that knows its format.

    16-bit files give int16. 8, 24 and 32-bit ones give float32 scaled to [-1, 1); float, lossy and companded ones
    float32 as decoded.

    A file whose length its header leaves open or guesses, as a writer into a pipe does, is counted: WAV by its bytes,
    MP3 by its frame headers, FLAC by its last frame. A WAV or MP3 that holds less than its header promises is refused,
    even for a part that is complete: its length is not to be trusted. (A WAV whose header promises a little too much,
    as recorders write it, is read with a warning; see `WavReader`.) A truncated file of another format fails when the
    missing frames are read, except where the length is by definition what the file holds (Ogg) or libsndfile takes it
    so (AIFF, W64). A header that claims more than a file of its size can hold, or a sample rate outside 100 Hz to
    10 MHz, is broken. An Ogg file with several recordings one after the other is refused.

    A part equals the same part of the whole: bit for bit, except MP3 to 1e-6 (full scale is 1) and Opus to 2e-2. An
    Opus decoder is started afresh 80 ms before and converges slowly: on speech at 6 to 32 kbit/s a part of a second
    differs from the whole by 2e-3 at its worst sample as a rule and by 1e-2 at times, and an earlier start changes
    nothing.

    Args:
        path: The file.
        start: First frame, 0 or more.
        frames: Number of frames, 1 or more; None reads to the end.
        info: The result of `read_info` for this file, to skip parsing the header.

    Returns:
        The waveform, (time,) if the file is mono, else (channel, time), and its sample rate in Hz.

    Raises:
        AudioReadError: The file cannot be read, is broken, has NaN or infinite samples, or has changed since `info`.
        ValueError: The frames asked for are not in the file, or `info` is another file's.
        ModuleNotFoundError: The file needs soundfile and it is not installed.

    >>> import tempfile, wave
    >>> with tempfile.NamedTemporaryFile(suffix=".wav") as named, wave.open(named.name, "wb") as file:
    ...     file.setparams((1, 2, 8000, 0, "NONE", None))
    ...     file.writeframes(bytes(16000))
    ...     waveform, sample_rate = read(named.name, 2000, 4000)
    >>> waveform.shape, waveform.dtype, sample_rate
    (torch.Size([4000]), torch.int16, 8000)
    """
    name = os.fsdecode(path)
    if info is not None and info.path != name:
        raise ValueError(f"info describes {info.path!r}, not path={name!r}; pass read_info(path)")
    begun = time.perf_counter()
    file = AudioFile(name)
    try:
        if info is None:
            info = _info(file)
            if info.missing:
                warn_missing([info], stacklevel=2)
        elif info.size != file.size or info.mtime_ns != file.mtime_ns:
            change = change_of(info.size, info.mtime_ns, file.size, file.mtime_ns)
            if change is not None:
                raise AudioReadError.of(name, f"{change}; read the header again, or make the dataset anew")
        frames = _check_range(name, info.frames, start, frames)
        reader = info.reader or _info(file).reader
        assert reader is not None
        try:
            waveform = reader.read(file, info, start, frames)
        except _BROKEN as error:
            raise _broken(name, error, start) from error
    finally:
        file.close()
    if type(reader) not in _BUILT_IN:
        _check_returned(waveform, reader, info, frames)
    if not info.subtype.startswith("PCM_"):  # integers are finite
        _check_finite(waveform, name, start)
    # samples that lie in the file as they are have an offset; all others are decoded
    add_lap(int(info.data_offset < 0), time.perf_counter() - begun)
    return waveform, info.sample_rate


def _info(file: AudioFile) -> AudioInfo:
    """Return the header of an open audio file from the first registered reader that knows it."""
    head, asked = file.head, []
    for reader in READERS:
        if reader.matches(head):
            info = _ask(reader, file)
            if info is not None:
                return info
            asked.append(reader)
    ending = file.path.lower()
    by_extension = [reader for reader in READERS if ending.endswith(tuple(reader.extensions))]
    for reader in dict.fromkeys([*by_extension, READERS[-1]]):
        if reader not in asked:
            info = _ask(reader, file)
            if info is not None:
                return info
    known = "; ".join(": ".join(filter(None, (one.name, " ".join(one.extensions)))) for one in READERS)
    raise AudioReadError.of(
        file.path, f"Format not recognized: the file begins with {head[:12]!r}; known formats: {known}"
    )


def _ask(reader: Reader, file: AudioFile) -> AudioInfo | None:
    """Ask a registered reader for a file's header, and fill in the fields that a reader of one's own may leave out."""
    try:
        info = reader.info(file)
    except _BROKEN as error:
        raise _broken(file.path, error, None) from error
    if info is None:
        return None
    if type(reader) in _BUILT_IN and not LOWEST_RATE <= info.sample_rate <= HIGHEST_RATE:
        raise AudioReadError.of(
            file.path,
            f"the {info.format} header says {info.sample_rate} Hz, which no converter has: {LOWEST_RATE} to "
            f"{HIGHEST_RATE} Hz are read; correct the header",
        )
    if info.frames < 1:
        raise AudioReadError.of(file.path, "the file holds no samples (0 frames)")
    # columns of times have 64 bits, which end in the year 2262
    mtime_ns = file.mtime_ns if file.mtime_ns < 2**63 else -1
    if type(reader) in _BUILT_IN and info.reader is not None:
        info.mtime_ns = mtime_ns
        return info
    # what a reader of one's own returns may be kept by it
    return replace(info, path=file.path, size=file.size, reader=info.reader or reader, mtime_ns=mtime_ns)


def _broken(path: str, error: OSError | ValueError | EOFError, start: int | None) -> AudioReadError:
    return AudioReadError.of(path, (error.strerror or error) if isinstance(error, OSError) else error, start)


def _check_range(name: str, held: int, start: int, frames: int | None) -> int:
    """Return the number of frames to ask a registered reader for, of a file of `held` frames."""
    if not 0 <= start < held:
        raise ValueError(f"start={start} must be a frame of {name!r}: 0 to {held - 1}")
    if frames is None:
        return held - start
    if not 1 <= frames <= held - start:
        raise ValueError(f"frames={frames} must be 1 to {held - start}: {name!r} has {held} frames and start={start}")
    return frames


def _check_returned(waveform: torch.Tensor, reader: Reader, info: AudioInfo, frames: int) -> None:
    """Raise if a registered reader of one's own returned something else than it must."""
    shape = (frames,) if info.channels == 1 else (info.channels, frames)
    if tuple(waveform.shape) != shape or waveform.dtype not in (torch.int16, torch.float32):
        raise TypeError(
            f"{type(reader).__name__}.read returned {waveform.dtype} of shape {tuple(waveform.shape)} for "
            f"{info.path!r}; it must be torch.int16, or torch.float32 with full scale at 1, of shape {shape}"
        )


def _check_finite(waveform: torch.Tensor, name: str, start: int) -> None:
    """Raise if a waveform from a registered reader has NaN or infinite samples.

    The waveform is (time,) or (channel, time).
    """
    if waveform.dtype == torch.int16:
        return
    # one pass at the speed of memory without a mask: NaN and infinity come through the sum of squares, and so may what
    # finite samples beyond 1e16 give, which is why the samples are counted before anyone complains
    flat = waveform if waveform.dim() == 1 else waveform.reshape(-1)
    if not math.isfinite(torch.dot(flat, flat).item()):
        count, first = bad_samples(waveform.numpy())
        if count:
            text = f"{count} samples are NaN or infinite, the first at frame {start + first}"
            raise AudioReadError.of(name, text, start)
