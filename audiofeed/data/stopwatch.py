"""Seconds that reading, decoding and resampling took in this process, until the batch that they were for collects them.

A collate function runs in the process that has just read the batch's examples, so it takes what has gathered since it
was last called. That needs no field in an example, works for every dataset that reads with this folder, and costs two
looks at the clock per file.
"""

from __future__ import annotations

from collections import deque

# the stages of an example, in the order in which a batch carries their seconds
STAGES = ("read", "decode", "resample")
# more than a batch has files; what nobody collects (a file read by hand) makes room for what follows
_KEPT = 2**16

# appending and popping are atomic: a lock might be held by another thread while a worker is forked
_laps: deque[tuple[int, float]] = deque(maxlen=_KEPT)


def add_lap(stage: int, seconds: float) -> None:
    """Add the seconds of a stage of reading an audio file, which the next batch of this process collects.

    Args:
        stage: Index into `STAGES`.
        seconds: How long it took.
    """
    _laps.append((stage, seconds))


def take_laps() -> tuple[float, ...]:
    """Return the seconds of each stage of reading audio files since the last call in this process, and forget them.

    Seconds of several threads add up.

    Returns:
        One number for each of `STAGES`.

    >>> _ = take_laps()
    >>> add_lap(1, 0.5)
    >>> add_lap(1, 0.25)
    >>> take_laps(), take_laps()
    ((0.0, 0.75, 0.0), (0.0, 0.0, 0.0))
    """
    sums = [0.0] * len(STAGES)
    while True:
        try:
            stage, seconds = _laps.popleft()
        except IndexError:
            return tuple(sums)
        sums[stage] += seconds
