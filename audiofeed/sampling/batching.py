"""Cutting of an epoch's draws into batches in sampling/: by padded seconds or by a number of clips."""

from __future__ import annotations

import numpy as np


def length_order(seconds: np.ndarray, noise: np.ndarray | None, jitter: float) -> np.ndarray:
    """Order a sampler's draws by length, longest first, those that differ by less than the jitter at random.

    A length counts as `seconds * (1 + jitter * noise)`: products and sums alone, which are the same on every machine,
    so that every rank finds the same order.

    Args:
        seconds: Length of each draw, (draw,).
        noise: Random numbers from -1 to 1, (draw,); None for the exact order.
        jitter: 0 or more; infinity orders by the noise alone.

    Returns:
        Numbers of the draws, (draw,) int64.

    >>> length_order(np.array([2.0, 3.0, 1.0]), None, 0.0)
    array([1, 0, 2])
    """
    if noise is None:
        return np.argsort(-seconds, kind="stable")
    if np.isinf(jitter):
        return np.argsort(noise, kind="stable")
    return np.argsort(-(seconds * (1.0 + jitter * noise)), kind="stable")


def clips_within(longest: np.ndarray, max_seconds: float, max_clips: int, quadratic: float | None) -> np.ndarray:
    """Count the clips that a sampler's batch may have, by its longest: their cost is at most `max_seconds`.

    Args:
        longest: Seconds of the longest clip, (n,).
        max_seconds: Cost that a batch may have.
        max_clips: Number of clips that it may have.
        quadratic: As in `DurationBatchSampler`.

    Returns:
        (n,) int64, 0 where one clip costs too much.

    >>> clips_within(np.array([4.0, 2.0]), 10.0, 100, None)
    array([2, 5])
    """
    cost = longest if quadratic is None else longest * (1.0 + longest / quadratic)
    with np.errstate(divide="ignore", over="ignore"):
        count = np.minimum(np.floor(max_seconds / cost), max_clips).astype(np.int64)
    count -= count * cost > max_seconds
    return count


def check_fit(seconds: np.ndarray, max_seconds: float, quadratic: float | None) -> None:
    """Check that each of a sampler's clips fits into a batch by itself.

    Args:
        seconds: Length of each clip, (clip,).
        max_seconds, quadratic: As in `DurationBatchSampler`.

    Raises:
        ValueError: A clip costs more than `max_seconds`.

    >>> check_fit(np.array([4.0, 2.0]), 4.0, None)
    """
    large = np.flatnonzero(clips_within(seconds, max_seconds, 1, quadratic) < 1)
    if not large.size:
        return
    at = int(large[np.argmax(seconds[large])])
    cost = "" if quadratic is None else f", which costs {seconds[at] * (1 + seconds[at] / quadratic):g} with quadratic"
    raise ValueError(
        f"max_seconds={max_seconds:g} is less than {large.size} of {len(seconds)} clips take, the longest (index {at}) "
        f"{seconds[at]:g} s{cost}; raise max_seconds, crop the clips, or leave them out with dataset.select"
    )


def cut_by_seconds(seconds: np.ndarray, max_seconds: float, max_clips: int, quadratic: float | None) -> np.ndarray:
    """Cut a sampler's draws, about longest first, into batches of at most so many padded seconds.

    Args:
        seconds: Length of each draw in its order, (draw,).
        max_seconds, max_clips, quadratic: As in `DurationBatchSampler`; every clip fits by itself.

    Returns:
        Bounds of the batches, (batch + 1,) int64.

    >>> cut_by_seconds(np.array([4.0, 4.0, 3.0, 2.0, 2.0]), 10.0, 100, None)
    array([0, 2, 5])
    """
    # no clip from here on is longer, so that a batch may take so many, whichever they are
    ahead = np.maximum.accumulate(seconds[::-1])[::-1]
    jumps = (np.arange(len(seconds)) + clips_within(ahead, max_seconds, max_clips, quadratic)).tolist()
    bounds, at = [0], 0
    while at < len(seconds):
        at = min(jumps[at], len(seconds))
        bounds.append(at)
    return np.array(bounds, dtype=np.int64)


def cut_in_turn(seconds: np.ndarray, max_seconds: float, max_clips: int, quadratic: float | None) -> np.ndarray:
    """Cut a sampler's draws, in any order, into batches of at most so many padded seconds, clip after clip.

    It fills batches whatever the order, in ten times the time of `cut_by_seconds`.

    Args:
        seconds: Length of each draw in its order, (draw,).
        max_seconds, max_clips, quadratic: As in `DurationBatchSampler`; every clip fits by itself.

    Returns:
        Bounds of the batches, (batch + 1,) int64.

    >>> cut_in_turn(np.array([2.0, 2.0, 4.0, 3.0, 4.0]), 10.0, 100, None)
    array([0, 2, 4, 5])
    """
    fits = clips_within(seconds, max_seconds, max_clips, quadratic).tolist()
    bounds, begin, most = [0], 0, max_clips
    for at, count in enumerate(fits):
        most = min(most, count)
        if at - begin >= most:
            bounds.append(at)
            begin, most = at, count
    return np.array([*bounds, len(seconds)], dtype=np.int64)


def cut_by_count(draws: int, batch_size: int, short: int | None) -> np.ndarray:
    """Cut a sampler's draws into batches of one size, of which one is short where they do not divide evenly.

    Args:
        draws: Number of draws.
        batch_size: Clips in a batch.
        short: Number of the short batch; None for the last.

    Returns:
        Bounds of the batches, (batch + 1,) int64.

    >>> cut_by_count(7, 3, None), cut_by_count(7, 3, 0)
    (array([0, 3, 6, 7]), array([0, 1, 4, 7]))
    """
    sizes = np.full(-(-draws // batch_size), batch_size, dtype=np.int64)
    if draws % batch_size:
        sizes[-1 if short is None else short] = draws % batch_size
    return np.append(0, np.cumsum(sizes))
