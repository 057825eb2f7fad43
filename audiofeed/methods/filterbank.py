"""Filter banks that are mostly zeros, applied to frames of powers."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from audiofeed.methods.precision import matmul, products_into
from audiofeed.methods.workspace import Workspace
from audiofeed.plans.tiles import FilterTiles


@dataclass(frozen=True, eq=False)
class FilterBank:
    """Filter bank as a step of a computation, applied to tensors of frames.

    Args:
        filters: (n, bins).
        tiles: where the filters are not zero; None: anywhere, as in filters that train.
        of_parts: (n, 2 * bins), each bin twice: for the squares of real and imaginary parts; None: not at hand.
    """

    filters: torch.Tensor
    tiles: FilterTiles | None
    of_parts: torch.Tensor | None = None
    multiplies: ClassVar[bool] = True  # see `frame_steps.Apply`

    @property
    def supports(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """First and end bins of the filters of a bank, outside of which they are zero: all, where they train."""
        n, bins = self.filters.shape
        return ((0,) * n, (bins,) * n) if self.tiles is None else self.tiles.supports

    @property
    def is_narrow(self) -> bool:
        """True for a filter bank of so few filters that their products are summed in parts."""
        return self.filters.shape[0] <= FEW_FILTERS

    def with_filters(self, filters: torch.Tensor) -> FilterBank:
        """Return the filter bank with other values, as of another dtype; what was derived from the old ones is gone.

        Shape: (n, bins).
        """
        return replace(self, filters=filters, of_parts=None)

    def apply(self, values: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
        """Apply a filter bank to a tensor of frames.

        Shape: (..., frames, bins) -> (..., frames, n).
        """
        return filtered(values, self.filters, workspace, self.tiles)


@dataclass(frozen=True, eq=False)
class WeightedSums(FilterBank):
    """A few weighted sums over all bins as a step of a computation: a filter bank with hardly a zero."""

    def apply(self, values: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
        """Apply weighted sums over bins to a tensor of frames.

        Shape: (..., frames, bins) -> (..., frames, n).
        """
        return filtered(values, self.filters, workspace, None)


def filtered(
    powers: torch.Tensor,
    filters: torch.Tensor,
    workspace: Workspace | None,
    tiles: FilterTiles | None,
    name: str = "mels",
) -> torch.Tensor:
    """Apply the filters of a filter bank to each frame of batched powers.

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
    if workspace is None or powers.device.type != "cpu":
        return _product(flat, filters).view(*leading, -1)
    if tiles is None or len(filters) == 1:
        # a product with one filter alone would take yet other steps
        several = filters if len(filters) > 1 else filters.expand(2, -1).contiguous()
        return _product(_aligned(flat, workspace), several)[: flat.shape[0], : len(filters)].reshape(*leading, -1)
    out, into = workspace.take(name, flat.shape[0], filters.shape[0]), products_into(flat)
    for first, end, low, high in tiles.tiles:
        starts = _starts(end - first, low, high)
        for start, stop in itertools.pairwise(starts):
            part = flat[:, start:stop], filters[first:end, start:stop].t()
            if start == low:
                into(out[:, first:end], *part)
            else:
                out[:, first:end].add_(matmul(*part))
    return out.view(*leading, -1)


# A library for products takes other steps for a few rows, for those left over at the end of many, and for rows that
# begin anywhere. So that a frame's sums have the same bits in any batch, the rows are a multiple of this number, and
# each begins at a multiple of it.
ALIGNED = 16


def _aligned(flat: torch.Tensor, workspace: Workspace) -> torch.Tensor:
    """Return a tensor of frames that lies where a product gives each of them the same bits in any batch, or a copy.

    Rows follow of which nothing is used.

    Shape: (frames, bins) -> (frames or a few more, bins).
    """
    rows, bins = flat.shape
    wanted, pitch = -(-rows // ALIGNED) * ALIGNED, flat.stride(0)
    room = flat.untyped_storage().nbytes() // flat.element_size() - flat.storage_offset()
    if flat.stride(1) == 1 and pitch % ALIGNED == 0 and flat.data_ptr() % (4 * ALIGNED) == 0 and room >= wanted * pitch:
        return flat.as_strided((wanted, bins), (pitch, 1))
    found = workspace.take("aligned", wanted, -(-bins // ALIGNED) * ALIGNED)[:, :bins]
    found[:rows] = flat
    found[rows:] = 0
    return found


# A product sums bin after bin. Few filters are wide, and the rounding of a thousand terms would be more than 2e-6.
FEW_FILTERS, SUMMED_AT_ONCE = 8, 128


def _starts(n_filters: int, low: int, high: int) -> list[int]:
    """Return the first bins of the partial sums of a product with a filter bank, and the end."""
    step = SUMMED_AT_ONCE if n_filters <= FEW_FILTERS else max(1, high - low)
    return [*range(low, max(high, low + 1), step), high]


def _product(flat: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """Multiply a tensor of frames by a filter bank, in partial sums over bins.

    Shape: (frames, bins), (n, bins) -> (frames, n).
    """
    first, *others = [
        matmul(flat[:, start:stop], filters[:, start:stop].t())
        for start, stop in itertools.pairwise(_starts(filters.shape[0], 0, flat.shape[1]))
    ]
    return sum(others, first)
