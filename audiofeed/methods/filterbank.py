"""Powers of frames through a filter bank that is mostly zeros."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch

from audiofeed.methods.decibels import Log
from audiofeed.methods.frames import Workspace
from audiofeed.methods.precision import matmul, matmul_into
from audiofeed.plans.tiles import FilterTiles


class FilterBank:
    """A finish of powers (see `fft.Finish`) whose first steps a kernel can do itself.

    Args:
        filters: (n, bins).
        bands: where the filters are not zero; None: anywhere, as in filters that train.
        log: of what the filters give; None: none.
        rest: what comes after, from (..., frames, n) to (..., frames, features); None: nothing.
    """

    def __init__(
        self,
        filters: torch.Tensor,
        bands: FilterTiles | None,
        log: Log | None = None,
        rest: Callable[[torch.Tensor, Workspace | None], torch.Tensor] | None = None,
    ) -> None:
        self.filters, self.bands, self.log, self.rest = filters, bands, log, rest

    def __call__(self, powers: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
        """Shape: (..., frames, bins) -> (..., frames, features)."""
        values = filtered(powers, self.filters, workspace, self.bands)
        if self.log is not None:
            values = self.log.of(values, in_place=workspace is not None)
        return values if self.rest is None else self.rest(values, workspace)


def filtered(
    powers: torch.Tensor,
    filters: torch.Tensor,
    workspace: Workspace | None,
    bands: FilterTiles | None,
    name: str = "mels",
) -> torch.Tensor:
    """Each frame through each filter.

    On a CPU and without a graph the product skips the zeros of the filters, some neighbouring filters at a time.

    Args:
        workspace: where there is no graph: the result lies in it, under `name`.
        bands: where the filters are not zero; None: anywhere, as in filters that train.

    Shape: powers (..., frames, bins), filters (n, bins) -> (..., frames, n).

    >>> filtered(torch.ones(5, 3), torch.ones(2, 3), None, None).shape
    torch.Size([5, 2])
    """
    *leading, n_bins = powers.shape
    flat = powers.reshape(-1, n_bins)
    if workspace is None or bands is None or powers.device.type != "cpu":
        return _product(flat, filters).view(*leading, -1)
    out = workspace.take(name, flat.shape[0], filters.shape[0])
    for first, end, low, high in bands.tiles:
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
    """Where the bins of a product are cut into sums, and the end."""
    step = SUMMED_AT_ONCE if n_filters <= FEW_FILTERS else max(1, high - low)
    return [*range(low, max(high, low + 1), step), high]


def _product(flat: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """Shape: (frames, bins), (n, bins) -> (frames, n)."""
    first, *others = [
        matmul(flat[:, start:stop], filters[:, start:stop].t())
        for start, stop in itertools.pairwise(_starts(filters.shape[0], 0, flat.shape[1]))
    ]
    return sum(others, first)


class Apply:
    """A function of frames."""

    def __init__(self, function: Callable[[torch.Tensor, Workspace | None], torch.Tensor]) -> None:
        self.function = function


Step = FilterBank | Log | Apply


def finish_of(steps: tuple[Step, ...]) -> Callable[[torch.Tensor, Workspace | None], torch.Tensor] | None:
    """One function of steps."""
    if not steps:
        return None
    first, others = (steps[0], steps[1:]) if isinstance(steps[0], FilterBank) else (None, steps)
    log = None
    if first is not None and others and isinstance(others[0], Log):
        log, others = others[0], others[1:]

    def rest(values: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
        for step in others:
            if isinstance(step, Log):
                values = step.of(values, in_place=workspace is not None)
            elif isinstance(step, Apply):
                values = step.function(values, workspace)
        return values

    if first is None:
        return rest
    return FilterBank(first.filters, first.bands, log, rest if others else None)
