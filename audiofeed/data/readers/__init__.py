"""From a file to samples: one reader per group of formats, and the table that says which reads what."""

from audiofeed.data.readers.base import AudioFile, AudioInfo, Reader
from audiofeed.data.readers.registry import (
    READERS,
    known_extensions,
    read,
    read_info,
    register_reader,
    warn_missing,
)
from audiofeed.data.readers.wav_reader import WavReader

__all__ = [
    "READERS",
    "AudioFile",
    "AudioInfo",
    "Reader",
    "WavReader",
    "known_extensions",
    "read",
    "read_info",
    "register_reader",
    "warn_missing",
]
