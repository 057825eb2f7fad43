"""Train audio models straight from raw files: features on the device, nothing precomputed."""

from audiofeed.data import (
    AudioExample,
    AudioFolder,
    AudioManifest,
    AudioReadError,
    CenterCrop,
    RandomCrop,
    Windows,
)
from audiofeed.feed import AudioBatch, GPUSpecCollate, PadCollate
from audiofeed.transforms import STFT, AmplitudeToDB, Chain, LogMelSpectrogram, MelSpectrogram, Spectrogram, Stack

__version__ = "0.1.0"

__all__ = [
    "STFT",
    "AmplitudeToDB",
    "AudioBatch",
    "AudioExample",
    "AudioFolder",
    "AudioManifest",
    "AudioReadError",
    "CenterCrop",
    "Chain",
    "GPUSpecCollate",
    "LogMelSpectrogram",
    "MelSpectrogram",
    "PadCollate",
    "RandomCrop",
    "Spectrogram",
    "Stack",
    "Windows",
]
