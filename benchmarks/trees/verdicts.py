"""What ratios of rounds say about a row: their median, its interval by order statistics, and a verdict."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

CONFIDENCE = 0.95


def ratios(rounds: Sequence[Sequence[float]]) -> list[float]:
    """How many times as long the tree after took, in each round of (seconds before, seconds after)."""
    return [after / before for before, after in rounds]


def interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The interval of order statistics that holds the median with a probability of at least `confidence`.

    The k-th smallest of n values lies above the median with the probability that fewer than k of n tosses of a coin
    show heads. With fewer values than any interval needs, six for 95 %, it is unbounded.
    """
    ordered, n = sorted(values), len(values)
    outside, k = 0.0, 0
    while 2 * (outside + math.comb(n, k) / 2**n) <= 1 - confidence:
        outside += math.comb(n, k) / 2**n
        k += 1
    return (ordered[k - 1], ordered[n - k]) if k else (0.0, math.inf)


def verdict(values: Sequence[float], most: float) -> str:
    """Whether a row is "within" the limit, "slower", or "open": more rounds are needed."""
    low, high = interval(values)
    if high <= most:
        return "within"
    return "slower" if low > most else "open"


def larger_error(before: float | None, after: float | None) -> bool:
    """Whether an error grew by more than a tenth, which another order of the same sums explains."""
    return before is not None and after is not None and after > 1.1 * before


def neediest(rounds: dict[str, list], most: float, cap: int) -> list[str]:
    """Rows that need a round: those with the fewest rounds first, of those that are open and have not had `cap`."""
    needy = [row for row, of in rounds.items() if len(of) < cap and verdict(ratios(of), most) == "open"]
    return sorted(needy, key=lambda row: len(rounds[row]))


def summary(rounds: Sequence[Sequence[float]], most: float) -> dict[str, Any]:
    """All figures of a row."""
    if not rounds:
        return {"rounds": 0, "verdict": "open"}
    of = ratios(rounds)
    return {
        "rounds": len(of),
        "before_ms": 1e3 * statistics.median(before for before, _ in rounds),
        "after_ms": 1e3 * statistics.median(after for _, after in rounds),
        "ratio": statistics.median(of),
        "interval": interval(of),
        "verdict": verdict(of, most),
    }
