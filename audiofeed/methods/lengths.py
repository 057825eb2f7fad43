"""Rows of a batch that have their own lengths: masks, clearing past the end, runs of equal rows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch

from audiofeed.parallel.launches import launches
from audiofeed.parallel.native_threads import unless_awake
from audiofeed.parallel.observed import observed

Size = TypeVar("Size")


def length_mask(n: int, lengths: torch.Tensor) -> torch.Tensor:
    """Compute a mask of clip lengths, True for the entries before each row's own end.

    Shape: lengths (rows,) -> (rows, n) bool.

    >>> length_mask(3, torch.tensor([1, 3])).tolist()
    [[True, False, False], [True, True, True]]
    """
    return torch.arange(n, device=lengths.device) < lengths[:, None]


def clear_past(features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Set batched features to 0 past each clip's own length.

    Any value there is replaced, a NaN too.

    Args:
        features: (clips, ..., n).
        lengths: (clips,).

    >>> clear_past(torch.ones(2, 3), torch.tensor([1, 3])).tolist()
    [[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    """
    n = features.shape[-1]
    if launches(features):
        return features.masked_fill(_past(features, lengths), 0)
    # clips cut to one length have nothing past their ends; a GPU is not waited for
    looks = lengths.device.type == "cpu" and observed(features) is None and observed(lengths) is None
    if looks and int(lengths.min()) >= n:
        return features
    own = length_mask(n, lengths)
    # `masked_fill` copies the features first
    return torch.where(own.view(own.shape[0], *[1] * (features.dim() - 2), -1), features, 0)


def clear_own_past(features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Set batched features to 0 past each clip's own length in place, without a graph.

    It is the result of `clear_past`, in the memory of the features.
    """
    if launches(features) or lengths.device.type != "cpu":
        return features.masked_fill_(_past(features, lengths), 0)
    with unless_awake(features.numel()):
        for clip, length in zip(features, lengths.tolist(), strict=True):
            clip[..., length:] = 0
    return features


def past_of(n: int, lengths: torch.Tensor, first: int = 0, step: int = 1) -> torch.Tensor:
    """Compute a mask of what lies past the length of each clip of a batch, in two launches.

    Args:
        n: number of positions.
        lengths: (clips,).
        first, step: the first position, and from each to the next.

    Returns:
        (clips, n) bool.

    >>> past_of(3, torch.tensor([1, 3])).tolist()
    [[False, True, True], [False, False, False]]
    >>> past_of(3, torch.tensor([1, 3]), first=-1, step=2).tolist()
    [[False, True, True], [False, False, True]]
    """
    return torch.arange(first, first + n * step, step, device=lengths.device) >= lengths[:, None]


def _past(features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return a mask of what lies past the length of each clip, as `past_of`, of shape (clips, 1, ..., n)."""
    past = past_of(features.shape[-1], lengths)
    return past.view(past.shape[0], *[1] * (features.dim() - 2), -1)


def keep_outside(lengths: torch.Tensor, outside: torch.Tensor, first: int) -> None:
    """Keep a mask of the positions past the ends of rows with the lengths of one call, for others to be views of it.

    Args:
        lengths: (rows,), a tensor that this call made.
        outside: (rows, n), of the positions from `first` on.
    """
    if not torch.compiler.is_compiling():
        vars(lengths)["outside"] = outside, first


def outside_at(lengths: torch.Tensor, first: int, step: int, n: int) -> torch.Tensor | None:
    """Return whether rows end at or before positions first, first + step, ...: a view of a mask that was kept, or None.

    Shape: lengths (rows,) -> (rows, n) bool.

    >>> lengths = torch.tensor([2, 4])
    >>> keep_outside(lengths, past_of(6, lengths), 0)
    >>> outside_at(lengths, 1, 2, 3).tolist()
    [[False, True, True], [False, False, True]]
    """
    kept = vars(lengths).get("outside")
    if kept is None or first < kept[1]:
        return None
    found: torch.Tensor = kept[0][:, first - kept[1] :: step][:, :n]
    return found if found.shape[1] == n else None


def clear_where(features: torch.Tensor, past: torch.Tensor, *, graph: bool) -> torch.Tensor:
    """Set batched features to 0 where a mask says so, in place without a graph; a NaN there goes, too.

    Shape: features (rows, ..., n), past (rows, n) bool -> as features.

    >>> clear_where(torch.ones(1, 2, 2), torch.tensor([[False, True]]), graph=False).tolist()
    [[[1.0, 0.0], [1.0, 0.0]]]
    """
    past = past.view(past.shape[0], *[1] * (features.dim() - 2), -1)
    return features.masked_fill(past, 0) if graph else features.masked_fill_(past, 0)


def runs_of(sizes: Iterable[Size], most: Callable[[Size], int] | None = None) -> Iterator[tuple[slice, Size]]:
    """Yield runs of neighboring rows in a batch that have the same length or size, with that size.

    Args:
        sizes: of all rows.
        most: from a size to the number of rows in a run; None: all that are neighbors.

    >>> list(runs_of([3, 3, 1])), [run for run, _ in runs_of([3, 3, 3], lambda size: 2)]
    ([(slice(0, 2, None), 3), (slice(2, 3, None), 1)], [slice(0, 2, None), slice(2, 3, None)])
    """
    first = 0
    for size, group in itertools.groupby(sizes):
        end = first + len(list(group))
        step = end - first if most is None else most(size)
        for start in range(first, end, step):
            yield slice(start, min(start + step, end)), size
        first = end
