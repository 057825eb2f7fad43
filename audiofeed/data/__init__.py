"""Audio files to raw examples: readers, crops and datasets. No feature is computed."""

from audiofeed.data.crops import CenterCrop, RandomCrop, Windows
from audiofeed.data.errors import AudioReadError
from audiofeed.data.example import AudioExample
from audiofeed.data.folder import AudioFolder
from audiofeed.data.keys import ExampleKey, carry_keys
from audiofeed.data.manifest import AudioManifest
from audiofeed.data.readers import AudioFile, AudioInfo, Reader, WavReader, read, read_info, register_reader
from audiofeed.data.targets.event_targets import EventTargets
from audiofeed.data.targets.frame_targets import FrameTargets

__all__ = [
    "AudioExample",
    "AudioFile",
    "AudioFolder",
    "AudioInfo",
    "AudioManifest",
    "AudioReadError",
    "CenterCrop",
    "EventTargets",
    "ExampleKey",
    "FrameTargets",
    "RandomCrop",
    "Reader",
    "WavReader",
    "Windows",
    "carry_keys",
    "read",
    "read_info",
    "register_reader",
]
