"""Bins of wavelets from the magnitudes of one spectrum, each group of bins from the FFT bins that it reaches."""

from __future__ import annotations

import torch

from audiofeed.methods.precision import matmul, products_into
from audiofeed.methods.spectrum import raise_power
from audiofeed.methods.workspace import Workspace
from audiofeed.plans.constant_q.spectral_spans import Span


def weigh_spans(
    magnitudes: torch.Tensor,
    weights: torch.Tensor,
    spans: tuple[Span, ...],
    power: float | None,
    workspace: Workspace | None,
) -> torch.Tensor:
    """Compute constant-Q bins from batched FFT magnitudes, each group of bins from its spectral span.

    They are magnitudes times weights, to a power.

    Args:
        weights: inside the spans: see `plans.constant_q.spectral_spans.packed`.
        workspace: memory to compute in, without a graph.

    Shape:
        magnitudes (..., frames, FFT bins) -> (..., frames, bins).
    """
    *leading, n = magnitudes.shape
    flat = magnitudes.reshape(-1, n)
    out = None if workspace is None else workspace.take("bins", len(flat), spans[-1][1])
    parts, start, into = [], 0, products_into(flat)
    for first, end, low, high in spans:
        size = (end - first) * (high - low)
        tile = weights[start : start + size].view(end - first, high - low).t()
        start += size
        if out is None:
            parts.append(matmul(flat[:, low:high], tile))
        else:
            into(out[:, first:end], flat[:, low:high], tile)
    found = torch.cat(parts, dim=1) if out is None else out
    return _raised(found, power, in_place=out is not None).view(*leading, -1)


def _raised(magnitudes: torch.Tensor, power: float | None, *, in_place: bool) -> torch.Tensor:
    """Raise constant-Q magnitudes found by spectral spans to a power, with gradient 0 at 0.

    The gradient is not NaN there.
    """
    if power == 1.0:
        return magnitudes
    assert power is not None
    return magnitudes.pow_(power) if in_place else raise_power(magnitudes.square(), power)
