"""Chroma of powers: through one filter bank, or for each clip through that of its own tuning."""

from __future__ import annotations

import torch

from audiofeed.methods.constant_q.tuning import estimate_tuning
from audiofeed.methods.filterbank import filtered
from audiofeed.methods.norms import normalized
from audiofeed.methods.precision import matmul
from audiofeed.methods.workspace import Workspace
from audiofeed.signal.harmony.chroma import base_shift


def chroma(
    powers: torch.Tensor, filters: torch.Tensor, workspace: Workspace | None, *, norm: float | None
) -> torch.Tensor:
    """Compute normalized chroma from batched frames of powers by a filter bank.

    Shape: (..., frames, bins), (n_chroma, bins) -> (..., frames, n_chroma).
    """
    return normalized(filtered(powers, filters, workspace, None, "classes"), norm, -1)


def folded(
    features: torch.Tensor, filters: torch.Tensor, *, threshold: float | None, norm: float | None
) -> torch.Tensor:
    """Fold the bins of all octaves of batched features into chroma classes.

    Args:
        features: (rows, bins, frames).
        filters: (classes, bins).
        threshold: classes below it are set to 0 before they are normalized; None: none is.
        norm: p-norm of each frame.

    Returns:
        (rows, classes, frames).
    """
    rows, bins, n = features.shape
    flat = features.transpose(1, 2).reshape(-1, bins)  # (row and frame, bin)
    classes = matmul(flat, filters.t())
    if threshold is not None:
        classes = classes.masked_fill(classes < threshold, 0.0)
    return normalized(classes, norm, -1).view(rows, n, -1).transpose(1, 2)


def bin_by_bin(powers: torch.Tensor, workspace: Workspace | None) -> torch.Tensor:
    """Return powers as they are, a frame step that lays them out bin by bin for tuned chroma.

    The search for peaks reads them so.
    """
    return powers


def tuned_chroma(
    powers: torch.Tensor,
    places: torch.Tensor,
    edges: torch.Tensor,
    frames: torch.Tensor | None,
    *,
    bins: tuple[int, int],
    hertz: float,
    n_chroma: int,
    octwidth: float | None,
    base_c: bool,
    norm: float | None,
) -> torch.Tensor:
    """Compute the chroma of batched clips, each by the filters of its own tuning.

    Args:
        places: see `chroma_filters`; so are n_chroma, octwidth and base_c.
        edges: of the histogram of tunings; with frames, bins and hertz as in `estimate_tuning`.
        norm: p-norm of each frame.

    Shape: (clips, rows of each, bins, frames) -> (clips, rows of each, n_chroma, frames).
    """
    clips, rows, n_bins, n = powers.shape
    tuning = estimate_tuning(powers.detach(), frames, edges, bins=bins, hertz=hertz, n_chroma=n_chroma)
    filters = chroma_filters(tuning, places, n_chroma=n_chroma, octwidth=octwidth, base_c=base_c)
    filters = filters[:, None].expand(-1, rows, -1, -1).reshape(clips * rows, n_chroma, n_bins)
    classes = matmul(filters, powers.reshape(clips * rows, n_bins, n))
    return normalized(classes, norm, -2).view(clips, rows, n_chroma, n)


def chroma_filters(
    tuning: torch.Tensor,
    places: torch.Tensor,
    *,
    n_chroma: int,
    octwidth: float | None,
    base_c: bool,
) -> torch.Tensor:
    """Compute a chroma filter bank for each clip's tuning, as a tensor.

    It is `chroma_filterbank` for several tunings at once.

    Args:
        places: (3, bins): the position of each bin on the circle of classes, its width, and its octave less the center
            of the weighing. Taken round the circle beforehand, a position has float32's full precision.

    Shape: tuning (clips,) -> (clips, n_chroma, bins).
    """
    circle, widths, octaves = places.unbind(0)
    classes = torch.arange(n_chroma, device=places.device, dtype=places.dtype)[:, None]
    if base_c:
        classes = classes.roll(-base_shift(n_chroma), 0)
    half = float(round(n_chroma / 2))
    tuning = tuning[:, None, None]
    distance = torch.remainder(circle - tuning - classes + half, n_chroma) - half  # (clip, class, bin)
    weights = torch.exp(-0.5 * (2 * distance / widths).square())
    weights = weights / weights.square().sum(1, keepdim=True).sqrt()
    if octwidth is None:
        return weights
    return weights * torch.exp(-0.5 * ((octaves - tuning / n_chroma) / octwidth).square())
