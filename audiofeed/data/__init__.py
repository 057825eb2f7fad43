"""Raw waveforms come in: files to examples, with nothing computed and nothing kept."""

from audiofeed.data.crops import CenterCrop, RandomCrop, Windows
from audiofeed.data.errors import AudioReadError
from audiofeed.data.example import AudioExample
from audiofeed.data.folder import AudioFolder
from audiofeed.data.manifest import AudioManifest
from audiofeed.data.readers import AudioInfo, read, read_info

__all__ = [
    "AudioExample",
    "AudioFolder",
    "AudioInfo",
    "AudioManifest",
    "AudioReadError",
    "CenterCrop",
    "RandomCrop",
    "Windows",
    "read",
    "read_info",
]
