"""Raw waveforms come in: files to examples, with nothing computed and nothing kept."""

from audiofeed.data.errors import AudioReadError
from audiofeed.data.example import AudioExample
from audiofeed.data.readers import AudioInfo, read, read_info

__all__ = ["AudioExample", "AudioInfo", "AudioReadError", "read", "read_info"]
