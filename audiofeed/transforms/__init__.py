"""Features as nn.Modules: build the filters once, call a method."""

from audiofeed.transforms.base import Transform
from audiofeed.transforms.chain import Chain
from audiofeed.transforms.decibels import AmplitudeToDB
from audiofeed.transforms.features import FeatureTransform
from audiofeed.transforms.mel import LogMelSpectrogram, MelSpectrogram
from audiofeed.transforms.stack import Stack
from audiofeed.transforms.stft import STFT, Spectrogram

__all__ = [
    "STFT",
    "AmplitudeToDB",
    "Chain",
    "FeatureTransform",
    "LogMelSpectrogram",
    "MelSpectrogram",
    "Spectrogram",
    "Stack",
    "Transform",
]
