"""Put this folder and the feed's on the path, which spawned workers inherit, and make the feed's recordings."""

import sys
import wave
from pathlib import Path

import numpy as np
import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "feed")]


@pytest.fixture(scope="session")
def wav_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve 16-bit mono WAV files at 16 kHz, from 0.1 to 0.5 s, in two folders that are their classes."""
    root = tmp_path_factory.mktemp("wav")
    noise = np.random.default_rng(0)
    for index in range(12):
        folder = root / ("cat" if index % 2 else "dog")
        folder.mkdir(exist_ok=True)
        with wave.open(str(folder / f"{index:02}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes(noise.integers(-20000, 20000, 1600 + 531 * index, dtype=np.int16).tobytes())
    return root
