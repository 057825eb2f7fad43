"""The epoch of a dataset, and how often each of its examples was asked for in it, over all processes that read it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from audiofeed.data.shared.shared_file import SharedFile

# eight bytes each: the epoch; how often it was set; at which of those, and of the whole's, the counts began; whether
# the warning was given
_EPOCH, _TIMES, _BEGAN, _BEGAN_WHOLE, _WARNED = range(5)
_HEAD = 40


class DrawCounts:
    """Epoch of a dataset and the number of times that each index was asked for since the epoch began.

    All of it lies in memory that workers share, already running ones too, however they were started. A part that
    `select` makes has counts of its own and follows the epoch of the whole until it is given one. A copy that is not
    made for a worker (pickle, deepcopy) keeps the epoch and counts for itself, from none.

    Args:
        n_examples: Number of indices.
        whole: Of the dataset that this one is a part of.

    >>> counts = DrawCounts(3)
    >>> counts.draw([2, 0, 2])
    (0, [0, 0, 1])
    >>> counts.set_epoch(5)
    >>> counts.draw([2])
    (5, [0])
    """

    def __init__(self, n_examples: int, whole: DrawCounts | None = None) -> None:
        self._whole = whole
        self._file = SharedFile(_HEAD + 4 * n_examples, "audiofeed-draws", bytes(_HEAD))

    @property
    def _head(self) -> memoryview:
        return self._file.mapped[:_HEAD].cast("q")

    def _epoch_and_times(self) -> tuple[int, int]:
        """Return the epoch of the dataset, and a number that grows whenever it is set."""
        head = self._head
        if head[_TIMES] or self._whole is None:
            return head[_EPOCH], head[_TIMES]
        return self._whole._epoch_and_times()

    @property
    def epoch(self) -> int:
        """Epoch of the dataset that an index without one stands for."""
        return self._epoch_and_times()[0]

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch of the dataset: nothing has been asked for in it.

        Args:
            epoch: 0 or more.
        """
        with self._file:
            head = self._head
            head[_EPOCH] = epoch
            head[_TIMES] += 1

    def draw(self, indices: Sequence[int]) -> tuple[int, list[int]]:
        """Count that examples of the dataset are asked for.

        Args:
            indices: Their indices, from 0.

        Returns:
            The epoch, and how often each was asked for before in it.
        """
        found = []
        with self._file:
            head = self._head
            times = head[_TIMES]
            epoch, whole = (head[_EPOCH], 0) if times or self._whole is None else self._whole._epoch_and_times()
            if (times, whole) != (head[_BEGAN], head[_BEGAN_WHOLE]):
                self._file.clear(_HEAD)
                head[_BEGAN], head[_BEGAN_WHOLE] = times, whole
            counts = self._file.mapped[_HEAD:].cast("I")
            for index in indices:
                count = counts[index]
                counts[index] = (count + 1) % 2**32
                found.append(count)
        return epoch, found

    def warn_of_repeat(self, index: int, count: int) -> None:
        """Warn, once for a dataset over all processes, that an example is drawn again in an epoch that was set.

        Where nobody sets epochs, each pass draws anew, and there is nothing to warn of.

        Args:
            index: Index of the example.
            count: How often it was asked for before.
        """
        epoch, times = self._epoch_and_times()
        if times == 0 or self._head[_WARNED]:
            return
        with self._file:
            warned, self._head[_WARNED] = self._head[_WARNED], 1
        if not warned:
            warnings.warn(
                f"example {index} is read {count + 1} times in epoch {epoch}, which set_epoch began; each time it is "
                "cropped anew, but which read comes first depends on the workers. Call set_epoch(n) before each pass, "
                "or use a sampler whose keys carry the epoch and the repeat, as EpochSampler and ClipBatchSampler do; "
                f"to look at an example in passing, use the key ({epoch}, {index})",
                stacklevel=4,
            )
