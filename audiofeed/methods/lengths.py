"""Rows of a batch that have their own lengths: masks, clearing past the end, runs of equal rows."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch

from audiofeed.parallel.launches import launches
from audiofeed.parallel.native_threads import unless_awake
from audiofeed.parallel.observed import is_exporting, observed

Size = TypeVar("Size")


def length_mask(n: int, lengths: torch.Tensor) -> torch.Tensor:
    """Compute a mask of clip lengths, True for the entries before each row's own end.

    Shape: lengths (rows,) -> (rows, n) bool.

    >>> length_mask(3, torch.tensor([1, 3])).tolist()
    [[True, False, False], [True, True, True]]
    """
    if lengths.is_cpu and lengths.dim() == 1 and observed(lengths) is None:
        # a few numbers, which NumPy compares in a third of the time
        return torch.from_numpy(np.arange(n) < lengths.numpy()[:, None])
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
    own = own.view(own.shape[0], *[1] * (features.dim() - 2), n)
    if features.is_complex() and is_exporting():  # ONNX has no complex numbers to choose from
        return torch.view_as_complex(torch.where(own[..., None], torch.view_as_real(features), 0))
    # `masked_fill` copies the features first
    return torch.where(own, features, 0)


def clear_own_past(features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Set batched features to 0 past each clip's own length in place, without a graph.

    It is the result of `clear_past`, in the memory of the features.
    """
    if launches(features) or lengths.device.type != "cpu":
        return features.masked_fill_(_past(features, lengths), 0)
    own = lengths.tolist()
    if min(own, default=0) >= features.shape[-1]:
        return features
    with unless_awake(features.numel()):
        for clip, length in zip(features, own, strict=True):
            clip[..., length:] = 0
    return features


def past_of(n: int, lengths: torch.Tensor, first: int = 0, step: int = 1) -> torch.Tensor:
    """Compute a mask of what lies past the length of each clip of a batch, in two launches, or find one kept.

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
    known = outside_at(lengths, first, step, n)
    if known is not None:
        return known
    past = torch.arange(first, first + n * step, step, device=lengths.device) >= lengths[:, None]
    if step == 1:
        keep_outside(lengths, past, first)
    return past


def _past(features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return a mask of what lies past the length of each clip, as `past_of`, of shape (clips, 1, ..., n)."""
    past = past_of(features.shape[-1], lengths)
    return past.view(past.shape[0], *[1] * (features.dim() - 2), -1)


def of_one_call(lengths: torch.Tensor, given: torch.Tensor | None = None) -> torch.Tensor:
    """Return lengths with which the masks and counts that one call makes of them are kept, where each costs launches.

    Args:
        lengths: (rows,), a tensor that this call made, and that nobody writes to.
        given: the lengths that it was made of, as they were passed to the call; what an outer call keeps with those is
            found here, too.

    >>> of_one_call(torch.tensor([2, 4])).tolist()
    [2, 4]
    """
    if launches(lengths) and not torch.compiler.is_compiling():
        known = None if given is None or given.shape != lengths.shape else vars(given).get("kept")
        vars(lengths)["kept"] = {} if known is None else known
    return lengths


def kept_with(lengths: torch.Tensor | int) -> dict[Hashable, Any] | None:
    """Return what one call keeps with its lengths: see `of_one_call`; None: nothing is to be kept with these."""
    if not isinstance(lengths, torch.Tensor) or torch.compiler.is_compiling():
        return None
    return vars(lengths).get("kept")


def keep_outside(lengths: torch.Tensor, outside: torch.Tensor, first: int) -> None:
    """Keep a mask of the positions past the ends of rows with the lengths of one call, for others to be views of it.

    Args:
        lengths: (rows,), of `of_one_call`; with others nothing is kept.
        outside: (rows, n), of the positions from `first` on.
    """
    kept = kept_with(lengths)
    if kept is not None:
        kept.setdefault("outside", []).append((outside, first))


def outside_at(lengths: torch.Tensor, first: int, step: int, n: int) -> torch.Tensor | None:
    """Return whether rows end at or before positions first, first + step, ...: a view of a mask that was kept, or None.

    Shape: lengths (rows,) -> (rows, n) bool.

    >>> lengths = torch.tensor([2, 4])
    >>> vars(lengths)["kept"] = {"outside": [(past_of(6, torch.tensor([2, 4])), 0)]}
    >>> outside_at(lengths, 1, 2, 3).tolist()
    [[False, True, True], [False, False, True]]
    """
    kept = kept_with(lengths)
    if kept is None:
        return None
    later = kept.pop("later", None)
    if later is not None:
        later()
    for outside, begin in kept.get("outside", ()):
        if first >= begin:
            found: torch.Tensor = outside[:, first - begin :: step][:, :n]
            if found.shape[1] == n:
                return found
    return None


@contextmanager
def marked_later(lengths: torch.Tensor, mark: Callable[[], None]) -> Iterator[None]:
    """Make the mask of what lies past the ends of rows only where something in the body asks for it.

    Args:
        lengths: (rows,), of `of_one_call`; with others nothing is kept.
        mark: keeps the mask: see `keep_outside`.
    """
    kept = kept_with(lengths)
    if kept is None:
        yield
        return
    kept["later"] = mark
    try:
        yield
    finally:
        kept.pop("later", None)


def note_clear(lengths: torch.Tensor, features: torch.Tensor) -> None:
    """Take note, with the lengths of one call, that features are 0 past the ends of their rows.

    Args:
        lengths: (rows,), a tensor that this call made.
        features: (rows, ..., frames), which a kernel made so.
    """
    if not torch.compiler.is_compiling() and not features.is_inference():  # such tensors count no writes
        vars(lengths)["clear"] = weakref.ref(features), features._version


def is_clear(lengths: torch.Tensor, features: torch.Tensor) -> bool:
    """Return whether `note_clear` said so of these very features, and nobody has written to them since."""
    noted = None if torch.compiler.is_compiling() else vars(lengths).get("clear")
    return noted is not None and noted[0]() is features and noted[1] == features._version


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
