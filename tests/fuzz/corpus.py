"""Small files of every format that is read, made by code: what the fuzzer changes."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from tests.data.conftest import chunk, fmt, riff
from tests.data.formats import ogg_bytes
from tests.data.formats.mpeg_bytes import encode, silent_frame, untagged

FRAMES = 2000
# name, container, subtype and channels in soundfile's words
_WRITTEN = [
    ("wav", "WAV", "PCM_16", 2), ("wav 8", "WAV", "PCM_U8", 1), ("wav 24", "WAV", "PCM_24", 1),
    ("wav float", "WAV", "FLOAT", 1), ("wav ulaw", "WAV", "ULAW", 1), ("wav adpcm", "WAV", "IMA_ADPCM", 1),
    ("wav gsm", "WAV", "GSM610", 1), ("wavex", "WAVEX", "PCM_16", 1), ("rf64", "RF64", "PCM_16", 1),
    ("flac", "FLAC", "PCM_16", 1), ("flac 24", "FLAC", "PCM_24", 2), ("aiff", "AIFF", "PCM_16", 1),
    ("au", "AU", "PCM_16", 1), ("w64", "W64", "PCM_16", 1), ("w64 gsm", "W64", "GSM610", 1),
    ("caf", "CAF", "PCM_16", 1), ("caf alac", "CAF", "ALAC_16", 1), ("nist", "NIST", "PCM_16", 1),
]  # fmt: skip


def make() -> dict[str, bytes]:
    """The files by name: about 24, of 15 formats and their encodings."""
    time = np.arange(FRAMES)
    tone = 0.3 * np.sin(0.05 * time) + 0.05 * np.random.default_rng(0).standard_normal(FRAMES).clip(-3, 3)
    files = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for what, container, subtype, channels in _WRITTEN:
            path = str(folder / "a")
            soundfile.write(path, np.stack([tone] * channels, 1), 8000, format=container, subtype=subtype)
            files[what] = Path(path).read_bytes()
        files["vorbis"] = ogg_bytes.encode(folder, "VORBIS", 0.8, 8000)
        files["opus"] = ogg_bytes.encode(folder, "OPUS", 0.5, 16_000)
        files["mp3"] = encode(folder, "CONSTANT", 16_000, seconds=0.4, level=0.5)
        files["mp3 bare"] = b"".join(untagged(encode(folder, "VARIABLE", 22_050, 2, seconds=0.4)))
    files["mp2"] = b"".join(silent_frame(3, 2, 5, 0) for _ in range(6))
    files["mp3 in wav"] = riff(
        chunk(b"fmt ", struct.pack("<HHIIHHHHIHHH", 0x55, 1, 16_000, 4000, 1, 0, 12, 1, 2, 576, 1, 1393)),
        chunk(b"data", files["mp3"]),
    )
    pcm = (tone * 32767).astype("<i2").tobytes()
    files["wav chunks"] = riff(chunk(b"JUNK", bytes(28)), fmt(), chunk(b"LIST", b"INFO"), chunk(b"data", pcm))
    return files
