"""MPEG audio written by soundfile and taken apart, and frames made by hand."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import soundfile

RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
BITRATES = {
    (True, 1): [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    (True, 2): [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    (True, 3): [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    (False, 1): [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    (False, 2): [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    (False, 3): [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
}


def frame_length(version: int, layer: int, index: int, rate: int, padding: int = 0) -> int:
    kbits, hertz = BITRATES[version == 3, layer][index], RATES[version][rate]
    if layer == 1:
        return (12_000 * kbits // hertz + padding) * 4
    return (72_000 if layer == 3 and version != 3 else 144_000) * kbits // hertz + padding


def silent_frame(version: int, layer: int, index: int, rate: int, padding: int = 0, mono: bool = True) -> bytes:
    """A frame without a bit of sound, which every decoder takes."""
    head = 0xFFE00000 | version << 19 | (4 - layer) << 17 | 1 << 16 | index << 12 | rate << 10 | padding << 9
    head |= 0xC0 if mono else 0
    return struct.pack(">I", head).ljust(frame_length(version, layer, index, rate, padding), b"\0")


def frames(body: bytes) -> list[bytes]:
    """The whole Layer III frames of a stream without junk."""
    found, at = [], 0
    while at + 4 <= len(body):
        version, rate = body[at + 1] >> 3 & 3, body[at + 2] >> 2 & 3
        length = frame_length(version, 3, body[at + 2] >> 4, rate, body[at + 2] >> 1 & 1)
        found.append(body[at : at + length])
        at += length
    return [frame for frame in found if len(frame) > 4]


def untagged(body: bytes) -> list[bytes]:
    """The frames with sound: encoders write no tag where a frame is too short for it."""
    found = frames(body)
    return found[1:] if b"Xing" in found[0] or b"Info" in found[0] else found


def encode(folder: Path, mode: str, rate: int, channels: int = 1, seconds: float = 3.0, level: float = 0.9) -> bytes:
    """An MP3 with its tag, of noise that swells and fades, so that a variable rate varies."""
    count = int(seconds * rate)
    swell = 0.02 + np.abs(np.sin(np.arange(count) / 20_000))
    noise = np.random.default_rng(channels).standard_normal((count, channels)) * 0.2 * swell[:, None]
    path = str(folder / "encoded.mp3")
    soundfile.write(path, noise.clip(-0.9, 0.9), rate, bitrate_mode=mode, compression_level=level)
    return Path(path).read_bytes()
