"""Values less their mean, and over their standard deviation: those of a clip's features, or of its samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from audiofeed.methods.lengths import clear_own_past, length_mask
from audiofeed.parallel.exports import plus

# Values are summed in float32 in runs of so many, and these in float64: that is right to 1e-7, a sum of all to 1e-6.
_RUN = 1024
# a multiple of the values that torch's sums over the last dimension hold side by side
_LANES = 64
EPS_TO = ("std", "variance")


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Divisor of a normalization by mean and standard deviation.

    Args:
        unbiased: the variance is the sum of squares over n - 1, not n.
        eps: added, >= 0.
        eps_to: what it is added to: "std", or "variance" before the root.
    """

    unbiased: bool
    eps: float
    eps_to: str

    def scale(self, squares: torch.Tensor, count: int | torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
        """Return what values are multiplied by to normalize their standard deviation; 0 where they do not change.

        Args:
            squares: sums of squares of values less their mean.
            count: how many values each is the sum of.
            mean: their means: of equal values a sum leaves no more than its rounding.
        """
        divisor = count
        if self.unbiased:
            divisor = (count - 1).clamp(min=1) if isinstance(count, torch.Tensor) else max(count - 1, 1)
        variance = squares / divisor
        least = torch.finfo(variance.dtype)
        still = variance <= (4 * least.eps * mean).square()
        # with a gradient of 0, not infinity, where there is no deviation
        variance = variance.clamp(min=least.tiny)
        if self.eps_to == "variance":
            scale = plus(variance, self.eps).rsqrt()
        else:
            scale = plus(variance.sqrt(), self.eps).reciprocal()
        return scale.masked_fill(still, 0.0)


def standardize_into(
    out: torch.Tensor, values: torch.Tensor, lengths: torch.Tensor | None, dims: Sequence[int], spread: Spread | None
) -> None:
    """Write values of some clips less their mean, and over their standard deviation, without a graph.

    See `standardize`. `out` may be the values themselves; past the lengths it is 0 if there is a `spread`.
    """
    dims = tuple(dims)
    count = count_of(values, lengths, dims)
    n = values.shape[-1]
    if n < _RUN and n % _LANES:
        # filled up to whole lanes once, in memory of its own
        padded = torch.nn.functional.pad(values, (0, -n % _LANES))
        mean = sum_of(padded, dims) / count
        if spread is None:
            torch.sub(values, mean, out=out)
            return
        padded.sub_(mean)
        if lengths is None:
            padded[..., n:] = 0
        else:
            clear_own_past(padded, lengths)
        scale = spread.scale(sum_of_squares(padded, dims), count, mean)
        torch.mul(padded[..., :n], scale, out=out)
        return
    mean = sum_of(values, dims) / count
    torch.sub(values, mean, out=out)
    if spread is not None:
        if lengths is not None:
            clear_own_past(out, lengths)
        out.mul_(spread.scale(sum_of_squares(out, dims), count, mean))


def count_of(values: torch.Tensor, lengths: torch.Tensor | None, dims: Sequence[int]) -> int | torch.Tensor:
    """Return how many values count together in a normalization, of each clip if their lengths are given.

    >>> count_of(torch.zeros(2, 3, 9), None, (-2, -1))
    27
    """
    own = values.shape[-1] if lengths is None else lengths.view(-1, *[1] * (values.dim() - 1))
    return own * math.prod([values.shape[dim] for dim in dims if dim != -1])


def sum_of(values: torch.Tensor, dims: Sequence[int]) -> torch.Tensor:
    """Return sums for a normalization without a graph, over dimensions of which the last is one.

    Zeros behind the values change no bit of them: however long its batch-mates are, a clip's sum is the same.

    >>> sum_of(torch.ones(2, 3000), (-1,)).tolist()
    [[3000.0], [3000.0]]
    """
    return _together([run.sum(dim=-1) for run in _runs(values)], dims)


def sum_of_squares(values: torch.Tensor, dims: Sequence[int]) -> torch.Tensor:
    """Return sums of squares for a normalization without a graph, as `sum_of` has sums.

    >>> sum_of_squares(torch.ones(2, 3000), (-1,)).tolist()
    [[3000.0], [3000.0]]
    """
    return _together([torch.linalg.vector_norm(run, dim=-1).square_() for run in _runs(values)], dims)


def _runs(values: torch.Tensor) -> list[torch.Tensor]:
    """Return values in runs: those of `_RUN`, and what is left, filled up with zeros to whole lanes.

    Inside a run of whole lanes torch adds lane by lane, and so zeros behind it change nothing.

    Shape: (..., n) -> (..., runs, values of one) each.
    """
    n = values.shape[-1]
    whole = n // _RUN * _RUN
    found = [values[..., :whole].unflatten(-1, (-1, _RUN))] if whole else []
    if whole < n:
        last = values[..., None, whole:]
        rest = -last.shape[-1] % _LANES
        found.append(torch.nn.functional.pad(last, (0, rest)) if rest else last)
    return found


def _together(sums: Sequence[torch.Tensor], dims: Sequence[int]) -> torch.Tensor:
    """Return the sums of runs added up.  Shape: (..., runs) each -> that of the values, with 1 for the dimensions."""
    found = sums[0] if len(sums) == 1 else torch.cat(list(sums), dim=-1)
    if found.shape[-1] == 1 and len(dims) == 1:
        return found
    # in float64, where few numbers of float32 are added without rounding, and their order does not matter
    total = found.double().sum(dim=-1, keepdim=True)
    return (total if len(dims) == 1 else total.sum(dim=tuple(dims), keepdim=True)).to(found.dtype)


def standardize(
    values: torch.Tensor, lengths: torch.Tensor | None, dims: Sequence[int], spread: Spread | None
) -> torch.Tensor:
    """Compute values of a batch less their mean, and over their standard deviation unless `spread` is None.

    Every operation has a gradient; the normalization of a clip is that of its own values.

    Args:
        values: (clips, ..., n), 0 past lengths.
        lengths: (clips,); None: all of the values.
        dims: the dimensions that count together, the last among them.
        spread: the divisor.

    Returns:
        the same shape; past a clip's length anything may stand.
    """
    dims = tuple(dims)
    count = count_of(values, lengths, dims)
    mean = values.sum(dim=dims, keepdim=True) / count
    centered = values - mean
    if lengths is not None:
        own = length_mask(values.shape[-1], lengths).view(lengths.shape[0], *[1] * (values.dim() - 2), -1)
        centered = centered * own
    if spread is None:
        return centered
    return centered * spread.scale(centered.square().sum(dim=dims, keepdim=True), count, mean)
