"""A report's test of speed: how fast clips become batches with features, and what binds."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from audiofeed.data import AudioManifest
from audiofeed.loading import Feed
from audiofeed.loading.stats import MADE
from audiofeed.parallel.interrupts import held_interrupts
from audiofeed.sampling import ClipBatchSampler, DurationBatchSampler

# more than anybody waits for
_EPOCHS = 1_000_000
# batches before the clock counts
_WARM_UP = 2


def measure_speed(
    dataset: AudioManifest,
    transform: torch.nn.Module,
    *,
    batch_size: int | None,
    batch_seconds: float | None,
    workers: int,
    seconds: float,
    device: torch.device | str | None,
    seed: int,
) -> dict[str, Any]:
    """Run a feed without a model for a while, for a report, and tell how fast it was.

    Args:
        dataset: The clips.
        transform: From waveforms to features.
        batch_size: Clips in a batch; one of this and `batch_seconds` is None.
        batch_seconds: Padded seconds in a batch.
        workers: Processes that read, 0 or more.
        seconds: How long to measure, above 0, over one epoch after another; one batch at least is measured.
        device: Where features are computed; None for the accelerator, else the CPU.
        seed: Decides the order and the crops.

    Returns:
        The workers, clips and seconds of audio in a second, milliseconds per clip of each stage, and the sentence that
        names the bottleneck.

    Raises:
        AudioReadError: Hardly any clip can be read.
        RuntimeError: A worker died, or the transform fails.
    """
    sampler: Any
    if batch_size is not None:
        sampler = ClipBatchSampler(dataset, batch_size=batch_size, seed=seed)
    else:
        assert batch_seconds is not None
        sampler = DurationBatchSampler(dataset, max_seconds=batch_seconds, seed=seed)
    with Feed(
        dataset, transform, sampler=_ManyEpochs(sampler), workers=workers, device=device, max_fault_ratio=None
    ) as feed:
        with held_interrupts():
            batches = iter(feed)
        begun = 0.0
        for seen, batch in enumerate(batches, 1):
            batch.features  # noqa: B018  where nothing was computed ahead, this does
            if seen == _WARM_UP:
                feed.reset_stats()
                begun = time.perf_counter()
            elif seen > _WARM_UP and time.perf_counter() - begun >= seconds:
                break
        stats = feed.stats()
    # the wait for the first batch that is measured is no start: the workers are there
    waited = stats.seconds["start"] + stats.seconds["wait"]
    stats = replace(stats, seconds={**stats.seconds, "start": 0.0, "wait": waited})
    return {
        "workers": workers,
        "clips_per_second": stats.clips_per_second,
        "audio_per_second": stats.audio_per_second,
        "ms_per_clip": {
            name: 1000 * stats.seconds[name] / max(1, stats.clips) for name in (*MADE, "transfer", "features")
        },
        # without a model, the time of the loop's own step says nothing
        "bottleneck": re.sub(r", the step takes [\w ]+:", ":", stats.bottleneck),
    }


def best_test(tests: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the fastest of a report's tests of speed.

    Args:
        tests: As `measure_speed` returns them, one at least.
    """
    return max(tests, key=lambda test: test["clips_per_second"])


class _ManyEpochs:
    """Batch sampler of a report's test: epoch after epoch, without the pauses that few clips would spend it in."""

    def __init__(self, sampler: Any) -> None:
        self._sampler = sampler

    def __iter__(self) -> Iterator[list[Any]]:
        for epoch in range(_EPOCHS):
            self._sampler.set_epoch(epoch)
            yield from self._sampler

    def __len__(self) -> int:
        return _EPOCHS * len(self._sampler)
