"""Every clip exactly once over all ranks, longest first, in sampling/: for validation and test."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch.utils.data.distributed import DistributedSampler

from audiofeed.arguments.checks import check_count, check_positive
from audiofeed.sampling.batching import check_fit, cut_by_count, cut_by_seconds, length_order
from audiofeed.sampling.dealing import Batches, Spare
from audiofeed.sampling.planned_sampler import PlannedSampler
from audiofeed.sampling.sources import Source


class EvaluationSampler(PlannedSampler, DistributedSampler[Any]):
    """Every clip exactly once over any number of ranks, none twice, longest first.

    torch's DistributedSampler repeats clips so that ranks have equally many, and a metric over all ranks then counts
    those twice. Here none is: batches are halved until they go round, and where even single clips do not, the last
    ranks have one step fewer.

    With `batch_size` or `max_seconds` it yields lists, for `DataLoader(batch_sampler=...)`; with neither single keys,
    for `DataLoader(sampler=..., batch_size=...)`. Its epoch does not move on by itself, so that every evaluation sees
    the same crops; `set_epoch` changes it. A state is that of rank 0.

    Args:
        data: A number of clips, lengths in seconds (any array), or a dataset.
        batch_size: Clips in a batch of one rank, 1 or more.
        max_seconds: Cost that a batch may have, as in `DurationBatchSampler`; the longest clip must fit.
        quadratic: As in `DurationBatchSampler`.
        rank: Number of this process; None for torch.distributed's when it is needed, or 0.
        world_size: Number of processes; None for torch.distributed's when it is needed, or 1.
        keys: Yield `(epoch, index)` keys; False yields integers, and None integers for a dataset that is none of ours
            (see `takes_keys`).

    Raises:
        ValueError: An argument is out of range, there are no clips, a clip costs more than `max_seconds`, or that is
            given where lengths are not known.
        TypeError: `data` is none of those.

    >>> [list(EvaluationSampler([1.0, 3.0, 2.0], batch_size=2, rank=rank, world_size=2, keys=False)) for rank in (0, 1)]
    [[[1, 2]], [[0]]]
    """

    _moves_on = False
    _spare: Spare = "idle"

    def __init__(
        self,
        data: Any,
        *,
        batch_size: int | None = None,
        max_seconds: float | None = None,
        quadratic: float | None = None,
        rank: int | None = None,
        world_size: int | None = None,
        keys: bool | None = None,
    ) -> None:
        source = Source(data, "data", lengths="known" if max_seconds is None else "needed", keys=keys)
        self.batch_size = None if batch_size is None else check_count("batch_size", batch_size, "1 or more, or None")
        self.max_seconds = None if max_seconds is None else check_positive("max_seconds", max_seconds, "seconds > 0")
        self.quadratic = None if quadratic is None else check_positive("quadratic", quadratic, "seconds > 0, or None")
        if quadratic is not None and max_seconds is None:
            raise ValueError(f"quadratic={quadratic!r} needs max_seconds, whose cost it changes")
        self._single = batch_size is None and max_seconds is None
        PlannedSampler.__init__(
            self,
            source,
            settings={"batch_size": self.batch_size, "max_seconds": self.max_seconds, "quadratic": self.quadratic},
            seed=0,
            shuffle=False,
            drop_last=False,
            rank=rank,
            world_size=world_size,
        )
        if self.max_seconds is not None:
            check_fit(source.longest, self.max_seconds, self.quadratic)

    def _batches(self, epoch: int) -> Batches:
        seconds = self._source.seconds(epoch)
        clips = self._source.clips
        order = np.arange(clips) if seconds is None else length_order(seconds, None, 0.0)
        in_order = None if seconds is None else seconds[order]
        most = clips if self.batch_size is None else self.batch_size
        if self._single:
            bounds = np.arange(clips + 1)
        elif self.max_seconds is None or in_order is None:
            bounds = cut_by_count(clips, most, None)
        else:
            bounds = cut_by_seconds(in_order, self.max_seconds, most, self.quadratic)
        return Batches(order, np.zeros(clips, dtype=np.int64), bounds[:-1], bounds[1:], in_order)
