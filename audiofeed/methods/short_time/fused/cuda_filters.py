"""How the CUDA kernel sums filters: rounds of one filter for each part of a frame, and their table of weights.

In each round of the kernel, part u of a frame sums the filter u + parts * round. The weights of a part's filters lie
one after another, of each round as many as its widest filter has: zeros fill up the others. So where a weight lies is
known to the compiler, and no loop, no address and no test stands between the products. A round that is wider than
`MOST_AT_ONCE` is a loop of `STEP` weights, which each filter runs as often as it needs to.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

MOST_AT_ONCE = 16
STEP = 8
FIRST_BITS = 16  # of a span, that say where a filter's powers begin


@functools.lru_cache(maxsize=256)
def rounds_of(first: tuple[int, ...], end: tuple[int, ...], parts: int) -> tuple[int, ...]:
    """Return how many weights each round of the CUDA kernel has for a filter.

    Args:
        first, end: bins of each filter.
        parts: of a frame.

    >>> rounds_of((0, 1, 3), (2, 4, 20), 2)
    (3, 24)
    """
    found = []
    widths = [after - before for before, after in zip(first, end, strict=True)]
    for at in range(0, len(first), parts):
        width = max(1, *widths[at : at + parts])
        found.append(width if width <= MOST_AT_ONCE else -(-width // STEP) * STEP)
    return tuple(found)


def begins(rounds: Sequence[int]) -> tuple[int, ...]:
    """Return where each round's weights begin among those of a part in the CUDA kernel's table, and how many there are.

    >>> begins((3, 2, 24, 1))
    (0, 3, 8, 32, 36)
    """
    found, at = [], 0
    for width in rounds:
        if width > MOST_AT_ONCE:  # a loop loads four from each of its steps on
            at = -(-at // 4) * 4
        found.append(at)
        at += width
    return (*found, -(-at // 4) * 4)


def tables(
    first: Sequence[int], end: Sequence[int], n_bins: int, rounds: Sequence[int], parts: int, frames: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return where each weight of the CUDA kernel's table comes from, and the spans of filters.

    Args:
        first, end: bins of each filter.
        n_bins: of a spectrum.
        rounds: see `rounds_of`.
        parts, frames: of the kernel's plan.

    Returns:
        Of each entry its place among (filter, bin), -1 for zeros; int64 (fours, parts, 4).
        Of each filter the place of its first power, and 2^16 times the steps of its loop; int32 (fours, parts, 4).
    """
    begin = begins(rounds)
    entries = np.full((parts, begin[-1]), -1, dtype=np.int64)
    spans = np.zeros((parts, -(-len(rounds) // 4) * 4), dtype=np.int64)
    for number in range(len(first)):
        each, part = divmod(number, parts)
        width = end[number] - first[number]
        steps = 0 if rounds[each] <= MOST_AT_ONCE else -(-width // STEP)
        loaded = steps * STEP if steps else rounds[each]
        at = max(0, min(first[number], n_bins - loaded))  # no power past the last is read
        own = np.arange(first[number], end[number])
        entries[part, begin[each] + own - at] = number * n_bins + own
        spans[part, each] = at * frames | steps << FIRST_BITS
    by_fours = [np.ascontiguousarray(table.reshape(parts, -1, 4).transpose(1, 0, 2)) for table in (entries, spans)]
    return by_fours[0], by_fours[1].astype(np.int32)
