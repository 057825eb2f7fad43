"""Keys of single clips in random order in sampling/, for `DataLoader(sampler=...)`."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch.utils.data.distributed import DistributedSampler

from audiofeed.sampling.dealing import Batches
from audiofeed.sampling.draws import Draws
from audiofeed.sampling.planned_sampler import PlannedSampler
from audiofeed.sampling.sources import Source


class EpochSampler(PlannedSampler, DistributedSampler[Any]):
    """Keys of single clips in random order, for `DataLoader(sampler=..., batch_size=...)`.

    What `DataLoader(shuffle=True)` and torch's DistributedSampler do, with keys that tell the dataset the epoch, and
    with a state. It is a DistributedSampler by name alone: Lightning and Ray, which put one of their own in the place
    of any other sampler, leave it as it is.

    See `PlannedSampler` for epochs, ranks and states, which all samplers have in common. A step is one clip on every
    rank here.

    Args:
        data: A number of clips, lengths in seconds (any array), or a dataset.
        weights: As in `ClipBatchSampler`.
        draws: As in `ClipBatchSampler`.
        shuffle: Random order in every epoch; False keeps that of the data.
        seed: Seed of the plan, the same on all ranks.
        rank: Number of this process; None for torch.distributed's when it is needed, or 0.
        world_size: Number of processes; None for torch.distributed's when it is needed, or 1.
        drop_last: Leave out the clips over a multiple of the number of ranks. False draws up to world_size - 1 clips
            again, under further repeat numbers, so that all ranks have the same number.
        keys: Yield `(epoch, index)` keys; False yields integers, and None integers for a dataset that is none of ours
            (see `takes_keys`).

    Raises:
        ValueError: An argument is out of range, there are no clips, or weights do not fit them.
        TypeError: `data` is none of those, or `seed` no integer.

    >>> sampler = EpochSampler(3, seed=1)
    >>> list(sampler), list(sampler)
    ([ExampleKey(0, 0), ExampleKey(0, 2), ExampleKey(0, 1)], [ExampleKey(1, 1), ExampleKey(1, 2), ExampleKey(1, 0)])
    """

    _single = True

    def __init__(
        self,
        data: Any,
        *,
        weights: Any = None,
        draws: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        drop_last: bool = False,
        keys: bool | None = None,
    ) -> None:
        source = Source(data, "data", lengths="none", keys=keys)
        self._draws = Draws(source, data, weights=weights, draws=draws, shuffle=shuffle, seed=seed)
        PlannedSampler.__init__(
            self,
            source,
            settings={"weights": self._draws.fingerprint, "draws": self._draws.count},
            seed=seed,
            shuffle=shuffle,
            drop_last=drop_last,
            rank=rank,
            world_size=world_size,
        )

    def _batches(self, epoch: int) -> Batches:
        index, repeat = self._draws.of(epoch)
        begin = np.arange(len(index))
        return Batches(index, repeat, begin, begin + 1)
