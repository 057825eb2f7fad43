"""What a report measures in the samples of clips: peak, RMS, offset, samples at full scale, silence."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from audiofeed.data.readers import AudioInfo, read
from audiofeed.data.samples import to_float

# frames in which silence is looked for, and the level below which one is silent
FRAME_SECONDS, SILENCE_DB = 0.020, -60.0
# so many samples in a row at one end of the scale are clipped; a peak that was set to full scale has one or two
LEAST_RUN = 3
# a mean as large as this is heard as a click at each cut, and fills the lowest bins
OFFSET = 0.01
_BLOCK = 1 << 22
# the largest value of what does not reach the last 16-bit step
_FULL_SCALE = {"PCM_S8": 127 / 128, "PCM_U8": 127 / 128, "ULAW": 32124 / 32768, "ALAW": 32256 / 32768}
_FULL_SCALE_16 = 32767 / 32768


@dataclass(frozen=True)
class ClipLevels:
    """Levels of a clip in a report, in parts of full scale, over all of its channels.

    Args:
        seconds: Its length.
        peak: Largest magnitude.
        rms: Root of the mean square.
        sounding: The same over the frames that are not silent; 0.0 if all are.
        offset: Mean of the samples, of the channel where it is largest in magnitude.
        full_scale: Number of samples at full scale.
        runs: Number of runs of 3 or more of these in a row with one sign: what was clipped.
        longest_run: Samples of the longest of all runs; 0 without any.
        silent_seconds: Length of the frames of 20 ms whose RMS is below -60 dB of full scale.
    """

    seconds: float
    peak: float
    rms: float
    sounding: float
    offset: float
    full_scale: int
    runs: int
    longest_run: int
    silent_seconds: float


class _Runs:
    """Runs of samples at full scale in one channel of a report's clip, which may reach over blocks."""

    def __init__(self) -> None:
        self.samples = self.runs = self.longest = 0
        self._sign = self._length = 0

    def add(self, signs: np.ndarray) -> None:
        """Go on with a block of samples: 1 or -1 at an end of the scale, 0 between them; an empty one is the end."""
        if not len(signs) or not signs.any():
            self._end(0, 0)
            return
        self.samples += int(np.count_nonzero(signs))
        starts = np.concatenate([[0], np.flatnonzero(np.diff(signs)) + 1])
        for start, end in itertools.pairwise([*starts.tolist(), len(signs)]):
            sign, length = int(signs[start]), end - start
            if start == 0 and sign == self._sign:
                self._length += length
            else:
                self._end(sign, length)

    def _end(self, sign: int, length: int) -> None:
        """End the run that is going on, and begin another."""
        if self._sign:
            self.longest = max(self.longest, self._length)
            self.runs += self._length >= LEAST_RUN
        self._sign, self._length = sign, length


def measure_clip(info: AudioInfo, first: int, frames: int) -> ClipLevels:
    """Measure the levels of a clip for a report, block by block.

    Args:
        info: The header of its file.
        first: Its first frame in the file, 0 or more.
        frames: Its number of frames, 1 or more.

    Raises:
        AudioReadError: The file cannot be read, or has NaN or infinite samples.
    """
    step = max(1, round(FRAME_SECONDS * info.sample_rate))
    full, quiet = _FULL_SCALE.get(info.subtype, _FULL_SCALE_16), 10 ** (SILENCE_DB / 10)
    peak, squares, sounding, silent, sounding_frames = 0.0, 0.0, 0.0, 0, 0
    sums = np.zeros(info.channels)
    runs = [_Runs() for _ in range(info.channels)]
    for block in _blocks(info, first, frames, step * max(1, _BLOCK // step // info.channels)):
        peak = max(peak, float(np.abs(block).max()))
        sums += block.sum(axis=1, dtype=np.float64)
        for channel, own in zip(block, runs, strict=True):
            own.add((channel >= full).astype(np.int8) - (channel <= -full))
        starts = np.arange(0, block.shape[1], step)
        lengths = np.diff(np.append(starts, block.shape[1]))
        of_frames = np.add.reduceat(np.square(block, dtype=np.float64).sum(axis=0), starts)
        sounds = of_frames >= quiet * info.channels * lengths
        squares += float(of_frames.sum())
        sounding += float(of_frames[sounds].sum())
        sounding_frames += int(lengths[sounds].sum())
        silent += int(lengths[~sounds].sum())
    for own in runs:
        own.add(np.zeros(0, dtype=np.int8))
    means = sums / frames
    return ClipLevels(
        seconds=frames / info.sample_rate,
        peak=peak,
        rms=math.sqrt(squares / (frames * info.channels)),
        sounding=math.sqrt(sounding / (sounding_frames * info.channels)) if sounding_frames else 0.0,
        offset=float(means[np.abs(means).argmax()]),
        full_scale=sum(own.samples for own in runs),
        runs=sum(own.runs for own in runs),
        longest_run=max(own.longest for own in runs),
        silent_seconds=silent / info.sample_rate,
    )


def _blocks(info: AudioInfo, first: int, frames: int, size: int) -> Iterator[np.ndarray]:
    """Yield the samples of a report's clip in blocks, (channel, time) float32."""
    for start in range(0, frames, size):
        waveform, _ = read(info.path, first + start, min(size, frames - start), info=info)
        yield to_float(waveform).reshape(info.channels, -1).numpy()


def decibels(value: float) -> float | None:
    """Return a level of a report in dB of full scale; None for digital silence.

    >>> decibels(0.1), decibels(0.0)
    (-20.0, None)
    """
    return 20 * math.log10(value) if value > 0 else None


def summarize_levels(measured: Sequence[tuple[str, ClipLevels]], clips: int, unread: int) -> dict[str, Any]:
    """Count what the levels of a report's clips show, as plain numbers and texts that JSON can hold.

    Args:
        measured: Name and levels of each clip that was measured, one at least.
        clips: Number of clips that there are.
        unread: Number of those that were to be measured and cannot be read.
    """
    levels = [found for _, found in measured]
    seconds = sum(found.seconds for found in levels)
    clipped = sorted((entry for entry in measured if entry[1].runs), key=lambda entry: (-entry[1].runs, entry[0]))
    shifted = sorted(
        (entry for entry in measured if abs(entry[1].offset) >= OFFSET),
        key=lambda entry: (-abs(entry[1].offset), entry[0]),
    )
    return {
        "clips": len(levels),
        "of_clips": clips,
        "unread": unread,
        "hours": seconds / 3600,
        "peak_db": [decibels(found.peak) for found in levels],
        "rms_db": [decibels(found.rms) for found in levels],
        "sounding_db": [decibels(found.sounding) for found in levels],
        "full_scale_samples": sum(found.full_scale for found in levels),
        "full_scale_clips": sum(found.full_scale > 0 for found in levels),
        "clipped_runs": sum(found.runs for found in levels),
        "longest_run": max(found.longest_run for found in levels),
        "clipped": [
            {"clip": name, "runs": found.runs, "samples": found.full_scale, "longest": found.longest_run}
            for name, found in clipped
        ],
        "largest_offset": max((found.offset for found in levels), key=abs),
        "shifted": [{"clip": name, "offset": found.offset} for name, found in shifted],
        "silence_share": sum(found.silent_seconds for found in levels) / seconds,
        "silent": sorted(name for name, found in measured if found.sounding == 0.0),
    }
