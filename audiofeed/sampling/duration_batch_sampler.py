"""Batches of about equal cost in sampling/: counted in padded seconds rather than in clips."""

from __future__ import annotations

from typing import Any

import numpy as np

from audiofeed.arguments.checks import check_count, check_not_negative, check_positive
from audiofeed.sampling.batching import check_fit, cut_by_seconds, cut_in_turn, length_order
from audiofeed.sampling.dealing import Batches, split
from audiofeed.sampling.planned_sampler import PlannedSampler
from audiofeed.sampling.sources import Source
from audiofeed.sampling.streams import uniform

_NOISE = 1  # the purpose of a random stream
_ATTEMPTS = 20
_ORDERED = 0.1  # up to this jitter the longest clips still come about first


class DurationBatchSampler(PlannedSampler):
    """Batches of clips alike in length, each of at most so many padded seconds, for `DataLoader(batch_sampler=...)`.

    A batch of n clips costs n times its longest clip, which is what it takes in memory and time once it is padded. So
    short clips come many to a batch, and long ones few. Neighbors in length share a batch; which ones do changes in
    every epoch, because lengths count with a random error of up to `jitter`. The number of steps is the same in every
    epoch, and on every rank, and the batches that ranks take in one step are about as long.

    See `PlannedSampler` for epochs, ranks and states, which all samplers have in common.

    Args:
        durations: Lengths in seconds (any array), or a dataset that knows them: `AudioFolder`, `AudioManifest`,
            `Mixture`, torch's Subset, ConcatDataset or random_split of such.
        max_seconds: Cost that a batch may have, in padded seconds, > 0; the longest clip must fit.
        max_clips: Number of clips that a batch may have, 1 or more; None for any.
        quadratic: Where cost grows faster than length, as with attention: a clip of d seconds costs d * (1 + d /
            quadratic). Seconds, > 0; None for a cost of d. The same as `quadratic_duration` in lhotse and NeMo.
        shuffle: Random order and company in every epoch; False gives the longest clips first, the same every epoch.
        jitter: Relative random error of a length when neighbors are found, 0 or more. Padding is about this share of
            the samples; 0 puts clips of equal length together only, infinity any.
        seed: Seed of the plan, the same on all ranks.
        rank: Number of this process; None for torch.distributed's when it is needed, or 0.
        world_size: Number of processes; None for torch.distributed's when it is needed, or 1.
        drop_last: Leave out the batches over a multiple of the number of ranks (up to world_size - 1, others in every
            epoch). False halves some batches instead, so that every clip comes.
        keys: Yield `(epoch, index)` keys; False yields integers, and None integers for a dataset that is none of ours
            (see `takes_keys`).

    Raises:
        ValueError: An argument is out of range, there are no clips, or a clip costs more than `max_seconds`.
        TypeError: `durations` is no lengths and no dataset, or `seed` no integer.

    The cost follows lhotse's DynamicBucketingSampler; the rest does not.

    >>> sampler = DurationBatchSampler([9.0, 2.0, 5.0, 1.8, 2.0], max_seconds=10, shuffle=False)
    >>> list(sampler)
    [[ExampleKey(0, 0)], [ExampleKey(0, 2), ExampleKey(0, 1)], [ExampleKey(0, 4), ExampleKey(0, 3)]]
    """

    def __init__(
        self,
        durations: Any,
        *,
        max_seconds: float,
        max_clips: int | None = None,
        quadratic: float | None = None,
        shuffle: bool = True,
        jitter: float = 0.04,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        drop_last: bool = False,
        keys: bool | None = None,
    ) -> None:
        source = Source(durations, "durations", keys=keys)
        self.max_seconds = check_positive("max_seconds", max_seconds, "a number of padded seconds > 0")
        self.max_clips = None if max_clips is None else check_count("max_clips", max_clips, "1 or more, or None")
        self.quadratic = None if quadratic is None else check_positive("quadratic", quadratic, "seconds > 0, or None")
        self.jitter = jitter if jitter == np.inf else check_not_negative("jitter", jitter)
        super().__init__(
            source,
            settings={
                "max_seconds": self.max_seconds,
                "max_clips": self.max_clips,
                "quadratic": self.quadratic,
                # JSON has no infinity
                "jitter": self.jitter if self.jitter < np.inf else "infinity",
            },
            seed=seed,
            shuffle=shuffle,
            drop_last=drop_last,
            rank=rank,
            world_size=world_size,
        )
        check_fit(source.longest, self.max_seconds, self.quadratic)
        self._most: int | None = None

    def _cut(self, seconds: np.ndarray, noise: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        order = length_order(seconds, noise, self.jitter)
        most = len(seconds) if self.max_clips is None else self.max_clips
        cut = cut_by_seconds if noise is None or self.jitter <= _ORDERED else cut_in_turn
        return order, cut(seconds[order], self.max_seconds, most, self.quadratic)

    def _noise(self, clips: int, epoch: int, attempt: int) -> np.ndarray:
        return 2.0 * uniform(clips, self.seed, _NOISE, epoch, attempt) - 1.0

    def _count(self, seconds: np.ndarray) -> int:
        """Return the number of batches in every epoch: loops that ask for it once would else miss some."""
        if self._most is None:
            counts = [len(self._cut(seconds, noise)[1]) - 1 for noise in (None, self._noise(len(seconds), 0, 0))]
            self._most = max(counts[0], counts[1] + 1 + counts[1] // 200)
        return self._most

    def _batches(self, epoch: int) -> Batches:
        seconds = self._source.seconds(epoch)
        assert seconds is not None
        order, bounds = self._cut(seconds, self._noise(len(seconds), epoch, 0) if self.shuffle else None)
        more = 0
        if self.shuffle and not self._source.changes:
            count = self._count(seconds)
            attempt = 1
            while len(bounds) - 1 > count:
                noise = self._noise(len(seconds), epoch, attempt) if attempt < _ATTEMPTS else None
                order, bounds = self._cut(seconds, noise)
                attempt += 1
            more = count - (len(bounds) - 1)
        batches = Batches(order, np.zeros(len(order), dtype=np.int64), bounds[:-1], bounds[1:], seconds[order])
        return split(batches, more) if more else batches
