"""Batches of a fixed number of clips in sampling/, of neighbors in length, or drawn by weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from audiofeed.arguments.checks import check_count, check_not_negative
from audiofeed.sampling.batching import cut_by_count, length_order
from audiofeed.sampling.dealing import Batches
from audiofeed.sampling.draws import Draws
from audiofeed.sampling.planned_sampler import PlannedSampler
from audiofeed.sampling.sources import Source
from audiofeed.sampling.streams import hashes, uniform

_NOISE, _SHORT = 1, 5  # purposes of random streams


class ClipBatchSampler(PlannedSampler):
    """Batches of a fixed number of clips, for `DataLoader(batch_sampler=...)`.

    Where lengths are known, neighbors in length share a batch, as in `DurationBatchSampler`, and the batches that ranks
    take in one step are about as long. Where the clips do not fill the last batch, one batch in each epoch is short, at
    a random place; where batches do not go round the ranks, some are halved. So every clip comes, once.

    See `PlannedSampler` for epochs, ranks and states, which all samplers have in common.

    Args:
        data: A number of clips, lengths in seconds (any array), or a dataset.
        batch_size: Clips in a batch of one rank, 1 or more.
        weights: How often clips are drawn: one number for each, 0 or more, or "balanced" for the same number from every
            class of `dataset.targets`. A clip due x times in an epoch comes floor(x) or ceil(x) times; drawn again, it
            has a key with a repeat number, and with it another crop. None draws each clip once.
        draws: Number of clips in an epoch with weights; None for as many as there are.
        shuffle: Random order and company in every epoch; False gives the longest first, or without lengths the order
            of the data, the same every epoch.
        jitter: Relative random error of a length when neighbors are found, 0 or more; infinity does not look at
            lengths.
        seed: Seed of the plan, the same on all ranks.
        rank: Number of this process; None for torch.distributed's when it is needed, or 0.
        world_size: Number of processes; None for torch.distributed's when it is needed, or 1.
        drop_last: Leave out a batch that is short, and the batches over a multiple of the number of ranks; others in
            every epoch.
        keys: Yield `(epoch, index)` keys; False yields integers, and None integers for a dataset that is none of ours
            (see `takes_keys`).

    Raises:
        ValueError: An argument is out of range, there are no clips, or weights do not fit them.
        TypeError: `data` is none of those, or `seed` no integer.

    >>> sampler = ClipBatchSampler(5, batch_size=2, shuffle=False)
    >>> list(sampler)
    [[ExampleKey(0, 0), ExampleKey(0, 1)], [ExampleKey(0, 2), ExampleKey(0, 3)], [ExampleKey(0, 4)]]
    >>> [key.repeat for batch in ClipBatchSampler(2, batch_size=4, weights=[1, 3], draws=4) for key in batch]
    [0, 0, 1, 2]
    """

    def __init__(
        self,
        data: Any,
        *,
        batch_size: int,
        weights: Any = None,
        draws: int | None = None,
        shuffle: bool = True,
        jitter: float = 0.04,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        drop_last: bool = False,
        keys: bool | None = None,
    ) -> None:
        self.jitter = jitter if jitter == np.inf else check_not_negative("jitter", jitter)
        source = Source(data, "data", lengths="known" if self.jitter < np.inf else "none", keys=keys)
        self.batch_size = check_count("batch_size", batch_size, "a number of clips, 1 or more")
        self._draws = Draws(source, data, weights=weights, draws=draws, shuffle=shuffle, seed=seed)
        super().__init__(
            source,
            settings={
                "batch_size": self.batch_size,
                "weights": self._draws.fingerprint,
                "draws": self._draws.count,
                # JSON has no infinity
                "jitter": self.jitter if self.jitter < np.inf else "infinity",
            },
            seed=seed,
            shuffle=shuffle,
            drop_last=drop_last,
            rank=rank,
            world_size=world_size,
        )
        if drop_last and self._draws.count < self.batch_size:
            raise ValueError(
                f"drop_last=True leaves nothing of {self._draws.count} clips, which do not fill a batch of "
                f"batch_size={self.batch_size}; make it smaller, or keep what is short"
            )

    def _batches(self, epoch: int) -> Batches:
        index, repeat = self._draws.of(epoch)
        every = self._source.seconds(epoch) if self.jitter < np.inf else None
        seconds = None if every is None else every[index]
        if seconds is not None:
            noise = 2.0 * uniform(len(index), self.seed, _NOISE, epoch) - 1.0 if self.shuffle else None
            order = length_order(seconds, noise, self.jitter)
            index, repeat, seconds = index[order], repeat[order], seconds[order]
        count = -(-len(index) // self.batch_size)
        short = int(hashes(1, self.seed, _SHORT, epoch)[0] % np.uint64(count)) if self.shuffle else None
        bounds = cut_by_count(len(index), self.batch_size, short)
        batches = Batches(index, repeat, bounds[:-1], bounds[1:], seconds)
        if self.drop_last:
            batches = batches.chosen(np.flatnonzero(np.diff(bounds) == self.batch_size))
        return batches
