"""Dealing of an epoch's batches to the ranks in sampling/: the same number each, alike in length in every step."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from audiofeed.sampling.streams import hashes, permutation

Spare = Literal["repeat", "drop", "idle"]


@dataclass(frozen=True)
class Batches:
    """Batches of an epoch that a sampler has planned, as ranges of one list of draws.

    Args:
        index: Index of the clip of each draw, (draw,).
        repeat: How often the clip was drawn before in the epoch, (draw,).
        first: The first draw of each batch, (batch,).
        last: One past its last draw, (batch,).
        seconds: Length of the clip of each draw, (draw,); None if lengths do not matter.
        real: Draws from this one on fill up a step for ranks that would have none.
        longest: The longest clip of each batch in seconds, (batch,); None to find it if lengths are given.

    >>> Batches(np.array([3, 1, 2]), np.zeros(3, int), np.array([0, 2]), np.array([2, 3])).clips(0)
    ([3, 1], [0, 0])
    """

    index: np.ndarray
    repeat: np.ndarray
    first: np.ndarray
    last: np.ndarray
    seconds: np.ndarray | None = None
    real: int = -1
    longest: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.real < 0:
            object.__setattr__(self, "real", len(self.index))
        if self.longest is None and self.seconds is not None:
            object.__setattr__(self, "longest", _longest(self.seconds, self.first, self.last))

    def __len__(self) -> int:
        return len(self.first)

    def clips(self, batch: int) -> tuple[list[int], list[int]]:
        """Return the indices and the repeats of a batch's draws, for the keys that the sampler yields."""
        part = slice(self.first[batch], self.last[batch])
        return self.index[part].tolist(), self.repeat[part].tolist()

    def chosen(self, batches: np.ndarray) -> Batches:
        """Return some of a sampler's batches, by their numbers, in that order."""
        longest = None if self.longest is None else self.longest[batches]
        return replace(self, first=self.first[batches], last=self.last[batches], longest=longest)


def _longest(seconds: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Return the longest clip of each batch of a sampler, whose draws follow each other: (batch,)."""
    if not len(first):
        return np.zeros(0)
    # reduceat takes one list of bounds; every second of its results lies between two batches
    return np.maximum.reduceat(np.append(seconds, 0.0), np.stack([first, last], axis=1).ravel())[::2]


@dataclass(frozen=True)
class Steps:
    """Steps of an epoch over all ranks, as a sampler takes them.

    Args:
        batches: The batches, those split included.
        table: Number of the batch of each step and rank, (step, rank); -1 for none.
        filled: How many draws were repeated so that every rank has a batch.

    >>> batches = Batches(np.arange(4), np.zeros(4, int), np.arange(4), np.arange(1, 5))
    >>> Steps(batches, np.array([[0, 1], [2, 3]])).after(1).first
    array([2, 3])
    """

    batches: Batches
    table: np.ndarray
    filled: int = 0

    def after(self, steps: int) -> Batches:
        """Return a sampler's batches that are left after the first steps; what only filled up a step is not."""
        left = self.table[steps:].ravel()
        left = left[left >= 0]
        return self.batches.chosen(left[self.batches.first[left] < self.batches.real])


def deal(batches: Batches, world_size: int, *, stream: tuple[int, ...] | None, drop_first: bool, spare: Spare) -> Steps:
    """Deal a sampler's batches to the ranks.

    Where the number of batches is no multiple of the number of ranks, those of most clips are halved until it is. Clips
    that are too few for that are a matter of `spare`.

    Args:
        batches: The batches. Those with lengths are grouped by length, so that a step's are alike; others keep their
            order.
        world_size: Number of ranks, 1 or more.
        stream: Names the random stream that orders the steps; None leaves them longest first.
        drop_first: Leave out the batches over a multiple of the number of ranks rather than split others.
        spare: What ranks get for which no clip is left: "repeat" draws clips again, "drop" leaves out the last step,
            "idle" gives them nothing.

    Returns:
        The steps. Every rank has the same number, but for "idle".

    >>> batches = Batches(np.arange(5), np.zeros(5, int), np.array([0, 4]), np.array([4, 5]))
    >>> steps = deal(batches, 3, stream=None, drop_first=False, spare="drop")
    >>> [steps.batches.clips(batch)[0] for batch in steps.table[0]]
    [[0, 1], [4], [2, 3]]
    """
    over = len(batches) % world_size
    filled = 0
    if over and drop_first:
        if batches.seconds is None or stream is None:
            batches = batches.chosen(np.arange(len(batches) - over))
        else:
            batches = batches.chosen(np.sort(permutation(len(batches), *stream, 0)[over:]))
    elif over:
        batches = split(batches, world_size - over)
    missing = -len(batches) % world_size
    if missing and spare == "drop":
        batches, missing = batches.chosen(np.arange(len(batches) - (world_size - missing))), 0
    elif missing and spare == "repeat":
        batches, filled, missing = _fill(batches, missing), missing, 0
    order = np.arange(len(batches))
    if batches.longest is not None:
        order = np.argsort(-batches.longest, kind="stable")
    table = np.append(order, np.full(missing, -1)).reshape(-1, world_size)
    if stream is not None and batches.seconds is not None:
        if world_size > 1:
            columns = np.argsort(hashes(table.size, *stream, 1).reshape(table.shape), axis=1, kind="stable")
            table = np.take_along_axis(table, columns, axis=1)
        table = table[permutation(len(table), *stream, 2)]
    return Steps(batches, table, filled)


def split(batches: Batches, more: int) -> Batches:
    """Halve a sampler's batches of most clips until there are so many more of them, or none has two clips.

    Args:
        batches: The batches.
        more: How many more there shall be, 0 or more.

    >>> len(split(Batches(np.arange(3), np.zeros(3, int), np.array([0]), np.array([3])), 5))
    3
    """
    first, last = batches.first.copy(), batches.last.copy()
    sizes = last - first
    largest = np.argsort(-sizes, kind="stable")[:more]
    heap = [(-int(sizes[batch]), int(batch)) for batch in largest]
    heapq.heapify(heap)
    new: list[tuple[int, int]] = []
    while len(new) < more and heap and heap[0][0] <= -2:
        _, batch = heapq.heappop(heap)
        begin, end = (first[batch], last[batch]) if batch < len(first) else new[batch - len(first)]
        middle = int(begin + (end - begin + 1) // 2)
        if batch < len(first):
            last[batch] = middle
        else:
            new[batch - len(first)] = (begin, middle)
        heapq.heappush(heap, (int(begin - middle), batch))
        heapq.heappush(heap, (int(middle - end), len(first) + len(new)))
        new.append((middle, int(end)))
    further = np.array(new, dtype=np.int64).reshape(-1, 2)
    first, last = np.append(first, further[:, 0]), np.append(last, further[:, 1])
    longest = batches.longest
    if longest is not None:
        assert batches.seconds is not None
        longest = np.append(longest, np.zeros(len(new)))
        for batch in {*largest.tolist(), *range(len(first) - len(new), len(first))}:
            longest[batch] = batches.seconds[first[batch] : last[batch]].max()
    return replace(batches, first=first, last=last, longest=longest)


def _fill(batches: Batches, more: int) -> Batches:
    """Add batches of one clip each that was drawn before, under repeats that no other draw has."""
    source = np.arange(more) % batches.real
    again = batches.index[source]
    counts = {clip: int((batches.index == clip).sum()) for clip in set(again.tolist())}
    repeats = []
    for clip in again.tolist():
        repeats.append(counts[clip])
        counts[clip] += 1
    begin = np.arange(len(batches.index), len(batches.index) + more)
    seconds, longest = batches.seconds, batches.longest
    if seconds is not None and longest is not None:
        seconds, longest = np.append(seconds, seconds[source]), np.append(longest, seconds[source])
    return replace(
        batches,
        index=np.append(batches.index, again),
        repeat=np.append(batches.repeat, repeats),
        first=np.append(batches.first, begin),
        last=np.append(batches.last, begin + 1),
        seconds=seconds,
        longest=longest,
    )
