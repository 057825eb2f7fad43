"""Which clips an epoch draws in sampling/, and how often: each once, or by weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from audiofeed.arguments.checks import check_count, shortened
from audiofeed.sampling.sources import Source, changes_of, column_of, digest
from audiofeed.sampling.streams import hashes, permutation, uniform

_ORDER, _START = 3, 4  # purposes of random streams


def repeats_of(index: np.ndarray) -> np.ndarray:
    """Count, for each of a sampler's draws, how often its clip was drawn before.

    Args:
        index: Index of the clip of each draw, (draw,).

    Returns:
        (draw,) int64.

    >>> repeats_of(np.array([4, 2, 4, 4]))
    array([0, 0, 1, 2])
    """
    order = np.argsort(index, kind="stable")
    begins = np.flatnonzero(np.diff(index[order], prepend=-1))
    counts = np.diff(np.append(begins, len(index)))
    repeat = np.empty(len(index), dtype=np.int64)
    repeat[order] = np.arange(len(index)) - np.repeat(begins, counts)
    return repeat


def read_weights(weights: Any, data: Any, source: Source) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Read a sampler's argument `weights`.

    Args:
        weights: None, "balanced", or one number for each clip, 0 or more.
        data: The dataset, for its targets.
        source: The same as the sampler sees it.

    Returns:
        Share of each clip among the draws, (clip,), and the number of its class if the classes are balanced.

    Raises:
        ValueError: There is not one weight for each clip, one is negative or not finite, all are 0, or the classes are
            to be balanced and the dataset has no classes for targets.

    >>> read_weights([1, 3], 2, Source(2, "data", lengths="none"))[0]
    array([0.25, 0.75])
    """
    if weights is None:
        return None, None
    if isinstance(weights, str):
        if weights != "balanced":
            raise ValueError(f"weights={weights!r} must be 'balanced', one number for each clip, or None")
        return balanced(data, 0)
    try:
        array = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"weights={shortened(weights)} must be 'balanced', one number for each clip, or None"
        ) from error
    if array.shape != (source.clips,):
        raise ValueError(f"weights has shape {array.shape} and must have one number for each of {source.clips} clips")
    wrong_at = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if wrong_at.size:
        raise ValueError(f"weights[{wrong_at[0]}]={array[wrong_at[0]]} must be finite and 0 or more")
    with np.errstate(over="ignore"):
        total = np.cumsum(array)[-1]
    if not total > 0:
        raise ValueError("weights are 0 throughout; at least one clip must have a weight above 0")
    if np.isinf(total):
        # in a unit in which their sum is a number
        array = array / array.max()
        total = np.cumsum(array)[-1]
    return array / total, None


def balanced(data: Any, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a sampler's weights that draw every class of a dataset equally often.

    Args:
        data: The dataset, for its targets.
        epoch: Number of the epoch, where the dataset changes with it.

    Returns:
        Share of each clip among the draws, (clip,), and the number of its class.

    Raises:
        ValueError: The dataset has no classes for targets.

    >>> from torch.utils.data import TensorDataset
    >>> dataset = TensorDataset()
    >>> dataset.targets = np.array([0, 0, 1])
    >>> balanced(dataset, 0)[0]
    array([0.25, 0.25, 0.5 ])
    """
    targets = column_of(data, "targets", epoch)
    if targets is None:
        raise ValueError(
            "weights='balanced' needs a dataset with one class for each clip in `targets`; for other data pass one "
            "weight for each clip"
        )
    wrong = [target for target in targets.tolist() if not isinstance(target, (int, str, np.integer))]
    if wrong:
        raise ValueError(
            f"weights='balanced' needs one class for each clip, and a target is {shortened(wrong[0])}; pass one "
            "weight for each clip"
        )
    _, classes, counts = np.unique(targets.astype(str), return_inverse=True, return_counts=True)
    return 1.0 / (len(counts) * counts[classes]), classes


def read_draws(draws: int | None, weights: Any, clips: int) -> int:
    """Read a sampler's argument `draws`, the number of clips in an epoch.

    Args:
        draws: The number, or None for that of the clips.
        weights: The argument `weights`; without weights each clip is drawn once.
        clips: Number of clips.

    Raises:
        ValueError: `draws` is no count, or given without weights.

    >>> read_draws(None, None, 10)
    10
    """
    if draws is None:
        return clips
    if weights is None:
        raise ValueError(f"draws={draws!r} needs weights: without, an epoch draws each of the {clips} clips once")
    return check_count("draws", draws, "a number of clips, 1 or more")


def weighted_draws(weights: np.ndarray, groups: np.ndarray | None, draws: int, stream: tuple[int, ...]) -> np.ndarray:
    """Draw clips for a sampler by their weights, in random order.

    A clip that is due x times on average comes floor(x) or ceil(x) times, never 0 or 5 times by chance as independent
    draws would have it; so does each group. This is systematic sampling (Madow 1949) over a random order.

    Args:
        weights: Share of each clip, (clip,), their sum 1.
        groups: Number of the group of each clip, or None.
        draws: How many to draw.
        stream: Names the random stream.

    Returns:
        Indices of the clips, (draw,) int64.

    >>> np.bincount(weighted_draws(np.array([0.25, 0.75]), None, 8, (0,)))
    array([2, 6])
    """
    order = permutation(len(weights), *stream, _ORDER)
    if groups is not None:
        # the order of the groups changes as well
        rank = np.argsort(permutation(int(groups.max()) + 1, *stream, _ORDER, 1), kind="stable")
        order = order[np.argsort(rank[groups[order]], kind="stable")]
    edges = np.cumsum(weights[order])
    edges *= draws / edges[-1]
    points = np.arange(draws) + uniform(1, *stream, _START)[0]
    found = order[np.minimum(np.searchsorted(edges, points, side="right"), len(order) - 1)]
    return found[np.argsort(hashes(draws, *stream, _START, 1), kind="stable")]


class Draws:
    """Which clips each epoch of a sampler draws.

    Args:
        source: The clips.
        data: What the sampler was given, for its targets.
        weights: As in `ClipBatchSampler`.
        draws: As in `ClipBatchSampler`.
        shuffle: Whether they come in random order.
        seed: The sampler's seed.

    Raises:
        ValueError: `weights` or `draws` is wrong, or there are weights and `shuffle` is off.

    >>> source = Source(3, "data", lengths="none")
    >>> Draws(source, 3, weights=None, draws=None, shuffle=False, seed=0).of(0)
    (array([0, 1, 2]), array([0, 0, 0]))
    """

    def __init__(self, source: Source, data: Any, *, weights: Any, draws: int | None, shuffle: bool, seed: int) -> None:
        if weights is not None and not shuffle:
            raise ValueError("weights with shuffle=False: draws by weight are random; leave shuffle on")
        self.count = read_draws(draws, weights, source.clips)
        self._weights, self._groups = read_weights(weights, data, source)
        # a mixture that shows others of its clips in each epoch has other targets too
        self._changing = data if isinstance(weights, str) and changes_of(data) else None
        self._clips, self._shuffle, self._seed = source.clips, shuffle, seed
        # what a state knows of the weights
        self.fingerprint = None if self._weights is None else digest(self._weights)

    def of(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the clips that a sampler draws in an epoch, in order, and how often each was drawn before.

        Args:
            epoch: The epoch.

        Returns:
            Two arrays (draw,) int64.
        """
        if self._weights is not None:
            weights, groups = self._weights, self._groups
            if self._changing is not None:
                weights, groups = balanced(self._changing, epoch)
            index = weighted_draws(weights, groups, self.count, (self._seed, epoch))
            return index, repeats_of(index)
        index = permutation(self._clips, self._seed, epoch, _ORDER) if self._shuffle else np.arange(self._clips)
        return index, np.zeros(self._clips, dtype=np.int64)
