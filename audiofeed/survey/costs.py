"""What a batch setting would cost on a surveyed corpus: padding, number of batches, memory of the largest."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from audiofeed.sampling import ClipBatchSampler, DurationBatchSampler
from audiofeed.survey.settings import ScanError

_CLIPS = 32
# log-mel of 80 bins every 10 ms, as speech models take it
_BINS, _FRAMES_PER_SECOND = 80, 100
_FLOAT = 4
_MB = 1e6


def batch_costs(
    seconds: np.ndarray, sample_rate: int, batch_size: int | None, batch_seconds: float | None
) -> list[dict[str, Any]]:
    """Count what batches of a surveyed corpus cost, in random order and as the samplers make them.

    Args:
        seconds: Length of each clip.
        sample_rate: Hz of the waveforms in the batches.
        batch_size: Clips in a batch; None for 32.
        batch_seconds: Padded seconds of a batch by duration; None for what `batch_size` clips of mean length have, or
            the longest clip, if that is more.

    Returns:
        A dict for each way: its name, the number of batches in an epoch, the padding as a share of all samples, the
        largest batch in clips and seconds, and in MB (10**6 bytes) of float32 waveforms and of log-mel features.

    Raises:
        ScanError: The longest clip does not fit in `batch_seconds`.

    >>> costs = batch_costs(np.array([1.0, 3.0] * 8), 16_000, 4, None)
    >>> [(cost["way"], cost["batches"], round(cost["padding"], 2)) for cost in costs][1:]
    [('ClipBatchSampler, 4 clips', 4, 0.0), ('DurationBatchSampler, 8 s', 6, 0.0)]
    """
    size = _CLIPS if batch_size is None else batch_size
    longest = float(seconds.max())
    most = max(math.ceil(longest), round(size * float(seconds.mean()))) if batch_seconds is None else batch_seconds
    if most < longest:
        raise ScanError(
            f"--batch-seconds {most:g} does not hold the longest clip of {longest:.2f} s; make it that long at least, "
            "or use a crop in training"
        )
    order = np.random.default_rng(0).permutation(len(seconds))
    random = [order[i : i + size] for i in range(0, len(order), size)]
    sorted_out = [np.array(batch) for batch in ClipBatchSampler(seconds, batch_size=size, keys=False)]
    by_duration = [np.array(batch) for batch in DurationBatchSampler(seconds, max_seconds=most, keys=False)]
    ways = {
        f"random order, {size} clips": random,
        f"ClipBatchSampler, {size} clips": sorted_out,
        f"DurationBatchSampler, {most:g} s": by_duration,
    }
    return [{"way": way, **_cost(batches, seconds, sample_rate)} for way, batches in ways.items()]


def _cost(batches: list[np.ndarray], seconds: np.ndarray, sample_rate: int) -> dict[str, Any]:
    """Count what the given batches of a surveyed corpus cost."""
    padded = np.array([len(batch) * seconds[batch].max() for batch in batches])
    used = sum(float(seconds[batch].sum()) for batch in batches)
    largest = int(padded.argmax())
    return {
        "batches": len(batches),
        "padding": max(0.0, 1.0 - used / float(padded.sum())),
        "largest_clips": len(batches[largest]),
        "largest_seconds": float(padded[largest]),
        "waveforms_mb": float(padded[largest]) * sample_rate * _FLOAT / _MB,
        "log_mel_mb": float(padded[largest]) * _FRAMES_PER_SECOND * _BINS * _FLOAT / _MB,
    }
