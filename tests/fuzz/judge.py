"""Reading a changed file in every way, and what may come of it."""

from __future__ import annotations

import os

import numpy as np
import soundfile

from audiofeed.data import AudioInfo, AudioReadError, read, read_info

# samples that are read in one go
_MOST = 4_000_000


class WrongError(Exception):
    """The reader did something that it must not do with any file."""


def judge(path: str, seed: int) -> str:
    """Read a file's header, all of it and parts, and compare with soundfile; return what came of it in a word.

    Any exception but AudioReadError goes on to the caller.
    """
    try:
        info = read_info(path)
    except AudioReadError as error:
        _check_names(error, path)
        return "refused"
    if info.frames < 1 or not 100 <= info.sample_rate <= 10_000_000 or info.channels < 1:
        raise WrongError(f"accepted as {info}")
    result = "read"
    whole = None
    if info.frames * info.channels <= _MOST:
        try:
            whole = read(path, info=info)[0].numpy()
        except AudioReadError as error:
            _check_names(error, path)
            result = "broken"
    rng = np.random.default_rng(seed)
    for start in {0, int(rng.integers(info.frames)), info.frames - 1}:
        count = min(300, info.frames - start)
        try:
            part = read(path, start, count, info=info)[0].numpy()
        except AudioReadError as error:
            _check_names(error, path)
            continue
        if part.shape[-1] != count:
            raise WrongError(f"{part.shape} for {count} frames from {start}")
        # where bits are broken, only formats without a memory can promise that a part is that part of the whole
        if whole is not None and info.data_offset >= 0 and not np.array_equal(part, whole[..., start : start + count]):
            raise WrongError(f"frames from {start} differ from those of the whole")
    if whole is not None:
        _compare(path, info, whole)
    return result


def _check_names(error: AudioReadError, path: str) -> None:
    if error.path != path or not error.cause or path not in str(error):
        raise WrongError(f"an error that does not name the file: {error}")


def _compare(path: str, info: AudioInfo, whole: np.ndarray) -> None:
    """Compare with soundfile, where it reads the file and is right."""
    fd = os.open(path, os.O_RDONLY)
    try:
        with soundfile.SoundFile(fd, closefd=False) as file:
            if file.frames * file.channels > _MOST:
                return
            if file.seekable():
                file.seek(0)  # as soundfile.read does
            theirs = file.read(file.frames, dtype="int16" if whole.dtype == np.int16 else "float32", always_2d=True).T
            about = file.samplerate, file.channels, file.frames, file.format, file.subtype
    except (soundfile.SoundFileError, RuntimeError):
        return  # refused there
    finally:
        os.close(fd)
    ours = np.atleast_2d(whole)
    reason = deviation(path, info, about)
    if reason:
        return
    if info.sample_rate != about[0] or ours.shape != theirs.shape:
        raise WrongError(f"{info} where soundfile reads {about}, {theirs.shape}")
    if not np.array_equal(ours, theirs, equal_nan=True):
        raise WrongError(f"{info}: samples differ from soundfile's ({about})")


def deviation(path: str, info: AudioInfo, about: tuple[int, int, int, str, str]) -> str:
    """The reason why soundfile is not right about a file, or "" where it is."""
    if info.subtype.startswith("MPEG"):
        return "libsndfile guesses an MPEG stream's length, and stops or resynchronizes elsewhere"
    if info.data_offset >= 0 and about[2] == 0:
        return "a WAV whose length is 0 and was never filled in holds the rest of the file (a writer into a pipe)"
    if info.format in ("RF64", "BW64") and info.data_offset >= 0:
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(info.data_offset)[-4:], "little")
        if size < 0x7FFFEF00:
            return "EBU Tech 3306: the 64-bit size counts where the 32-bit one is all ones, and this one is not"
    return ""
