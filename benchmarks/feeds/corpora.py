"""Files to feed from: compressed clips of unequal length, short WAVs, and crops of long files."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

RATE, N_FFT, HOP, N_MELS, FLOOR = 16000, 400, 160, 80, 1e-10
# the shards of a corpus, one for each worker
SHARDS = 2


@dataclass(frozen=True)
class Corpus:
    """Some files, and how a pass goes through them.

    Args:
        name: What they are, in words.
        seconds: Shortest and longest clip.
        container, subtype, ending: libsndfile's words, and the files' ending.
        distinct: Files of their own; the others are links to them.
        files: How many there are.
        clips: How many clips a pass has, in which files come again: more than any feed comes to.
        crop: Seconds of each clip that are read; None for all of it.
    """

    name: str
    seconds: tuple[float, float]
    container: str
    subtype: str
    ending: str
    distinct: int
    files: int
    clips: int
    crop: float | None = None

    @property
    def dtype(self) -> str:
        """What soundfile reads them as without rounding."""
        return "int16" if self.subtype == "PCM_16" else "float32"


CORPORA = {
    corpus.name: corpus
    for corpus in (
        Corpus("FLAC of 4 to 16 s", (4, 16), "FLAC", "PCM_16", "flac", 200, 200, 10_000),
        Corpus("MP3 of 4 to 16 s", (4, 16), "MP3", "MPEG_LAYER_III", "mp3", 200, 200, 10_000),
        Corpus("WAV of 1 s", (1, 1), "WAV", "PCM_16", "wav", 1000, 1000, 80_000),
        Corpus("2 s crops of FLAC of 60 s", (60, 60), "FLAC", "PCM_16", "flac", 40, 400, 40_000, crop=2.0),
    )
}


def write_files(folder: Path, corpus: Corpus) -> list[str]:
    """Write a corpus's files, noise shaped like speech, and return their paths."""
    rng = np.random.default_rng(0)
    for number in range(corpus.distinct):
        time = int(RATE * rng.uniform(*corpus.seconds))
        spectrum = np.fft.rfft(rng.standard_normal(time))
        noise = np.fft.irfft(spectrum / (1 + (np.fft.rfftfreq(time, 1 / RATE) / 500) ** 1.5), time)
        clip = noise * (np.abs(np.sin(2 * np.pi * 2.5 * np.arange(time) / RATE)) ** 2 + 0.01)
        clip *= 0.5 / np.abs(clip).max()
        path = folder / f"{number:04d}.{corpus.ending}"
        with soundfile.SoundFile(path, "w", RATE, 1, format=corpus.container, subtype=corpus.subtype) as file:
            for start in range(0, time, RATE):  # encoders overflow their stack on long blocks
                file.write(clip[start : start + RATE])
    for number in range(corpus.distinct, corpus.files):
        os.link(folder / f"{number % corpus.distinct:04d}.{corpus.ending}", folder / f"{number:04d}.{corpus.ending}")
    return sorted(str(path) for path in folder.iterdir())


def write_shards(folder: Path, paths: Sequence[str]) -> list[str]:
    """Write the files into tar shards for webdataset, in turn, and return the shards' paths."""
    shards = [str(folder / f"{number}.tar") for number in range(SHARDS)]
    for number, shard in enumerate(shards):
        with tarfile.open(shard, "w") as tar:
            for path in paths[number::SHARDS]:
                tar.add(path, arcname=os.path.basename(path))
    return shards


def write_features(folder: Path, paths: Sequence[str], features: Sequence[np.ndarray]) -> list[str]:
    """Write log-mel features to `.npy`, as one who computes them beforehand does, and return the files' paths."""
    written = []
    for path, feature in zip(paths, features, strict=True):
        written.append(str(folder / (Path(path).stem + ".npy")))
        np.save(written[-1], feature)
    return written


def definition(clip: np.ndarray) -> np.ndarray:
    """The log-mel features of a clip in float64, by librosa.  Shape: (time,) -> (n_mels, frames)."""
    import librosa

    mel = librosa.feature.melspectrogram(
        y=clip.astype(np.float64), sr=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS, dtype=np.float64
    )
    return np.log(np.maximum(mel, FLOOR))
