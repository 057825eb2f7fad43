"""Samples from files: WAV by position, everything else through soundfile, and only the frames that were asked for.

A 2 s crop needs 64 kB of a 16-bit WAV. soundfile opens, seeks and copies for it; a positioned read of those bytes into
the tensor's own memory is several times faster (benchmarks/reading.py), and it keeps no handle that a fork could share.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

import numpy as np
import torch

from audiofeed.data.decoder import Decoder
from audiofeed.data.errors import AudioReadError
from audiofeed.data.wav import parse_header

# sample rate, channels, frames, container, subtype, and the byte where the samples begin
_Layout = tuple[int, int, int, str, str, int]
_WIDTHS = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What a file's header says, enough to read any part of the file without parsing it again.

    Args:
        path: The file.
        sample_rate: Samples per second, Hz.
        channels: Number of channels, 1 or more.
        frames: Samples per channel, 1 or more.
        format: The container, in soundfile's words: WAV, FLAC, OGG, ...
        subtype: The encoding, in soundfile's words: PCM_16, FLOAT, VORBIS, ...
        data_offset: Byte where the samples begin, or -1 where soundfile decodes them.
        size: The file's size in bytes; a file of another size is no longer the one described.

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

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate


def read_info(path: str | bytes | os.PathLike[str]) -> AudioInfo:
    """Read a file's header, and no sample.

    The format is told by the file's first bytes, never by its name.

    Args:
        path: The file.

    Raises:
        AudioReadError: The file cannot be opened, is no audio, is truncated, or holds no frame.
        ModuleNotFoundError: The file needs soundfile and it is not installed.
    """
    name = os.fsdecode(path)
    fd, size = _open(name)
    try:
        layout = _wav_layout(fd, size, name)
    finally:
        os.close(fd)
    if layout is None:
        with Decoder(name) as decoder:
            return _decoder_info(decoder, size)
    return AudioInfo(name, *layout, size)


def read(
    path: str | bytes | os.PathLike[str], start: int = 0, frames: int | None = None, *, info: AudioInfo | None = None
) -> tuple[torch.Tensor, int]:
    """Read part of a file as the samples it stores.

    16-bit files give int16. 8, 24 and 32-bit ones give float32 scaled to [-1, 1); float, lossy and companded ones
    float32 as decoded. A WAV that holds less than its header promises is refused whole, a crop inside what is there
    included: its length is not to be trusted. A truncated file of another format fails where the missing frames are
    asked for, except where the length is by definition what the file holds (Ogg) or libsndfile takes it so (AIFF, W64).

    A part equals the same part of the whole: bit for bit, except MP3 to 1e-6 and Opus to 1e-3 (its decoder is started
    afresh nearby, and converges).

    Args:
        path: The file.
        start: First frame, 0 or more.
        frames: Number of frames, 1 or more; None reads to the end.
        info: What `read_info` gave for this file, to spare the header.

    Returns:
        The waveform and its sample rate in Hz.

    Shape:
        waveform: (time,) if the file is mono, else (channel, time).

    Raises:
        AudioReadError: The file cannot be read, is broken, holds NaN or infinity, or has changed since `info`.
        ValueError: The frames asked for are not in the file, or `info` is another file's.
        ModuleNotFoundError: The file needs soundfile and it is not installed.
    """
    name = os.fsdecode(path)
    if info is not None and info.path != name:
        raise ValueError(f"info describes {info.path!r}, not path={name!r}; pass read_info(path)")
    fd, size = _open(name)
    try:
        if info is None:
            layout = _wav_layout(fd, size, name)
        elif info.size != size:
            raise AudioReadError.of(
                name, f"the file changed: {info.size} bytes when its header was read, {size} now; read the header again"
            )
        else:
            at = info.data_offset
            known = info.sample_rate, info.channels, info.frames, info.format, info.subtype, at
            layout = known if at >= 0 else None
        if layout is not None:
            sample_rate, channels, held, _, subtype, offset = layout
            frames = _check_range(name, held, start, frames)
            return _read_samples(fd, name, channels, subtype, offset, start, frames), sample_rate
    finally:
        os.close(fd)
    with Decoder(name) as decoder:
        info = _decoder_info(decoder, size)
        waveform = decoder.read(start, _check_range(name, info.frames, start, frames))
    if waveform.dtype == torch.float32:
        _check_finite(waveform, name, start)
    return waveform, info.sample_rate


def _open(name: str) -> tuple[int, int]:
    """Open a regular file and return (descriptor, size in bytes)."""
    try:
        # a pipe that nobody writes to would block an ordinary open for ever
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise AudioReadError.of(name, error.strerror or error) from error
    except ValueError as error:  # a null byte in the name
        raise AudioReadError.of(name, error) from error
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "a device or pipe"
        raise AudioReadError.of(name, f"it is {kind}, not a file")
    if status.st_size == 0:
        os.close(fd)
        raise AudioReadError.of(name, "the file is empty (0 bytes)")
    return fd, status.st_size


def _check_range(name: str, held: int, start: int, frames: int | None) -> int:
    """Return the number of frames to read of a file that holds so many."""
    if not 0 <= start < held:
        raise ValueError(f"start={start} must be a frame of {name!r}: 0 to {held - 1}")
    if frames is None:
        return held - start
    if not 1 <= frames <= held - start:
        raise ValueError(f"frames={frames} must be 1 to {held - start}: {name!r} has {held} frames and start={start}")
    return frames


def _wav_layout(fd: int, size: int, name: str) -> _Layout | None:
    """Return where a WAV's samples lie and what they are, or None where soundfile has to read the file."""
    try:
        header = parse_header(fd, size, name)
    except OSError as error:
        raise AudioReadError.of(name, error.strerror or error) from error
    subtype = None if header is None else header.subtype
    if header is None or subtype is None:
        return None
    frames = header.data_bytes // header.block
    if frames == 0:
        raise AudioReadError.of(name, "the file holds no samples (0 frames)")
    return header.sample_rate, header.channels, frames, header.container, subtype, header.data_offset


def _decoder_info(decoder: Decoder, size: int) -> AudioInfo:
    """Return what soundfile says of an open file."""
    return AudioInfo(
        decoder.name, decoder.sample_rate, decoder.channels, decoder.frames, decoder.format, decoder.subtype, -1, size
    )


def _read_samples(
    fd: int, name: str, channels: int, subtype: str, offset: int, start: int, frames: int
) -> torch.Tensor:
    """Read samples by position: (time,) or (channel, time)."""
    count = frames * channels
    width = _WIDTHS[subtype]
    position = offset + start * channels * width
    if subtype == "PCM_16":
        waveform = torch.empty(count, dtype=torch.int16)
        _fill(fd, waveform.numpy(), position, name, start)
    elif subtype == "FLOAT":
        waveform = torch.empty(count, dtype=torch.float32)
        _fill(fd, waveform.numpy(), position, name, start)
    else:
        raw = np.empty(count * width, dtype=np.uint8)
        _fill(fd, raw, position, name, start)
        waveform = torch.from_numpy(_scaled(raw, subtype))
    if channels > 1:
        waveform = waveform.view(frames, channels).T.contiguous()
    if subtype in ("FLOAT", "DOUBLE"):
        _check_finite(waveform, name, start)
    return waveform


def _scaled(raw: np.ndarray, subtype: str) -> np.ndarray:
    """Turn bytes of 8, 24 or 32-bit integers or float64 into float32."""
    if subtype == "PCM_U8":
        return (raw.astype(np.float32) - 128.0) * np.float32(2.0**-7)
    if subtype == "PCM_24":
        # as the upper three bytes of 32 bits the sign comes by itself; 24 significant bits are exact in float32
        wide = np.zeros((raw.size // 3, 4), dtype=np.uint8)
        wide[:, 1:] = raw.reshape(-1, 3)
        raw, subtype = wide.reshape(-1), "PCM_32"
    if subtype == "PCM_32":
        return raw.view("<i4").astype(np.float32) * np.float32(2.0**-31)
    with np.errstate(over="ignore"):  # beyond float32 is infinite, and reported as such
        return raw.view("<f8").astype(np.float32)


def _fill(fd: int, array: np.ndarray, position: int, name: str, start: int) -> None:
    """Fill an array from a file, in as many reads as it takes."""
    view = memoryview(array.data).cast("B")
    done = 0
    try:
        while done < len(view):
            got = os.preadv(fd, [view[done:]], position + done)
            if got == 0:
                raise AudioReadError.of(name, f"the file ends {len(view) - done} bytes too early", start)
            done += got
    except OSError as error:
        raise AudioReadError.of(name, error.strerror or error, start) from error


def _check_finite(waveform: torch.Tensor, name: str, start: int) -> None:
    """Raise if a waveform, (time,) or (channel, time), holds NaN or infinity."""
    # aminmax lets NaN through and costs one pass without a mask
    low, high = torch.aminmax(waveform)
    if not (torch.isfinite(low) and torch.isfinite(high)):
        bad = ~torch.isfinite(waveform)
        first = int(bad.view(-1, bad.shape[-1]).any(0).nonzero()[0])
        raise AudioReadError.of(
            name, f"{int(bad.sum())} samples are NaN or infinite, the first at frame {start + first}", start
        )
