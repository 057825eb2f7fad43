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
from audiofeed.transforms import STFT, AmplitudeToDB, LogMelSpectrogram, MelSpectrogram, Spectrogram

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
    "GPUSpecCollate",
    "LogMelSpectrogram",
    "MelSpectrogram",
    "PadCollate",
    "RandomCrop",
    "Spectrogram",
    "Windows",
]
