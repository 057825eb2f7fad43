"""Files to read: WAVs written byte by byte, and real speech where it is at hand."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(body) if size is None else size) + body + b"\0" * (len(body) % 2)


def riff(*chunks: bytes, magic: bytes = b"RIFF", size: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return magic + struct.pack("<I", len(body) if size is None else size) + body


def fmt(tag: int = 1, channels: int = 1, rate: int = 8000, bits: int = 16, extra: bytes = b"") -> bytes:
    block = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits) + extra)


class Riff:
    chunk = staticmethod(chunk)
    riff = staticmethod(riff)
    fmt = staticmethod(fmt)


@pytest.fixture(scope="session")
def wav() -> type[Riff]:
    """The builders of RIFF bytes."""
    return Riff


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], str]:
    """Write bytes to a file and return its path."""

    def _write(name: str, body: bytes) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        return str(path)

    return _write


@pytest.fixture
def write_pcm(write: Callable[[str, bytes], str]) -> Callable[..., str]:
    """Write a 16-bit WAV of the given samples, or of so many frames of noise, and return its path."""

    def _write(name: str, samples: np.ndarray | int, rate: int = 8000, channels: int = 1) -> str:
        if isinstance(samples, int):
            rng = np.random.default_rng(samples)
            samples = rng.integers(-20000, 20000, (samples, channels), dtype=np.int16)
        body = np.asarray(samples, dtype="<i2").tobytes()
        return write(name, riff(fmt(channels=channels, rate=rate), chunk(b"data", body)))

    return _write


@pytest.fixture(scope="session")
def fsdd() -> str:
    """The folder of the free spoken digit recordings."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data" / "fsdd" / "recordings"
    folder = Path(os.environ.get("AUDIOFEED_FSDD", beside))
    if not folder.is_dir():
        pytest.skip("no spoken digits at ../shared/data/fsdd; set AUDIOFEED_FSDD to the folder of recordings")
    return str(folder)
