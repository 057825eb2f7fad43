"""Read what FFmpeg decodes, M4A and AAC among them, with torchcodec: an extra, beside an FFmpeg of the system's own.

torchcodec counts in seconds. Asked for a part it gives, in some containers, samples that lie elsewhere or one too few;
asked for all samples it gives FFmpeg's own, one by one. So a file is decoded whole, once for its number of samples,
which no header says to the sample, and once for every part.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import torch

from audiofeed.data.errors import AudioReadError
from audiofeed.data.readers import extensions
from audiofeed.data.readers.base import AudioFile, AudioInfo, Reader

# MPEG-4 and QuickTime (after a length), Matroska and WebM, Windows Media, AMR
_AT_FOUR = b"ftyp"
_MAGIC = (b"\x1a\x45\xdf\xa3", bytes.fromhex("3026b2758e66cf11"), b"#!AMR")
REMEDY = "pip install 'audiofeed[torchcodec]', and install FFmpeg (apt install ffmpeg, brew install ffmpeg)"


class TorchcodecReader(Reader):
    """Reader that decodes M4A, AAC, Matroska, Windows Media and AMR with torchcodec, where it is installed.

    Files of video (MP4, MOV, MKV, WebM) are read, too, by their sound's first stream; `AudioFolder` does not look for
    them by itself.
    """

    name = "torchcodec"

    @property
    def extensions(self) -> tuple[str, ...]:  # type: ignore[override]
        """Endings of the names of sound files that torchcodec reads; none without it, so that no folder has them."""
        return extensions.FFMPEG if is_installed() else ()

    def matches(self, head: bytes) -> bool:
        """Return True for the first bytes of a container that FFmpeg decodes and libsndfile does not."""
        return head[4:8] == _AT_FOUR or head.startswith(_MAGIC) or _is_adts(head)

    def info(self, file: AudioFile) -> AudioInfo | None:
        """Decode the whole file by torchcodec for its number of samples, which no header says to the sample."""
        samples, codec = _decoded(file.path)
        channels, frames = samples.data.shape
        return AudioInfo(
            file.path, int(samples.sample_rate), channels, frames, "FFMPEG", str(codec).upper(), -1, file.size, self
        )

    def read(self, file: AudioFile, info: AudioInfo, start: int, frames: int) -> torch.Tensor:
        """Decode the whole file by torchcodec, and return the part of it as float32."""
        samples, _ = _decoded(file.path)
        if samples.data.shape != (info.channels, info.frames):
            raise AudioReadError.of(
                file.path,
                f"decoding gives {tuple(samples.data.shape)} and gave {(info.channels, info.frames)} before: the file "
                "changed; scan it again",
                start,
            )
        # a part of its own: a view would keep the whole file's samples
        part = samples.data[:, start : start + frames].clone()
        return part[0] if info.channels == 1 else part


def is_installed() -> bool:
    """Return whether torchcodec is installed; whether it finds an FFmpeg shows at the first file that it reads."""
    return importlib.util.find_spec("torchcodec") is not None


def _is_adts(head: bytes) -> bool:
    """Return True for the beginning of an AAC stream that torchcodec reads: a sync word, layer 0, and the next one."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return False
    size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    following = head[size : size + 2]
    return size >= 7 and (len(following) < 2 or (following[0] == 0xFF and following[1] & 0xF6 == 0xF0))


def _decoded(path: str) -> tuple[Any, Any]:
    """Decode all samples of a file with torchcodec; return them with the name of their codec."""
    try:
        from torchcodec.decoders import AudioDecoder
    except ImportError as error:
        raise AudioReadError.of(path, f"FFmpeg is needed to decode it, by way of torchcodec: {REMEDY}") from error
    except (OSError, RuntimeError) as error:
        raise AudioReadError.of(path, f"torchcodec finds no FFmpeg to decode it with: {REMEDY}") from error
    try:
        decoder = AudioDecoder(path)
        return decoder.get_all_samples(), decoder.metadata.codec
    except (RuntimeError, ValueError, OSError) as error:
        raise AudioReadError.of(path, f"FFmpeg: {str(error).splitlines()[0]}") from error
