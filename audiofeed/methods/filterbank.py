"""Steps of frames after a spectrum: filter banks that are mostly zeros, logarithms, other functions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from audiofeed.methods.decibels import Log
from audiofeed.methods.frames import Workspace
from audiofeed.methods.precision import matmul, matmul_into
from audiofeed.methods.spectrum import raise_power
from audiofeed.plans.tiles import FilterTiles

# From (..., frames, values) to (..., frames, other values). A workspace is given where there is no graph: the values
# may then be overwritten, and the result may lie in it.
Function = Callable[[torch.Tensor, "Workspace | None"], torch.Tensor]


@dataclass(frozen=True, eq=False)
class FilterBank:
    """Each frame through filters.

    Args:
        filters: (n, bins).
        tiles: where the filters are not zero; None: anywhere, as in filters that train.
    """

    filters: torch.Tensor
    tiles: FilterTiles | None

    def apply(self, values: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
        """Shape: (..., frames, bins) -> (..., frames, n)."""
        return filtered(values, self.filters, workspace, self.tiles)


@dataclass(frozen=True)
class Apply:
    """A function of frames."""

    function: Function

    def apply(self, values: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
        """Shape: (..., frames, values) -> (..., frames, other values)."""
        return self.function(values, workspace)


# a step of frames; a method may do the first of them in its own way
Step = FilterBank | Log | Apply


class Wanted(NamedTuple):
    """A feature to be computed from a short-time spectrum: |z|^power, then steps frame by frame."""

    power: float
    steps: tuple[Step, ...] = ()


def through(steps: Sequence[Step], values: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
    """Values of frames through steps, one after another.

    >>> through((Log("ln", floor=1.0, power=2.0),), torch.ones(2, 3), None).sum().item()
    0.0
    """
    for step in steps:
        values = step.apply(values, workspace)
    return values


def of_spectrum(spectrum: torch.Tensor, wanted: Wanted) -> torch.Tensor:
    """A feature of a computed spectrum.  Shape: complex (rows, bins, frames) -> (rows, features, frames).

    >>> of_spectrum(torch.full((1, 2, 3), 3 + 4j), Wanted(1.0))[0, 0].tolist()
    [5.0, 5.0, 5.0]
    """
    squared = (spectrum.real.square() + spectrum.imag.square()).transpose(1, 2)
    return through(wanted.steps, raise_power(squared, wanted.power), None).transpose(1, 2)


def filtered(
    powers: torch.Tensor,
    filters: torch.Tensor,
    workspace: Workspace | None,
    tiles: FilterTiles | None,
    name: str = "mels",
) -> torch.Tensor:
    """Each frame through each filter.

    On a CPU and without a graph the product skips the zeros of the filters, some neighboring filters at a time.

    Args:
        workspace: where there is no graph: the result lies in it, under `name`.
        tiles: where the filters are not zero; None: anywhere, as in filters that train.

    Shape: powers (..., frames, bins), filters (n, bins) -> (..., frames, n).

    >>> filtered(torch.ones(5, 3), torch.ones(2, 3), None, None).shape
    torch.Size([5, 2])
    """
    *leading, n_bins = powers.shape
    flat = powers.reshape(-1, n_bins)
    if workspace is None or tiles is None or powers.device.type != "cpu":
        return _product(flat, filters).view(*leading, -1)
    out = workspace.take(name, flat.shape[0], filters.shape[0])
    for first, end, low, high in tiles.tiles:
        starts = _starts(end - first, low, high)
        for start, stop in itertools.pairwise(starts):
            part = flat[:, start:stop], filters[first:end, start:stop].t()
            if start == low:
                matmul_into(out[:, first:end], *part)
            else:
                out[:, first:end] += matmul(*part)
    return out.view(*leading, -1)


# A product sums bin after bin. Few filters are wide, and the rounding of a thousand terms would be more than 2e-6.
FEW_FILTERS, SUMMED_AT_ONCE = 8, 128


def _starts(n_filters: int, low: int, high: int) -> list[int]:
    """First bins of the partial sums of a product, and the end."""
    step = SUMMED_AT_ONCE if n_filters <= FEW_FILTERS else max(1, high - low)
    return [*range(low, max(high, low + 1), step), high]


def _product(flat: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """Shape: (frames, bins), (n, bins) -> (frames, n)."""
    first, *others = [
        matmul(flat[:, start:stop], filters[:, start:stop].t())
        for start, stop in itertools.pairwise(_starts(filters.shape[0], 0, flat.shape[1]))
    ]
    return sum(others, first)
